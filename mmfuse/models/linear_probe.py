"""Linear probe: logistic regression on all modalities' raw values, side by side.

The floor every fusion model has to leave behind: whatever it scores can be had without any interaction of features.
"""

from __future__ import annotations

from mmfuse.options import Options


class Params(Options):
    """Nothing to choose."""


from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor, nn

from mmfuse.batch import Batch
from mmfuse.models.losses import prediction_loss
from mmfuse.task import Task


class LinearProbe(nn.Module):
    """One linear layer on the flattened, concatenated inputs."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.modalities = tuple(modality.name for modality in task.modalities)
        self.kind = task.kind
        self.output = nn.Linear(sum(prod(modality.shape) for modality in task.modalities), task.outputs)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (B, K)."""
        flat = torch.cat([batch.inputs[name].flatten(1) for name in self.modalities], dim=1)
        return {"logits": self.output(flat)}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """``total``."""
        return {"total": prediction_loss(self.kind, outputs["logits"], batch.target)}


def build(params: Params, task: Task) -> LinearProbe:
    """The model."""
    return LinearProbe(task)
