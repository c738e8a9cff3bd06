"""Heads: tokens in, task outputs out, (B, N, D) -> (B, K). Both average over the tokens first.

The released MixMAS averages text over its features instead, so that a head sees one number per token; that ties the
head to the length of a sequence and is not reproduced.
"""

from __future__ import annotations

from torch import Tensor, nn


class LinearHead(nn.Module):
    """Token mean, then one linear layer (the classifier of M2-Mixer and of MixMAS's final model).

    Shape: (B, N, D) -> (B, K).
    """

    def __init__(self, dim: int, *, outputs: int) -> None:
        super().__init__()
        self.output = nn.Linear(dim, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Predict."""
        return self.output(tokens.mean(1))


class TwoLayerHead(nn.Module):
    """Token mean, then linear, ReLU, linear (MixMAS's micro-benchmark head).

    Shape: (B, N, D) -> (B, K).
    """

    def __init__(self, dim: int, *, hidden: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, hidden)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Predict."""
        return self.output(self.hidden(tokens.mean(1)).relu())
