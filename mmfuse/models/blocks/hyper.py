"""HyperMixer: an MLP-Mixer whose token-mixing MLP is generated from the tokens by small hypernetworks.

Mai et al., "HyperMixer: An MLP-based Low Cost Alternative to Transformers" (2022, arXiv 2203.03691), sections 2-3. Its
size does not depend on the number of tokens. Positions are added to what the hypernetworks see, not to what is mixed.

``paper`` follows that. ``reference`` reproduces the released MixMAS code: the axes are swapped, so that hypernetworks
run over channels and the number of tokens is baked into the weights; the channel MLP's result is added to the block's
input, which drops the token mixing from the skip path; the position table starts at 1 and doubles exponents; and what
the hypernetworks see is first multiplied by sqrt(E), a habit of transformers that after a layer norm drowns positions
(on 8 x 8 digits it costs the paper variant about 18 points of accuracy in the first epochs, so it has no such factor).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from mmfuse.models.shapes import TokenShape, kind_of, stem_problem, stem_shape
from mmfuse.options import Options
from mmfuse.task import ModalityKind

ACCEPTS: frozenset[ModalityKind] = frozenset({"grid", "sequence", "vector"})


class Params(Options):
    """Sizes of a HyperMixer; the defaults are MixMAS's image encoder."""

    dim: Annotated[int, Field(ge=1)] | None = 128
    """Channels per token (MixMAS: 128); null keeps a sequence's own width, without projection. Encoders only."""
    patch: Annotated[int, Field(ge=1)] = 14
    """Side of a grid's square patches in pixels (AV-MNIST: image 14, audio 56). Encoders only."""
    depth: Annotated[int, Field(ge=1)] = 4
    """Mixer blocks (MixMAS: 4 in an image encoder, 7 for text, 4 in the fusion network)."""
    token_hidden: Annotated[int, Field(ge=1)] = 32
    """Hidden width of the generated token MLP (as MLP-Mixer's here); ``reference`` uses the number of channels."""
    channel_hidden: Annotated[int, Field(ge=1)] = 3072
    """Hidden width of the MLP across channels (MixMAS: 3072 for images, 1900 for text)."""
    heads: Annotated[int, Field(ge=1)] = 1
    """Independent hypernetworks, each on a share of the channels (MixMAS: 1)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout inside the channel MLP (MixMAS: 0.1)."""
    variant: Literal["paper", "reference"] = "paper"
    """``reference``: the released code's swapped axes, residual and position table."""


def check(params: Params, shape: Sequence[int]) -> str | None:
    """Why a modality of ``shape`` cannot be encoded; None when it can."""
    if params.dim is None and kind_of(shape) != "sequence":
        return f"dim null keeps a sequence's own width; a {kind_of(shape)} needs a number"
    problem = stem_problem(shape, patch=params.patch)
    if problem is not None:
        return problem
    tokens, dim = token_shape(params, shape)
    return check_network(params, tokens=tokens, dim=dim)


def check_network(params: Params, *, tokens: int, dim: int) -> str | None:
    """Why this cannot mix (B, tokens, dim): heads must divide what they share. None when it can."""
    if params.variant == "paper":
        shared = {"channels": dim, "token_hidden": params.token_hidden}
    else:
        shared = {"tokens": tokens, "channels": dim}
    for name, size in shared.items():
        if size % params.heads:
            return f"{params.heads} heads do not divide {size} ({name})"
    return None


def token_shape(params: Params, shape: Sequence[int]) -> TokenShape:
    """Tokens and channels made of one sample of ``shape``."""
    return stem_shape(shape, patch=params.patch, dim=params.dim)


def tap_widths(params: Params, shape: Sequence[int]) -> tuple[int, ...]:
    """Features of each tap of a sample of ``shape``: the mean over tokens after each layer."""
    return (token_shape(params, shape).dim,) * params.depth


import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.models.blocks.mlp import FeedForward
from mmfuse.models.encoders import MixerEncoder, build_stem


def position_table(length: int, width: int) -> Tensor:
    """Sinusoids (length, width): sin(p / 10000^(i/width)) at even i, the cosine of the same angle beside it."""
    even = torch.arange(width) // 2 * 2
    return _interleaved_waves(torch.arange(length), even / width)


def reference_position_table(length: int, width: int) -> Tensor:
    """The released code's table (length, width): positions from 1, exponents 2i/width at every i."""
    return _interleaved_waves(torch.arange(1, length + 1), 2 * torch.arange(width) / width)


