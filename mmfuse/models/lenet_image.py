"""LeNet-3: MFAS's backbone for the images of AV-MNIST, three blocks of c, 2c and 4c channels, three taps.

Pérez-Rúa et al., "MFAS: Multimodal Fusion Architecture Search" (2019, arXiv 1903.06496, section 4); see
`mmfuse.models.lenet`. The code of AV-MNIST's published searches uses c = 3, the CentralNet code before it c = 24.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmfuse.models.shapes import check_pooling
from mmfuse.options import Options
from mmfuse.task import Task

GROWTH = (1, 2, 4)
"""Channels of each block, in units of ``channels``."""


class Params(Options):
    """How wide the backbone is, and what it reads."""

    channels: Annotated[int, Field(ge=1)] = 3
    """Channels of the first block; each further block has twice as many (AV-MNIST code: 3, CentralNet code: 24)."""
    modality: str = "image"
    """The modality it reads, of kind grid."""


def tap_widths(params: Params, task: Task) -> tuple[int, ...]:
    """Features of each tap, in order; the same on every task."""
    return tuple(growth * params.channels for growth in GROWTH)


def check(params: Params, task: Task) -> None:
    """Check that the modality is a grid large enough to be halved between blocks.

    Raises:
        BadSpec: when not.
    """
    check_pooling(task, params.modality, blocks=len(GROWTH), family="lenet_image")


from torch import nn

from mmfuse.models.lenet import LeNet


def build(params: Params, task: Task) -> nn.Module:
    """The model."""
    return LeNet(tap_widths(params, task), task=task, modality=params.modality)
