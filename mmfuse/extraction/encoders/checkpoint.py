"""Checkpoint: an encoder that mmfuse trained itself, taken out of a run's model.

The encoder of the wanted modality in an M2-Mixer, MixMAS or unimodal model gives tokens, whose mean is the vector; a
LeNet backbone gives its last tap. It reads the dataset that it was trained on, and no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mmfuse.encoding import EncoderOptions, Given

if TYPE_CHECKING:
    from mmfuse.extraction.encoder import Encoder

READS: Literal["files", "tensors"] = "tensors"
MODALITY: str | None = None
SIZES: dict[str, Any] = {}


class Options(EncoderOptions):
    """Which encoder."""

    path: Given
    """The checkpoint file."""
    batch_size: Annotated[int, Field(ge=1)] = 256
    """Items that the encoder sees at once."""


from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mmfuse.data.latents_layout import EncoderIdentity
from mmfuse.errors import BadSpec
from mmfuse.training.checkpoint import Checkpoint, load_checkpoint, rebuild_model


def open_encoder(modality: str, options: Options, *, device: torch.device) -> Encoder:
    """The encoder of ``modality`` in the checkpoint.

    Raises:
        DataMissing, DataInvalid, CheckpointMismatch: when the file is absent, damaged or no checkpoint.
        BadSpec: when its model has no such encoder.
    """
    from mmfuse.extraction.encoder import Encoder
    from mmfuse.training.backbones import weights_hash

    checkpoint = load_checkpoint(options.path)
    model = rebuild_model(checkpoint)
    part, pool, pooling = _part(model, checkpoint, modality)
    part = part.to(device).requires_grad_(False)
    identity = EncoderIdentity(
        name=checkpoint.architecture.key,
        weights=weights_hash(part.state_dict()),
        pooling=pooling,
        normalised=False,
        preprocessing={"dataset": checkpoint.dataset, "fingerprint": checkpoint.fingerprint},
    )

    def forward(items: Sequence[Tensor]) -> Tensor:
        return pool(torch.stack(list(items)).to(device))

    shape = next(each.shape for each in checkpoint.task.modalities if each.name == modality)
    dim = int(pool(torch.zeros(1, *shape, device=device)).shape[1])
    return Encoder(identity, dim, prepare=lambda item: item, forward=forward)


def _part(model: nn.Module, checkpoint: Checkpoint, modality: str) -> tuple[nn.Module, Callable[[Tensor], Tensor], str]:
    """What of the model reads ``modality``, how its output becomes vectors (n, d), and that in words."""
    encoders = getattr(model, "encoders", None)
    if isinstance(encoders, nn.ModuleDict) and modality in encoders:
        encoder = encoders[modality]
        return encoder, lambda inputs: encoder(inputs).mean(1), "mean of tokens"
    if hasattr(model, "taps") and getattr(model, "modality", None) == modality:
        taps: Any = model.taps
        return model, lambda inputs: taps(inputs)[-1], "last tap"
    raise BadSpec(
        f"the model {checkpoint.architecture.key} has no encoder of {modality}",
        "take a run of unimodal, m2_mixer, mixmas or a LeNet",
    )
