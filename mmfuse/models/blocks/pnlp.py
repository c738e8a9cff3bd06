"""pNLP-Mixer: an MLP-Mixer on windows of hashed text features.

Fusco et al., "pNLP-Mixer: an Efficient all-MLP Architecture for Language" (2022, arXiv 2202.04350), section 3. Each
token comes as a counting Bloom filter of its MinHash fingerprint (F counters). A window of neighbours is joined,
brought to ``dim`` channels, and mixed; token and channel MLPs share one hidden width, as M2-Mixer has it.

Where we differ from M2-Mixer's code: it joins windows while preparing data, which stores each counter 2w+1 times and
returns a wrong number of tokens for w > 1. Here the block joins them (``window``); data that come in windows
already are taken with ``window`` 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from mmfuse.models.shapes import TokenShape, kind_of
from mmfuse.options import Options
from mmfuse.task import ModalityKind

ACCEPTS: frozenset[ModalityKind] = frozenset({"sequence"})


class Params(Options):
    """Sizes of a pNLP-Mixer; the defaults are M2-Mixer's on MM-IMDB."""

    dim: Annotated[int, Field(ge=1)] = 256
    """Channels per token (M2-Mixer: 256)."""
    depth: Annotated[int, Field(ge=1)] = 4
    """Mixer blocks (M2-Mixer: 4)."""
    hidden: Annotated[int, Field(ge=1)] = 512
    """Hidden width of the MLPs across tokens and across channels (M2-Mixer: 512 for both)."""
    window: Annotated[int, Field(ge=0)] = 1
    """Neighbours joined on either side (paper: 1); 0 where the features are windows already."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout inside both MLPs (as the other mixers')."""


def check(params: Params, shape: Sequence[int]) -> str | None:
    """Why a modality of ``shape`` cannot be encoded; None when it can."""
    kind = kind_of(shape)
    return None if kind == "sequence" else f"it needs a sequence (T, F), not a {kind} of shape {tuple(shape)}"


def token_shape(params: Params, shape: Sequence[int]) -> TokenShape:
    """As many tokens as the sequence has."""
    return TokenShape(shape[0], params.dim)


def tap_widths(params: Params, shape: Sequence[int]) -> tuple[int, ...]:
    """Features of each tap of a sample of ``shape``: the mean over tokens after each layer."""
    return (token_shape(params, shape).dim,) * params.depth


import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.models.blocks.mlp import MixerBlock
from mmfuse.models.encoders import MixerEncoder


class WindowStem(nn.Module):
    """Join each token with its ``window`` neighbours on either side (zeros beyond the ends), then project.

    Shape: (B, N, F) -> (B, N, dim).
    """

    def __init__(self, features: int, *, window: int, dim: int) -> None:
        super().__init__()
        self.window = window
        self.project = nn.Linear((2 * window + 1) * features, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Join and project."""
        tokens = x.shape[1]
        padded = F.pad(x, (0, 0, self.window, self.window))
        shifted = [padded[:, offset : offset + tokens] for offset in range(2 * self.window + 1)]
        return self.project(torch.cat(shifted, dim=2))


def build(params: Params, *, shape: Sequence[int]) -> MixerEncoder:
    """Encoder of one modality, (B, T, F) -> (B, T, dim)."""
    tokens, features = shape
    blocks = [
        MixerBlock(
            tokens=tokens,
            dim=params.dim,
            token_hidden=params.hidden,
            channel_hidden=params.hidden,
            dropout=params.dropout,
        )
        for _ in range(params.depth)
    ]
    stem = WindowStem(features, window=params.window, dim=params.dim)
    return MixerEncoder(
        stem, nn.Sequential(*blocks, nn.LayerNorm(params.dim)), tokens=tokens, dim=params.dim, depth=params.depth
    )
