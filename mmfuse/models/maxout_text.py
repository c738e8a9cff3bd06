"""Maxout MLP: MFAS's backbone for the plots of MM-IMDB, two maxout layers of 64 and 128 units, two taps.

Goodfellow et al., "Maxout Networks" (2013, arXiv 1302.4389), as Arevalo et al. (2017, arXiv 1702.01992) and MFAS
(arXiv 1903.06496) use it on a plot's mean word vector: 300 -> 64 -> 128, five pieces per unit. A *tap* is a layer's
output before its batch norm. Token vectors are averaged first, which makes them what the papers feed.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmfuse.errors import BadSpec
from mmfuse.models.shapes import check_label_weights
from mmfuse.options import Options
from mmfuse.task import Task


class Params(Options):
    """Sizes of the network, and what it reads."""

    widths: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (64, 128)
    """Units of each layer; each is a tap (MFAS: 64 and 128)."""
    pieces: Annotated[int, Field(ge=1)] = 5
    """Linear pieces per unit, of which the largest counts (MFAS: 5)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout after each layer's batch norm (MFAS: 0.5)."""
    modality: str = "text"
    """The modality it reads: a vector, a sequence of token vectors, or anything else flattened."""
    pos_weight: tuple[float, ...] | None = None
    """Cost of a missed label relative to a false one, per label; multilabel tasks only (MFAS weighs labels)."""


def tap_widths(params: Params, task: Task) -> tuple[int, ...]:
    """Features of each tap, in order; the same on every task."""
    return params.widths


def check(params: Params, task: Task) -> None:
    """Check that the task has the modality, and the labels that are weighed.

    Raises:
        BadSpec: when not.
    """
    names = [modality.name for modality in task.modalities]
    if params.modality not in names:
        raise BadSpec(
            f"model maxout_text: {task.name} has no modality '{params.modality}'",
            f"choose one of {', '.join(names)}, for example --set modality={names[0]}",
        )
    check_label_weights(params.pos_weight, task, family="maxout_text")


from collections.abc import Mapping, Sequence
from math import prod
from typing import cast

from torch import Tensor, nn

from mmfuse.batch import Batch
from mmfuse.models.losses import PredictionLoss
from mmfuse.models.vector_norm import VectorNorm


class Maxout(nn.Module):
    """The largest of ``pieces`` linear functions per unit.

    Shape: (B, D) -> (B, width).
    """

    def __init__(self, given: int, width: int, *, pieces: int) -> None:
        super().__init__()
        self.width = width
        self.linear = nn.Linear(given, width * pieces)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply; a unit's pieces are adjacent outputs."""
        return self.linear(inputs).unflatten(1, (self.width, -1)).amax(2)


class MaxoutText(nn.Module):
    """Maxout layers, batch norm and dropout behind each, and a linear head."""

    def __init__(self, params: Params, task: Task) -> None:
        super().__init__()
        self.modality = params.modality
        modality = task.modality(params.modality)
        self.averages = modality.kind == "sequence"
        given = modality.shape[-1] if self.averages else prod(modality.shape)
        before = (given, *params.widths[:-1])
        self.layers = nn.ModuleList(
            Maxout(size, width, pieces=params.pieces) for size, width in zip(before, params.widths, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.Sequential(VectorNorm(width), nn.Dropout(params.dropout)) for width in params.widths
        )
        self.head: nn.Linear | None = nn.Linear(params.widths[-1], task.outputs)
        self.criterion = PredictionLoss(task.kind, pos_weight=params.pos_weight)

    def taps(self, inputs: Tensor) -> list[Tensor]:
        """(B, D) or (B, T, D) -> one (B, width) per layer."""
        hidden = inputs.mean(1) if self.averages else inputs.flatten(1)
        taps = []
        for layer, norm in zip(self.layers, [*self.norms[: len(self.layers) - 1], None], strict=True):
            taps.append(layer(hidden))
            if norm is not None:
                hidden = norm(taps[-1])
        return taps

    def predict(self, taps: Sequence[Tensor]) -> Tensor:
        """The head's logits (B, K) from all taps."""
        assert self.head is not None, "a trimmed backbone has no head"
        return cast(Tensor, self.head(self.norms[-1](taps[-1])))

    def trim(self, last: int) -> None:
        """Keep only what tap ``last`` needs."""
        self.layers = self.layers[: last + 1]
        self.norms = self.norms[:last]
        self.head = None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (B, K)."""
        return {"logits": self.predict(self.taps(batch.inputs[self.modality]))}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """``total``."""
        return {"total": self.criterion(outputs["logits"], batch.target)}


def build(params: Params, task: Task) -> MaxoutText:
    """The model."""
    return MaxoutText(params, task)
