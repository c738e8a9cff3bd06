"""RaMLP: a pyramid of blocks whose mixing is conditional on regions of the map.

Lai et al., "RaMLP: Vision MLP via Region-aware Mixing" (2023, IJCAI). A map is cut so that pixels a stride apart
belong to one region; one matrix, shared by all regions and channel groups, mixes the pixels of a region.

``paper`` hands every pixel of the last map on as a token (their mean is the paper's pooling). ``reference`` reproduces
the released MixMAS code, which averages over the height only and so has one token per column. The stem pads 2 where
its kernel of 7 would want 3, as in that code.
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
    """Sizes of a RaMLP, one value per stage; the defaults are MixMAS's image encoder for 28 x 28."""

    dims: Stages = (64, 128, 256, 512)
    """Channels of each stage."""
    depths: Stages = (3, 3, 9, 3)
    """Blocks of each stage."""
    mlp_ratios: Stages = (4, 4, 3, 3)
    """Hidden width of the channel MLP, in multiples of the channels."""
    expansions: Stages = (3, 3, 2, 2)
    """Width of the region mixing, in multiples of the channels."""
    regions: Stages = (7, 4, 2, 1)
    """Side of a region in pixels; divides the side of the stage's map (MixMAS: 7,4,2,1 at 28, 7,7,7,1 at 112)."""
    groups: Stages = (1, 4, 16, 64)
    """Channels that a region's matrix mixes together; divides the width of the region mixing."""
    variant: Literal["paper", "reference"] = "paper"
    """``reference``: one token per column of the last map instead of one per pixel."""


def sized(size: str, shape: Sequence[int]) -> dict[str, Any]:
    """The candidate of a search space: the published encoder, or one a CPU trains in seconds (``small``).

    Regions follow from the maps as MixMAS's two configurations have it (7,4,2,1 for 28 x 28, 7,7,7,1 for 112 x 112):
    the largest divisor of a map up to 7, and 1 in the last stage.
    """
    small = {"dims": [16, 32, 64, 64], "depths": [1, 1, 1, 1], "groups": [1, 2, 4, 8]} if size == "small" else {}
    sides = [height for height, _ in map_sizes(Params(), shape)[:-1]]
    regions = [max(divisor for divisor in range(1, 8) if side % divisor == 0) for side in sides]
    return {**small, "regions": [*regions, 1]}


def map_sizes(params: Params, shape: Sequence[int]) -> list[tuple[int, int]]:
    """Height and width of each stage's map."""
    sizes = [_after(shape[1:], kernel=7, stride=4, padding=2)]
    for _ in params.dims[1:]:
        sizes.append(_after(sizes[-1], kernel=3, stride=2, padding=1))
    return sizes


def _after(size: Sequence[int], *, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    height, width = (conv_size(axis, kernel=kernel, stride=stride, padding=padding) for axis in size)
    return height, width


def check(params: Params, shape: Sequence[int]) -> str | None:
    """Why a modality of ``shape`` cannot be encoded; None when it can."""
    settings = ("dims", "depths", "mlp_ratios", "expansions", "regions", "groups")
    problem = grid_problem(shape) or stages_problem({name: getattr(params, name) for name in settings})
    if problem is not None:
        return problem
    if min(shape[1:]) < 3:
        return f"a grid of {shape[1]} x {shape[2]} is smaller than the stem needs (3 x 3)"
    for stage, (height, width) in enumerate(map_sizes(params, shape)):
        region, group = params.regions[stage], params.groups[stage]
        mixed = params.expansions[stage] * params.dims[stage]
        if height % region or width % region:
            return f"a region of {region} does not divide the map of stage {stage + 1}, {height} x {width}"
        if mixed % group:
            return f"groups of {group} do not divide the {mixed} mixed channels of stage {stage + 1}"
    return None


def token_shape(params: Params, shape: Sequence[int]) -> TokenShape:
    """Pixels (or columns, in the reference variant) of the last map."""
    height, width = map_sizes(params, shape)[-1]
    return TokenShape(width if params.variant == "reference" else height * width, params.dims[-1])


def tap_widths(params: Params, shape: Sequence[int]) -> tuple[int, ...]:
    """Features of each tap: the mean over the map after each stage."""
    return tuple(params.dims)


import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.models.encoders import outputs_at
from mmfuse.models.feature_maps import BatchNorm, columns_as_tokens, pixels_as_tokens

# Maps travel as (B, H, W, C): linear layers and norms act on the last axis, and a permuted view of it is what torch
# calls channels-last, which its convolutions take without a copy.


class ConvLast(nn.Module):
    """A convolution on (B, H, W, C) maps."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class BatchNormLast(nn.Module):
    """Batch normalisation on (B, H, W, C) maps."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = BatchNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        return self.norm(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _depthwise(dim: int, *, kernel: int) -> ConvLast:
    return ConvLast(nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False))


