"""Wave-MLP: tokens are waves; their phases decide how they add up when mixed along rows and columns.

Tang et al., "An Image Patch is a Wave: Phase-Aware Vision MLP" (2022, CVPR, arXiv 2111.12294), section 3.

``paper`` follows the text: an output channel weighs the cosine and the sine part of the same input channel; and every
pixel of the last map becomes a token. ``reference`` reproduces the released MixMAS code, where the parts are laid block
by block under a grouped convolution, which so pairs the cosine parts of two different channels, and pools the map to
one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field

from mmfuse.models.shapes import TokenShape, conv_size, grid_problem, stages_problem
from mmfuse.options import Options
from mmfuse.task import ModalityKind

ACCEPTS: frozenset[ModalityKind] = frozenset({"grid"})

Size = Annotated[int, Field(ge=1)]
Stages = Annotated[tuple[Size, ...], Field(min_length=1)]


class Params(Options):
    """Sizes of a Wave-MLP, one value per stage; the defaults are the paper's T."""

    dims: Annotated[tuple[Annotated[int, Field(ge=4)], ...], Field(min_length=1)] = (64, 128, 320, 512)
    """Channels of each stage."""
    depths: Stages = (2, 2, 4, 2)
    """Blocks of each stage (T: 2,2,4,2; S: 2,3,10,3)."""
    mlp_ratios: Stages = (4, 4, 4, 4)
    """Hidden width of the channel MLP, in multiples of the channels."""
    phase: Literal["fc", "depthwise"] = "fc"
    """How phases are estimated: a linear layer (T, S) or a depthwise 3 x 3 convolution (T*)."""
    variant: Literal["paper", "reference"] = "paper"
    """``reference``: the released code's channel pairing and pooling."""


def map_sizes(params: Params, shape: Sequence[int]) -> list[tuple[int, int]]:
    """Height and width of each stage's map."""
    height, width = (conv_size(axis, kernel=7, stride=4, padding=2) for axis in shape[1:])
    sizes = [(height, width)]
    for _ in params.dims[1:]:
        height, width = (conv_size(axis, kernel=3, stride=2, padding=1) for axis in sizes[-1])
        sizes.append((height, width))
    return sizes


def sized(size: str, shape: Sequence[int]) -> dict[str, Any]:
    """The candidate of a search space: the published encoder, or one a CPU trains in seconds (``small``)."""
    return {"dims": [16, 32, 64, 64], "depths": [1, 1, 1, 1], "mlp_ratios": [2, 2, 2, 2]} if size == "small" else {}


def check(params: Params, shape: Sequence[int]) -> str | None:
    """Why a modality of ``shape`` cannot be encoded; None when it can."""
    stages = {"dims": params.dims, "depths": params.depths, "mlp_ratios": params.mlp_ratios}
    problem = grid_problem(shape) or stages_problem(stages)
    if problem is not None:
        return problem
    if min(shape[1:]) < 3:
        return f"a grid of {shape[1]} x {shape[2]} is smaller than the stem needs (3 x 3)"
    return None


def token_shape(params: Params, shape: Sequence[int]) -> TokenShape:
    """Pixels of the last map, or one token in the reference variant."""
    height, width = map_sizes(params, shape)[-1]
    return TokenShape(1 if params.variant == "reference" else height * width, params.dims[-1])


def tap_widths(params: Params, shape: Sequence[int]) -> tuple[int, ...]:
    """Features of each tap: the mean over the map after each stage."""
    return tuple(params.dims)


import torch
from torch import Tensor, nn

from mmfuse.models.encoders import outputs_at
from mmfuse.models.feature_maps import BatchNorm, BranchWeights, mean_as_token, pixels_as_tokens