def _interleaved_waves(positions: Tensor, exponents: Tensor) -> Tensor:
    angle = positions.double().unsqueeze(1) * 10_000.0 ** -exponents.double()
    even = torch.arange(len(exponents)) % 2 == 0
    return torch.where(even, angle.sin(), angle.cos()).float()


class Hypernetwork(nn.Module):
    """Generate a weight row per token: a bias-free two-layer MLP of its own for each head.

    Shape: (B, N, E) -> (B, N, heads, hidden / heads).

    Raises:
        ValueError: when heads do not divide ``dim`` and ``hidden``.
    """

    def __init__(self, dim: int, *, hidden: int, heads: int) -> None:
        super().__init__()
        if dim % heads or hidden % heads:
            raise ValueError(f"{heads} heads do not divide {dim} channels and {hidden} hidden units")
        share = dim // heads
        self.first = nn.Parameter(torch.empty(heads, share, share))
        self.second = nn.Parameter(torch.empty(heads, hidden // heads, share))
        for weight in (*self.first, *self.second):
            nn.init.xavier_uniform_(weight, gain=math.sqrt(2))

    def forward(self, z: Tensor) -> Tensor:
        """Generate."""
        slices = z.unflatten(2, (self.first.shape[0], -1))
        features = F.gelu(torch.einsum("bnhe,hfe->bnhf", slices, self.first))
        return torch.einsum("bnhf,hkf->bnhk", features, self.second)


class HyperMixing(nn.Module):
    """Mix across tokens with generated weights: LN(GELU(x^T W1) W2^T), W1 and W2 from ``scale`` * x + positions.

    Shape: (B, N, E) -> (B, N, E).
    """

    positions: Tensor

    def __init__(self, dim: int, *, hidden: int, heads: int, positions: Tensor, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.heads = heads
        self.register_buffer("positions", positions, persistent=False)
        self.key = Hypernetwork(dim, hidden=hidden, heads=heads)
        self.query = Hypernetwork(dim, hidden=hidden, heads=heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Generate both weights, mix."""
        placed = x * self.scale + self.positions
        values = x.unflatten(2, (self.heads, -1))  # (B, N, h, E/h)
        hidden = F.gelu(torch.einsum("bnhe,bnhk->bhek", values, self.key(placed)))
        mixed = torch.einsum("bhek,bnhk->bnhe", hidden, self.query(placed))
        return self.norm(mixed.flatten(2))


class HyperMixerBlock(nn.Module):
    """Mix across tokens with generated weights, then across channels; both residual, norm first.

    Shape: (B, N, D) -> (B, N, D).
    """

    def __init__(self, params: Params, *, tokens: int, dim: int) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(dim)
        self.token_mixing = HyperMixing(
            dim, hidden=params.token_hidden, heads=params.heads, positions=position_table(tokens, dim)
        )
        self.channel_norm = nn.LayerNorm(dim)
        self.channel_mixing = FeedForward(dim, hidden=params.channel_hidden, dropout=params.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Both mixings."""
        x = x + self.token_mixing(self.token_norm(x))
        return x + self.channel_mixing(self.channel_norm(x))


class ReferenceHyperMixerBlock(nn.Module):
    """The released code's block: channels take the place of tokens, and the second skip starts at the block's input.

    Shape: (B, N, D) -> (B, N, D).
    """

    def __init__(self, params: Params, *, tokens: int, dim: int) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(dim)
        self.token_mixing = HyperMixing(
            tokens,
            hidden=dim,
            heads=params.heads,
            positions=reference_position_table(dim, tokens),
            scale=math.sqrt(tokens),
        )
        self.channel_norm = nn.LayerNorm(dim)
        self.channel_mixing = FeedForward(dim, hidden=params.channel_hidden, dropout=params.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Both mixings."""
        mixed = x + self.token_mixing(self.token_norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channel_mixing(self.channel_norm(mixed))


def network(params: Params, *, tokens: int, dim: int) -> nn.Sequential:
    """``depth`` blocks and a final layer norm, (B, tokens, dim) -> (B, tokens, dim)."""
    block = HyperMixerBlock if params.variant == "paper" else ReferenceHyperMixerBlock
    return nn.Sequential(*(block(params, tokens=tokens, dim=dim) for _ in range(params.depth)), nn.LayerNorm(dim))


def build(params: Params, *, shape: Sequence[int]) -> MixerEncoder:
    """Encoder of one modality, (B, *shape) -> (B, tokens, dim)."""
    tokens, dim = token_shape(params, shape)
    stem = build_stem(shape, patch=params.patch, dim=params.dim)
    return MixerEncoder(stem, network(params, tokens=tokens, dim=dim), tokens=tokens, dim=dim, depth=params.depth)
