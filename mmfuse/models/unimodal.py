"""One modality: an encoder and a two-layer head, as MixMAS's micro-benchmark compares encoders (arXiv 2412.18437).

Parameters of the encoder have the names they have in the `mixmas` family (``encoders.<modality>.*``), so trained
weights move there as they are. Where we differ from the released code: the head always sees the mean over tokens.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from mmfuse.errors import BadSpec
from mmfuse.models.block_choice import check_encoder
from mmfuse.options import Options
from mmfuse.task import Task


class Params(Options):
    """Which modality, which encoder."""

    modality: str = "image"
    """The modality that is looked at; the others are ignored."""
    encoder: dict[str, Any] = {"block": "mlp"}
    """Block of the encoder and its parameters."""
    head_hidden: Annotated[int, Field(ge=1)] = 512
    """Hidden width of the head (MixMAS: 512)."""


def check(params: Params, task: Task) -> None:
    """Check that the task has the modality and the encoder can take it.

    Raises:
        BadSpec, UnknownName: when not.
    """
    names = [modality.name for modality in task.modalities]
    if params.modality not in names:
        raise BadSpec(
            f"model unimodal: {task.name} has no modality '{params.modality}'",
            f"choose one of {', '.join(names)}, for example --set modality={names[0]}",
        )
    check_encoder(params.encoder, task.modality(params.modality))


from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from mmfuse.batch import Batch
from mmfuse.models.encoders import build_encoder
from mmfuse.models.heads import TwoLayerHead
from mmfuse.models.losses import prediction_loss


class Unimodal(nn.Module):
    """Encoder -> token mean -> two-layer head, on one modality."""

    def __init__(self, encoder: nn.Module, head: nn.Module, *, task: Task, modality: str) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({modality: encoder})
        self.head = head
        self.modality = modality
        self.kind = task.kind

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (B, K)."""
        return {"logits": self.head(self.encoders[self.modality](batch.inputs[self.modality]))}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """``total``."""
        return {"total": prediction_loss(self.kind, outputs["logits"], batch.target)}


def build(params: Params, task: Task) -> Unimodal:
    """The model."""
    encoder = build_encoder(params.encoder, task.modality(params.modality))
    head = TwoLayerHead(cast(int, encoder.dim), hidden=params.head_hidden, outputs=task.outputs)
    return Unimodal(encoder, head, task=task, modality=params.modality)