class RegionMixing(nn.Module):
    """Gate: a depthwise convolution, mixed within regions, times a linear image of the input (region-aware mixing).

    With stride (H/k, W/k) the map falls into regions of k x k pixels; the k*k*g values of a region in a group of g
    channels, divided by their number, are multiplied by one shared matrix.

    Shape: (B, H, W, D) -> (B, H, W, D).
    """

    def __init__(self, dim: int, *, expansion: int, region: int, group: int) -> None:
        super().__init__()
        width = expansion * dim
        self.region = region
        self.group = group
        self.value = nn.Linear(dim, width, bias=False)
        self.local = _depthwise(width, kernel=5)
        self.shared = nn.Linear(region**2 * group, region**2 * group, bias=False)
        self.value_norm = BatchNormLast(width)
        self.gate = nn.Linear(dim, width, bias=False)
        self.gate_norm = BatchNormLast(width)
        self.output = nn.Linear(width, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mix and gate."""
        value = self.value_norm(self._mix_regions(self.local(self.value(x))))
        return self.output(value * self.gate_norm(self.gate(x)))

    def _mix_regions(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        k, g = self.region, self.group
        # (B, a, i, b, j, c, h): pixel (a * H/k + i, b * W/k + j), channel c * g + h; region (i, j).
        parts = x.reshape(batch, k, height // k, k, width // k, channels // g, g).permute(0, 2, 4, 5, 6, 1, 3)
        mixed = self.shared(parts.flatten(4) / (k**2 * g)).unflatten(4, (g, k, k))
        return mixed.permute(0, 5, 1, 6, 2, 3, 4).reshape(batch, height, width, channels)


class StarRelu(nn.Module):
    """scale * relu(x)^2 + bias, both learnt numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Activate."""
        return self.scale * F.relu(x).square() + self.bias


class RaBlock(nn.Module):
    """Position encoding by a depthwise convolution, region mixing, channel MLP; all residual.

    ``scales`` makes the two skip paths of the mixings scalable per channel (stages 3 and later).

    Shape: (B, H, W, D) -> (B, H, W, D).
    """

    def __init__(self, dim: int, *, ratio: int, expansion: int, region: int, group: int, scales: bool) -> None:
        super().__init__()
        self.position = _depthwise(dim, kernel=3)
        self.region_norm = nn.LayerNorm(dim, eps=1e-6)
        self.region_mixing = RegionMixing(dim, expansion=expansion, region=region, group=group)
        self.channel_norm = nn.LayerNorm(dim, eps=1e-6)
        self.channel_mixing = nn.Sequential(
            nn.Linear(dim, ratio * dim, bias=False), StarRelu(), nn.Linear(ratio * dim, dim, bias=False)
        )
        self.scales = nn.ParameterList([torch.ones(dim), torch.ones(dim)] if scales else [])

    def forward(self, x: Tensor) -> Tensor:
        """All three."""
        x = x + self.position(x)
        x = self._skip(x, 0) + self.region_mixing(self.region_norm(x))
        return self._skip(x, 1) + self.channel_mixing(self.channel_norm(x))

    def _skip(self, x: Tensor, path: int) -> Tensor:
        return x * self.scales[path] if len(self.scales) else x


class RaMlp(nn.Module):
    """Stem, stages with halving transitions between them, final norm, tokens.

    Shape: (B, C, H, W) -> (B, tokens, dim).
    """

    def __init__(self, params: Params, *, shape: Sequence[int]) -> None:
        super().__init__()
        self.tokens, self.dim = token_shape(params, shape)
        self.pools_columns = params.variant == "reference"
        dims = params.dims
        stem = nn.Conv2d(shape[0], dims[0], 7, stride=4, padding=2)
        layers: list[nn.Module] = [ConvLast(stem), nn.LayerNorm(dims[0], eps=1e-6), *_stage(params, 0)]
        ends = [len(layers) - 1]
        for stage, (before, after) in enumerate(pairwise(dims), start=1):
            halve = nn.Conv2d(before, after, 3, stride=2, padding=1)
            layers += [nn.LayerNorm(before, eps=1e-6), ConvLast(halve), *_stage(params, stage)]
            ends.append(len(layers) - 1)
        self.layers = nn.Sequential(*layers, nn.LayerNorm(dims[-1], eps=1e-6))
        self.ends = (*ends[:-1], len(layers))  # the last stage is tapped behind the norm, where a head reads
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Encode."""
        x = self.layers(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return columns_as_tokens(x) if self.pools_columns else pixels_as_tokens(x)

    def taps(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> one (B, width) per stage."""
        return [pixels.mean((1, 2)) for pixels in outputs_at(self.layers, self.ends, x.permute(0, 2, 3, 1))]

    def trim(self, last: int) -> None:
        """Keep what taps 0 to ``last`` need."""
        self.ends = self.ends[: last + 1]
        del self.layers[self.ends[-1] + 1 :]


def _stage(params: Params, stage: int) -> list[nn.Module]:
    return [
        RaBlock(
            params.dims[stage],
            ratio=params.mlp_ratios[stage],
            expansion=params.expansions[stage],
            region=params.regions[stage],
            group=params.groups[stage],
            scales=stage >= 2,
        )
        for _ in range(params.depths[stage])
    ]


def _initialise(module: nn.Module) -> None:
    """Truncated normal of std 0.02 for weights, zero for biases, as the paper's code."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(params: Params, *, shape: Sequence[int]) -> RaMlp:
    """Encoder of one modality, (B, C, H, W) -> (B, tokens, dim)."""
    return RaMlp(params, shape=shape)
