"""Losses: what a prediction costs for each kind of task, and the weighted loss of models with several heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.batch import Batch
from mmfuse.task import TaskKind


def prediction_loss(kind: TaskKind, logits: Tensor, target: Tensor, *, pos_weight: Tensor | None = None) -> Tensor:
    """Mean loss of ``logits`` (B, K): cross-entropy, binary cross-entropy per label, or squared error.

    ``target`` is (B,) of classes, (B, K) of 0/1, or (B,) or (B, K) of numbers; ``pos_weight`` (K,) multiplies the cost
    of missed labels in a multilabel task.

    Raises:
        ValueError: for a task kind without predictions (retrieval).
    """
    if kind == "multiclass":
        return F.cross_entropy(logits, target)
    if kind == "multilabel":
        return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), pos_weight=pos_weight)
    if kind == "regression":
        return F.mse_loss(logits, target.to(logits.dtype).reshape(logits.shape))
    raise ValueError(f"a {kind} task has no prediction loss")


class PredictionLoss(nn.Module):
    """`prediction_loss` with the weights of labels at hand; they are settings and not saved with the model."""

    pos_weight: Tensor | None

    def __init__(self, kind: TaskKind, *, pos_weight: Sequence[float] | None = None) -> None:
        super().__init__()
        self.kind: TaskKind = kind
        weights = None if pos_weight is None else torch.tensor(list(pos_weight))
        self.register_buffer("pos_weight", weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean loss of ``logits`` (B, K)."""
        return prediction_loss(self.kind, logits, target, pos_weight=self.pos_weight)


class MultiHeadLoss(nn.Module):
    """Weighted sum of the prediction's loss and those of the unimodal heads (M2-Mixer).

    total = scale * (w * L_prediction + (1 - w) / M * sum of L_m). With w = 1 / (M + 1) and scale = M + 1 that is the
    plain sum of all losses. After each validation epoch from number ``change_epoch`` on, w grows by ``change`` up
    to 1. The weight is a buffer: it is saved and restored with the model.
    """

    weight: Tensor
    epochs: Tensor
    pos_weight: Tensor | None

    def __init__(
        self,
        kind: TaskKind,
        *,
        modalities: Sequence[str],
        weight: float | None = None,
        scale: float | None = None,
        change: float = 0.0,
        change_epoch: int = 0,
        pos_weight: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.kind: TaskKind = kind
        self.modalities = tuple(modalities)
        self.scale = len(modalities) + 1 if scale is None else scale
        self.change = change
        self.change_epoch = change_epoch
        share = 1 / (len(modalities) + 1) if weight is None else weight
        self.register_buffer("weight", torch.tensor(float(share)))
        self.register_buffer("epochs", torch.tensor(0))
        self.register_buffer(
            "pos_weight", None if pos_weight is None else torch.tensor(list(pos_weight)), persistent=False
        )

    def forward(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """``total`` and its parts, ``prediction`` and one per unimodal head (``logits/<modality>`` in ``outputs``)."""
        parts = {"prediction": self._cost(outputs["logits"], batch)}
        if not self.modalities:
            return {"total": self.scale * parts["prediction"], **parts}
        for name in self.modalities:
            parts[name] = self._cost(outputs[f"logits/{name}"], batch)
        unimodal = torch.stack([parts[name] for name in self.modalities]).mean()
        total = self.scale * (self.weight * parts["prediction"] + (1 - self.weight) * unimodal)
        return {"total": total, **parts}

    def epoch_ended(self) -> None:
        """Move the weight along its schedule; call once after each validation epoch."""
        if int(self.epochs) >= self.change_epoch:
            self.weight.add_(self.change).clamp_(max=1.0)
        self.epochs.add_(1)

    def _cost(self, logits: Tensor, batch: Batch) -> Tensor:
        return prediction_loss(self.kind, logits, batch.target, pos_weight=self.pos_weight)
