"""Perceptron: a plain MLP that turns a vector into one token; not a mixer, but what a vector modality needs.

M2-Mixer (Bezirganyan et al., IEEE BigData 2023) encodes MIMIC-III's static features so: linear, ReLU, dropout per
hidden layer, then a linear layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from mmfuse.models.shapes import TokenShape, kind_of
from mmfuse.options import Options
from mmfuse.task import ModalityKind

ACCEPTS: frozenset[ModalityKind] = frozenset({"vector"})


class Params(Options):
    """Sizes of the MLP; the defaults are M2-Mixer's on MIMIC-III."""

    dim: Annotated[int, Field(ge=1)] = 64
    """Channels of the token (M2-Mixer: 64)."""
    hidden: Annotated[int, Field(ge=1)] = 64
    """Width of the hidden layers (M2-Mixer: 64)."""
    depth: Annotated[int, Field(ge=0)] = 2
    """Hidden layers (M2-Mixer: 2)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Dropout after each hidden layer (M2-Mixer on MIMIC-III: 0.3)."""


def check(params: Params, shape: Sequence[int]) -> str | None:
    """Why a modality of ``shape`` cannot be encoded; None when it can."""
    return None if kind_of(shape) == "vector" else f"it needs a vector, not a {kind_of(shape)} of shape {tuple(shape)}"


def token_shape(params: Params, shape: Sequence[int]) -> TokenShape:
    """One token of ``dim`` channels."""
    return TokenShape(1, params.dim)


def tap_widths(params: Params, shape: Sequence[int]) -> tuple[int, ...]:
    """Features of each tap: every hidden layer's, then the token."""
    return (params.hidden,) * params.depth + (params.dim,)


from torch import Tensor, nn

from mmfuse.models.encoders import outputs_at


class Perceptron(nn.Module):
    """Hidden layers with ReLU and dropout, then a linear layer.

    Shape: (B, F) -> (B, 1, dim).
    """

    def __init__(self, features: int, *, dim: int, hidden: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.tokens = 1
        self.dim = dim
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout)]
            features = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(features, dim))
        self.ends = (*range(2, 3 * depth, 3), 3 * depth)

    def forward(self, x: Tensor) -> Tensor:
        """Encode."""
        return self.layers(x).unsqueeze(1)

    def taps(self, x: Tensor) -> list[Tensor]:
        """(B, F) -> one (B, width) per layer."""
        return outputs_at(self.layers, self.ends, x)

    def trim(self, last: int) -> None:
        """Keep what taps 0 to ``last`` need."""
        self.ends = self.ends[: last + 1]
        del self.layers[self.ends[-1] + 1 :]


def build(params: Params, *, shape: Sequence[int]) -> Perceptron:
    """Encoder of one modality, (B, F) -> (B, 1, dim)."""
    return Perceptron(shape[0], dim=params.dim, hidden=params.hidden, depth=params.depth, dropout=params.dropout)
