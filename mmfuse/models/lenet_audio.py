"""LeNet-5: MFAS's backbone for the spectrograms of AV-MNIST, five blocks of c to 16c channels, five taps.

Pérez-Rúa et al., "MFAS: Multimodal Fusion Architecture Search" (2019, arXiv 1903.06496, section 4); see
`mmfuse.models.lenet`. Where we differ from the code that made AV-MNIST's published searches: there the first tap, and
only that one, is taken after its block's maximum; here all are taken before it, unless ``first_tap`` says "pooled".
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmfuse.models.shapes import check_pooling
from mmfuse.options import Options
from mmfuse.task import Task

GROWTH = (1, 2, 4, 8, 16)
"""Channels of each block, in units of ``channels``."""


class Params(Options):
    """How wide the backbone is, and what it reads."""

    channels: Annotated[int, Field(ge=1)] = 3
    """Channels of the first block; each further block has twice as many (AV-MNIST code: 3, CentralNet code: 24)."""
    modality: str = "audio"
    """The modality it reads, of kind grid."""
    first_tap: Literal["map", "pooled"] = "map"
    """Where the first tap is taken: on the block's map like all others, or (published code) after its maximum."""


def tap_widths(params: Params, task: Task) -> tuple[int, ...]:
    """Features of each tap, in order; the same on every task."""
    return tuple(growth * params.channels for growth in GROWTH)


def check(params: Params, task: Task) -> None:
    """Check that the modality is a grid large enough to be halved between blocks.

    Raises:
        BadSpec: when not.
    """
    check_pooling(task, params.modality, blocks=len(GROWTH), family="lenet_audio")


from torch import nn

from mmfuse.models.lenet import LeNet


def build(params: Params, task: Task) -> nn.Module:
    """The model."""
    late = params.first_tap == "pooled"
    return LeNet(tap_widths(params, task), task=task, modality=params.modality, late_first_tap=late)
