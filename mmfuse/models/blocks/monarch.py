"""Monarch Mixer: mix tokens and channels with Monarch matrices, products of permutations and block-diagonal matrices.

Fu et al., "Monarch Mixer: A Simple Sub-Quadratic GEMM-Based Architecture" (2023, arXiv 2310.12109), section 3. A
matrix of order n = s^2 costs 2 s^3 numbers instead of s^4.

``paper`` keeps every token and channel: where an axis is no square, vectors are filled with zeros up to the next one
inside each product and cut back; and blocks start at scale 1/sqrt(s), so that a product keeps the scale of its input.
``reference`` reproduces the released MixMAS code: tokens and channels beyond the largest square are thrown away (of 301
tokens of 768 channels, 289 of 729 stay), and blocks start as N(0, 1), which multiplies the scale by about s at each
product. As in that code there is no skip from a layer's input and no dropout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from mmfuse.models.shapes import TokenShape, kind_of, square_floor, stem_problem, stem_shape
from mmfuse.options import Options
from mmfuse.task import ModalityKind

ACCEPTS: frozenset[ModalityKind] = frozenset({"grid", "sequence", "vector"})


class Params(Options):
    """Sizes of a Monarch Mixer."""

    dim: Annotated[int, Field(ge=1)] | None = 128
    """Channels per token; null keeps a sequence's own width, without projection. Encoders only."""
    patch: Annotated[int, Field(ge=1)] = 14
    """Side of a grid's square patches in pixels (AV-MNIST: image 14, audio 56). Encoders only."""
    depth: Annotated[int, Field(ge=1)] = 4
    """Layers (MixMAS: 45 for text)."""
    variant: Literal["paper", "reference"] = "paper"
    """``reference``: the released code's trimming and initial scale."""


def check(params: Params, shape: Sequence[int]) -> str | None:
    """Why a modality of ``shape`` cannot be encoded; None when it can."""
    if params.dim is None and kind_of(shape) != "sequence":
        return f"dim null keeps a sequence's own width; a {kind_of(shape)} needs a number"
    return stem_problem(shape, patch=params.patch)


def check_network(params: Params, *, tokens: int, dim: int) -> str | None:
    """Why this cannot be a fusion network on (B, tokens, dim); None when it can."""
    if params.variant == "reference":
        for name, size in {"tokens": tokens, "channels": dim}.items():
            if math.isqrt(size) ** 2 != size:
                return f"the reference variant needs a square number of {name}, not {size}"
    return None


def token_shape(params: Params, shape: Sequence[int]) -> TokenShape:
    """Tokens and channels made of one sample of ``shape``; the reference variant trims both to squares."""
    tokens, dim = stem_shape(shape, patch=params.patch, dim=params.dim)
    if params.variant == "reference":
        return TokenShape(square_floor(tokens), square_floor(dim))
    return TokenShape(tokens, dim)


def tap_widths(params: Params, shape: Sequence[int]) -> tuple[int, ...]:
    """Features of each tap of a sample of ``shape``: the mean over tokens after each layer."""
    return (token_shape(params, shape).dim,) * params.depth


import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.models.encoders import MixerEncoder, build_stem


class MonarchMatrix(nn.Module):
    """Multiply vectors by a Monarch matrix T R T L T: L, R block-diagonal, T the transpose permutation.

    A vector of length s^2 is seen as an s x s matrix, where T is the matrix transpose. Other lengths are filled with
    zeros up to the next square, and the product is cut back.

    Shape: (..., size) -> (..., size).
    """

    def __init__(self, size: int, *, std: float | None = None) -> None:
        super().__init__()
        self.size = size
        self.side = math.isqrt(size - 1) + 1
        std = 1 / math.sqrt(self.side) if std is None else std
        self.left = nn.Parameter(torch.randn(self.side, self.side, self.side) * std)
        self.right = nn.Parameter(torch.randn(self.side, self.side, self.side) * std)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        filled = F.pad(x, (0, self.side**2 - self.size)) if self.side**2 != self.size else x
        square = filled.unflatten(-1, (self.side, self.side))
        # T L T x: block b multiplies column b; the result lies as (b, i), and the next T reads it as (i, b).
        columns = torch.einsum("bij,...jb->...bi", self.left, square)
        rows = torch.einsum("bij,...jb->...ib", self.right, columns)
        return rows.flatten(-2)[..., : self.size]


class MonarchMixerLayer(nn.Module):
    """Mix tokens as a long convolution would, then channels as an MLP would, each between two Monarch matrices.

    Shape: (B, N, D) -> (B, N, D).
    """

    def __init__(self, *, tokens: int, dim: int, std: float | None) -> None:
        super().__init__()
        self.token_in = MonarchMatrix(tokens, std=std)
        self.token_kernel = nn.Parameter(torch.randn(dim, tokens))
        self.token_out = MonarchMatrix(tokens, std=std)
        self.channel_in = MonarchMatrix(dim, std=std)
        self.channel_kernel = nn.Parameter(torch.randn(1, dim))
        self.channel_out = MonarchMatrix(dim, std=std)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Both mixings."""
        mixed = self.token_out(self.token_kernel * self.token_in(x.transpose(1, 2))).transpose(1, 2)
        return self.norm(self.channel_out(F.relu(self.channel_kernel * self.channel_in(mixed))) + mixed)


class Trim(nn.Module):
    """Keep the first tokens and channels: (B, N, D) -> (B, tokens, dim)."""

    def __init__(self, shape: TokenShape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Cut."""
        return x[:, : self.shape.tokens, : self.shape.dim]


def network(params: Params, *, tokens: int, dim: int) -> nn.Sequential:
    """``depth`` layers, (B, tokens, dim) -> (B, tokens, dim)."""
    std = None if params.variant == "paper" else 1.0
    return nn.Sequential(*(MonarchMixerLayer(tokens=tokens, dim=dim, std=std) for _ in range(params.depth)))


def build(params: Params, *, shape: Sequence[int]) -> MixerEncoder:
    """Encoder of one modality, (B, *shape) -> (B, tokens, dim)."""
    kept = token_shape(params, shape)
    stem = build_stem(shape, patch=params.patch, dim=params.dim)
    if params.variant == "reference":
        stem = nn.Sequential(stem, Trim(kept))
    mixer = network(params, tokens=kept.tokens, dim=kept.dim)
    return MixerEncoder(stem, mixer, tokens=kept.tokens, dim=kept.dim, depth=params.depth)
