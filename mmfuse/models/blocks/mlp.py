"""MLP-Mixer: mix across tokens, then across channels, with two small MLPs.

Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision" (2021, arXiv 2105.01601), section 2. Differences:
no pooling and no class token, since a fusion wants the tokens; dropout inside both MLPs, as in M2-Mixer and MixMAS.

``reference`` reproduces how the released MixMAS code binds the arguments of its text mixer: ``channel_hidden`` becomes
the width of the token MLP and the channel MLP is one unit wide. It concerns sequences only.
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
    """Sizes of an MLP-Mixer; the defaults are MixMAS's image encoder."""

    dim: Annotated[int, Field(ge=1)] | None = 128
    """Channels per token (M2-Mixer B: 128); null keeps a sequence's own width, without projection. Encoders only."""
    patch: Annotated[int, Field(ge=1)] = 14
    """Side of a grid's square patches in pixels (AV-MNIST: image 14, audio 56). Encoders only."""
    depth: Annotated[int, Field(ge=1)] = 4
    """Mixer blocks (M2-Mixer B: 4 in an encoder, 2 in the fusion network)."""
    token_hidden: Annotated[int, Field(ge=1)] = 32
    """Hidden width of the MLP across tokens (M2-Mixer B: 32)."""
    channel_hidden: Annotated[int, Field(ge=1)] = 3072
    """Hidden width of the MLP across channels (M2-Mixer B: 3072)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout inside both MLPs (MixMAS: 0.1; M2-Mixer B: 0.5)."""
    variant: Literal["paper", "reference"] = "paper"
    """``reference``: the released text mixer's swapped widths, for sequences."""


def check(params: Params, shape: Sequence[int]) -> str | None:
    """Why a modality of ``shape`` cannot be encoded; None when it can."""
    if params.dim is None and kind_of(shape) != "sequence":
        return f"dim null keeps a sequence's own width; a {kind_of(shape)} needs a number"
    return stem_problem(shape, patch=params.patch)


def check_network(params: Params, *, tokens: int, dim: int) -> str | None:
    """Why this cannot be a fusion network on (B, tokens, dim); an MLP-Mixer always can."""
    return None


def token_shape(params: Params, shape: Sequence[int]) -> TokenShape:
    """Tokens and channels made of one sample of ``shape``."""
    return stem_shape(shape, patch=params.patch, dim=params.dim)


def tap_widths(params: Params, shape: Sequence[int]) -> tuple[int, ...]:
    """Features of each tap of a sample of ``shape``: the mean over tokens after each layer."""
    return (token_shape(params, shape).dim,) * params.depth


from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.models.encoders import MixerEncoder, build_stem


class FeedForward(nn.Module):
    """Linear, GELU, dropout, linear, dropout on the last axis.

    Shape: (..., D) -> (..., D).
    """

    def __init__(self, dim: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.widen = nn.Linear(dim, hidden)
        self.narrow = nn.Linear(hidden, dim)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Apply the MLP to every vector of the last axis."""
        return self._drop(self.narrow(self._drop(F.gelu(self.widen(x)))))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class MixerBlock(nn.Module):
    """Mix across tokens, then across channels; both residual, norm first (MLP-Mixer, eq. 1).

    Shape: (B, N, D) -> (B, N, D).
    """

    def __init__(self, *, tokens: int, dim: int, token_hidden: int, channel_hidden: int, dropout: float) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(dim)
        self.token_mixing = FeedForward(tokens, hidden=token_hidden, dropout=dropout)
        self.channel_norm = nn.LayerNorm(dim)
        self.channel_mixing = FeedForward(dim, hidden=channel_hidden, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Both mixings."""
        x = x + self.token_mixing(self.token_norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channel_mixing(self.channel_norm(x))


def mixer_stack(params: Params, *, tokens: int, dim: int, token_hidden: int, channel_hidden: int) -> nn.Sequential:
    """``depth`` blocks and a final layer norm, (B, tokens, dim) -> (B, tokens, dim)."""
    blocks = [
        MixerBlock(
            tokens=tokens, dim=dim, token_hidden=token_hidden, channel_hidden=channel_hidden, dropout=params.dropout
        )
        for _ in range(params.depth)
    ]
    return nn.Sequential(*blocks, nn.LayerNorm(dim))


def network(params: Params, *, tokens: int, dim: int) -> nn.Sequential:
    """The mixer on tokens that are there already, (B, tokens, dim) -> (B, tokens, dim)."""
    return mixer_stack(
        params, tokens=tokens, dim=dim, token_hidden=params.token_hidden, channel_hidden=params.channel_hidden
    )


def build(params: Params, *, shape: Sequence[int]) -> MixerEncoder:
    """Encoder of one modality, (B, *shape) -> (B, tokens, dim)."""
    tokens, dim = token_shape(params, shape)
    swapped = params.variant == "reference" and kind_of(shape) == "sequence"
    mixer = mixer_stack(
        params,
        tokens=tokens,
        dim=dim,
        token_hidden=params.channel_hidden if swapped else params.token_hidden,
        channel_hidden=1 if swapped else params.channel_hidden,
    )
    return MixerEncoder(
        build_stem(shape, patch=params.patch, dim=params.dim), mixer, tokens=tokens, dim=dim, depth=params.depth
    )
