"""One modality: an encoder and a two-layer head, as MixMAS's micro-benchmark compares encoders (arXiv 2412.18437).

Parameters of the encoder have the names they have in the `mixmas` family (``encoders.<modality>.*``), so trained
weights move there as they are. Where we differ from the released code: the head always sees the mean over tokens.

It is also the backbone by which a fusion search (MFAS) looks into a mixer: a tap is the mean over tokens after a layer
of the encoder, or after a stage of a hierarchical one; the head reads the last.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from mmfuse.errors import BadSpec
from mmfuse.models.block_choice import check_encoder, encoder_tap_widths
from mmfuse.options import Options
from mmfuse.task import Task


class Params(Options):
    """Which modality, which encoder."""

    modality: str = "image"
    """The modality that is looked at; the others are ignored."""
    encoder: dict[str, Any] = {"block": "mlp"}
    """Block of the encoder and its parameters."""
    head_hidden: Annotated[int, Field(ge=1)] | None = 512
    """Hidden width of the head (MixMAS: 512); null: one linear layer, as each modality has in M2-Mixer."""


def tap_widths(params: Params, task: Task) -> tuple[int, ...]:
    """Features of each tap, in order.

    Raises:
        BadSpec, UnknownName: when the task lacks the modality or the encoder cannot take it.
    """
    _check_modality(params, task)
    return encoder_tap_widths(params.encoder, task.modality(params.modality))


def check(params: Params, task: Task) -> None:
    """Check that the task has the modality and the encoder can take it.

    Raises:
        BadSpec, UnknownName: when not.
    """
    _check_modality(params, task)
    check_encoder(params.encoder, task.modality(params.modality))


def _check_modality(params: Params, task: Task) -> None:
    names = [modality.name for modality in task.modalities]
    if params.modality not in names:
        raise BadSpec(
            f"model unimodal: {task.name} has no modality '{params.modality}'",
            f"choose one of {', '.join(names)}, for example --set modality={names[0]}",
        )


from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from mmfuse.batch import Batch
from mmfuse.models.encoders import build_encoder, encoder_taps, trim_encoder
from mmfuse.models.heads import LinearHead, TwoLayerHead
from mmfuse.models.losses import prediction_loss


class Unimodal(nn.Module):
    """Encoder -> token mean -> head, on one modality; has taps (see `mmfuse.models.tapped.Tapped`)."""

    def __init__(self, encoder: nn.Module, head: nn.Module, *, task: Task, modality: str) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({modality: encoder})
        self.head: nn.Module | None = head
        self.modality = modality
        self.kind = task.kind

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (B, K)."""
        return {"logits": self._judge(self.encoders[self.modality](batch.inputs[self.modality]))}

    def taps(self, inputs: Tensor) -> list[Tensor]:
        """(B, *shape) -> one (B, width) per tap of the encoder."""
        return encoder_taps(self.encoders[self.modality], inputs)

    def predict(self, taps: Sequence[Tensor]) -> Tensor:
        """The head's logits (B, K) from all taps."""
        return self._judge(taps[-1].unsqueeze(1))

    def trim(self, last: int) -> None:
        """Keep what taps 0 to ``last`` need: the head goes, and the layers behind them."""
        trim_encoder(self.encoders[self.modality], last)
        self.head = None

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """``total``."""
        return {"total": prediction_loss(self.kind, outputs["logits"], batch.target)}

    def _judge(self, tokens: Tensor) -> Tensor:
        assert self.head is not None, "a trimmed backbone has no head"
        return cast(Tensor, self.head(tokens))


def build(params: Params, task: Task) -> Unimodal:
    """The model."""
    encoder = build_encoder(params.encoder, task.modality(params.modality))
    dim = cast(int, encoder.dim)
    hidden = params.head_hidden
    head = TwoLayerHead(dim, hidden=hidden, outputs=task.outputs) if hidden else LinearHead(dim, outputs=task.outputs)
    return Unimodal(encoder, head, task=task, modality=params.modality)
