"""Batch norm on vectors that a batch of one sample can be trained with."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class VectorNorm(nn.BatchNorm1d):
    """As its parent; but a single sample, which has no variance, is normalised by the running statistics.

    Shape: (B, D) -> (B, D).
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise."""
        if self.training and len(inputs) == 1:
            return F.batch_norm(
                inputs, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(inputs)