class PhaseAwareMixing(nn.Module):
    """Phase-aware token mixing (PATM): rows, columns and channels, weighed against each other.

    A linear image of the map gives amplitudes, a second estimator phases; the waves' two parts are mixed along 7
    neighbours of the row (or column) for each channel.

    Shape: (B, D, H, W) -> (B, D, H, W).
    """

    def __init__(self, dim: int, *, phase: Literal["fc", "depthwise"], pairs_parts: bool) -> None:
        super().__init__()
        self.pairs_parts = pairs_parts
        self.row_phase, self.column_phase = _phase_estimator(dim, phase), _phase_estimator(dim, phase)
        self.row_amplitude = nn.Conv2d(dim, dim, 1, bias=False)
        self.column_amplitude = nn.Conv2d(dim, dim, 1, bias=False)
        self.channel = nn.Conv2d(dim, dim, 1, bias=False)
        self.row_mixing = nn.Conv2d(2 * dim, dim, (1, 7), padding=(0, 3), groups=dim, bias=False)
        self.column_mixing = nn.Conv2d(2 * dim, dim, (7, 1), padding=(3, 0), groups=dim, bias=False)
        self.weigh = BranchWeights(dim, hidden=dim // 4)
        self.output = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Mix along both axes and the channels."""
        row = self.row_mixing(self._unfold(self.row_amplitude(x), self.row_phase(x)))
        column = self.column_mixing(self._unfold(self.column_amplitude(x), self.column_phase(x)))
        return self.output(self.weigh([row, column, self.channel(x)]))

    def _unfold(self, amplitude: Tensor, phase: Tensor) -> Tensor:
        """The wave's two parts as 2D channels (Euler); the grouped convolution reads them in pairs."""
        parts = [amplitude * phase.cos(), amplitude * phase.sin()]
        return torch.stack(parts, dim=2).flatten(1, 2) if self.pairs_parts else torch.cat(parts, dim=1)


def _phase_estimator(dim: int, phase: Literal["fc", "depthwise"]) -> nn.Sequential:
    if phase == "fc":
        return nn.Sequential(nn.Conv2d(dim, dim, 1), BatchNorm(dim), nn.ReLU())
    depthwise = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False)
    return nn.Sequential(depthwise, BatchNorm(dim), nn.ReLU())


class WaveBlock(nn.Module):
    """Phase-aware token mixing, then a channel MLP; both residual, norm first.

    Shape: (B, D, H, W) -> (B, D, H, W).
    """

    def __init__(self, dim: int, *, ratio: int, params: Params) -> None:
        super().__init__()
        self.token_norm = BatchNorm(dim)
        self.token_mixing = PhaseAwareMixing(dim, phase=params.phase, pairs_parts=params.variant == "paper")
        self.channel_norm = BatchNorm(dim)
        self.channel_mixing = nn.Sequential(nn.Conv2d(dim, ratio * dim, 1), nn.GELU(), nn.Conv2d(ratio * dim, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Both mixings."""
        x = x + self.token_mixing(self.token_norm(x))
        return x + self.channel_mixing(self.channel_norm(x))


class WaveMlp(nn.Module):
    """Overlapping patches, stages with halving transitions between them, final norm, tokens.

    Shape: (B, C, H, W) -> (B, tokens, dim).
    """

    def __init__(self, params: Params, *, shape: Sequence[int]) -> None:
        super().__init__()
        self.tokens, self.dim = token_shape(params, shape)
        self.pools_all = params.variant == "reference"
        dims = params.dims
        layers: list[nn.Module] = [
            nn.Conv2d(shape[0], dims[0], 7, stride=4, padding=2),
            BatchNorm(dims[0]),
            *_stage(params, 0),
        ]
        ends = [len(layers) - 1]
        for stage, (before, after) in enumerate(pairwise(dims), start=1):
            halve = nn.Conv2d(before, after, 3, stride=2, padding=1)
            layers += [halve, BatchNorm(after), *_stage(params, stage)]
            ends.append(len(layers) - 1)
        self.layers = nn.Sequential(*layers, BatchNorm(dims[-1]))
        self.ends = (*ends[:-1], len(layers))  # the last stage is tapped behind the norm, where a head reads

    def forward(self, x: Tensor) -> Tensor:
        """Encode."""
        x = self.layers(x)
        return mean_as_token(x) if self.pools_all else pixels_as_tokens(x)

    def taps(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> one (B, width) per stage."""
        return [maps.mean((2, 3)) for maps in outputs_at(self.layers, self.ends, x)]

    def trim(self, last: int) -> None:
        """Keep what taps 0 to ``last`` need."""
        self.ends = self.ends[: last + 1]
        del self.layers[self.ends[-1] + 1 :]


def _stage(params: Params, stage: int) -> list[nn.Module]:
    return [
        WaveBlock(params.dims[stage], ratio=params.mlp_ratios[stage], params=params)
        for _ in range(params.depths[stage])
    ]


def build(params: Params, *, shape: Sequence[int]) -> WaveMlp:
    """Encoder of one modality, (B, C, H, W) -> (B, tokens, dim)."""
    return WaveMlp(params, shape=shape)
