"""Feature maps (B, C, H, W): what the hierarchical blocks share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that survives a single value per channel.

    The statistics of one value say nothing (and torch refuses them), so a map of one pixel in a batch of one is
    normalised with the running statistics, as in evaluation. Small images shrink to one pixel in the last stage.

    Shape: (B, C, H, W) -> (B, C, H, W).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def pixels_as_tokens(x: Tensor) -> Tensor:
    """Every pixel becomes a token, row by row: (B, C, H, W) -> (B, H * W, C)."""
    return x.flatten(2).transpose(1, 2)


def columns_as_tokens(x: Tensor) -> Tensor:
    """Every column's mean becomes a token: (B, C, H, W) -> (B, W, C)."""
    return x.mean(2).transpose(1, 2)


def mean_as_token(x: Tensor) -> Tensor:
    """The mean over all pixels becomes the one token: (B, C, H, W) -> (B, 1, C)."""
    return x.mean((2, 3)).unsqueeze(1)


class BranchWeights(nn.Module):
    """Weigh three branches per channel, by a softmax over them of an MLP on the mean of their sum.

    Shape: 3 x (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, dim: int, *, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, 3 * dim))

    def forward(self, branches: list[Tensor]) -> Tensor:
        """The weighted sum."""
        first, second, third = branches
        scores = self.mlp((first + second + third).mean((2, 3))).unflatten(1, (-1, 3))
        weights = scores.softmax(2)[..., None, None]  # (B, C, 3, 1, 1)
        return first * weights[:, :, 0] + second * weights[:, :, 1] + third * weights[:, :, 2]
