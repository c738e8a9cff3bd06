"""Strip-MLP: rows mix with neighbouring rows, then columns with neighbouring columns, in groups of channels.

Cao et al., "Strip-MLP: Efficient Token Interaction for Vision MLP" (2023, ICCV, arXiv 2307.11458), section 3. Half of
the channels take that cascade, the other half large strip-shaped convolutions; features of early stages also jump to
later ones.

``paper`` hands every pixel of the last map on as a token. ``reference`` reproduces the released MixMAS code, which
averages over the height only and so has one token per column. As in that code the cascade needs square maps, and no
dropout but stochastic depth is applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from mmfuse.models.shapes import TokenShape, grid_problem, stem_problem
from mmfuse.options import Options
from mmfuse.task import ModalityKind

ACCEPTS: frozenset[ModalityKind] = frozenset({"grid"})


class Params(Options):
    """Sizes of a Strip-MLP; the defaults are the paper's light tiny model."""

    dim: Annotated[int, Field(ge=8, multiple_of=8)] = 80
    """Channels of the first stage (paper T*: 80); each of the three later ones has twice as many."""
    patch: Annotated[int, Field(ge=1)] = 4
    """Side of the square patches in pixels (paper: 4)."""
    depths: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=4, max_length=4)] = (2, 2, 6, 2)
    """Blocks of each of the four stages (paper T*: 2,2,6,2)."""
    ratio: Annotated[int, Field(ge=1)] = 3
    """Hidden width of the channel MLP, in multiples of the channels (paper: 3)."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Chance that a sample skips a mixing while training (the released code: 0.1)."""
    variant: Literal["paper", "reference"] = "paper"
    """``reference``: one token per column of the last map instead of one per pixel."""


def map_sides(params: Params, shape: Sequence[int]) -> list[int]:
    """Side of each stage's square map."""
    return [shape[1] // params.patch // 2**stage for stage in range(4)]


def sized(size: str, shape: Sequence[int]) -> dict[str, Any]:
    """The candidate of a search space: the published encoder, or one a CPU trains in seconds (``small``).

    The largest patch up to the paper's 4 that divides the side and leaves enough of it to be halved three times.
    """
    small = {"dim": 16, "depths": [1, 1, 1, 1]} if size == "small" else {}
    patches = [patch for patch in (4, 2, 1) if shape[1] % patch == 0 and shape[1] // patch >= 8]
    return {**small, "patch": patches[0] if patches else 4}


def check(params: Params, shape: Sequence[int]) -> str | None:
    """Why a modality of ``shape`` cannot be encoded; None when it can."""
    problem = grid_problem(shape) or stem_problem(shape, patch=params.patch)
    if problem is not None:
        return problem
    if shape[1] != shape[2]:
        return f"it needs square grids, not {shape[1]} x {shape[2]}"
    if map_sides(params, shape)[-1] == 0:
        return (
            f"patches of {params.patch} leave {shape[1] // params.patch} of {shape[1]} pixels, too few to halve 3 times"
        )
    return None


def token_shape(params: Params, shape: Sequence[int]) -> TokenShape:
    """Pixels (or columns, in the reference variant) of the last map."""
    side = map_sides(params, shape)[-1]
    return TokenShape(side if params.variant == "reference" else side**2, 8 * params.dim)


import torch
from torch import Tensor, nn

from mmfuse.models.feature_maps import BatchNorm, BranchWeights, columns_as_tokens, pixels_as_tokens


class RelativePosition(nn.Module):
    """A learnt vector per (row, column), by their difference: () -> (D, side, side)."""

    index: Tensor

    def __init__(self, dim: int, *, side: int) -> None:
        super().__init__()
        self.table = nn.Parameter(nn.init.trunc_normal_(torch.empty(2 * side + 1, dim), std=0.02))
        steps = torch.arange(side)
        self.register_buffer("index", steps.unsqueeze(0) - steps.unsqueeze(1) + side, persistent=False)

    def forward(self) -> Tensor:
        """The positions."""
        return self.table[self.index].permute(2, 0, 1)


class StripMixing(nn.Module):
    """Rows, then columns (the cascade group strip mixing of the paper).

    Channels split into ``groups`` sets of C; a strip is one row of one such channel. Per channel one matrix, shared by
    the sets, maps a row and its two neighbours to a row; columns follow likewise.

    Shape: (B, D, S, S) -> (B, D, S, S).
    """

    def __init__(self, dim: int, *, side: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.channels = dim // groups
        strips = side * self.channels
        self.row_position = RelativePosition(dim, side=side)
        self.rows = nn.Conv2d(strips, strips, (1, 3), padding=(0, 1), groups=self.channels)
        self.row_fuse = nn.Conv2d(2 * dim, dim, 1, bias=False)
        self.norm = BatchNorm(dim)
        self.column_position = RelativePosition(dim, side=side)
        self.columns = nn.Conv2d(strips, strips, (1, 3), padding=(0, 1), groups=self.channels)
        self.column_fuse = nn.Conv2d(2 * dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Both passes."""
        rows = self._mix_columns(self.rows, (x + self.row_position()).transpose(2, 3)).transpose(2, 3)
        rows = nn.functional.gelu(self.norm(self.row_fuse(torch.cat([rows, x], dim=1)))) + self.column_position()
        return self.column_fuse(torch.cat([x, self._mix_columns(self.columns, rows)], dim=1))

    def _mix_columns(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        """Map every column and its neighbours on the last axis to a column: (B, D, H, W) -> (B, D, H, W)."""
        batch, _, height, width = x.shape
        strips = x.reshape(batch, self.groups, self.channels * height, width).transpose(1, 2)
        return conv(strips).transpose(1, 2).reshape(x.shape)


class StripBlock(nn.Module):
    """Half of the channels through strip mixing, half through strip-shaped convolutions (local strip mixing).

    Shape: (B, D, S, S) -> (B, D, S, S).
    """

    def __init__(self, dim: int, *, side: int) -> None:
        super().__init__()
        half = dim // 2
        self.enter = nn.Sequential(nn.Conv2d(dim, dim, 1), BatchNorm(dim), nn.GELU())
        # Number of sets as the released code chooses it, so that the paper's sizes come out.
        self.strips = StripMixing(half, side=side, groups=2 if dim % 80 == 0 else 4)
        self.wide = nn.Conv2d(half, half, (3, 7), padding=(1, 3), groups=half, bias=False)
        self.tall = nn.Conv2d(half, half, (7, 3), padding=(3, 1), groups=half, bias=False)
        self.weigh = BranchWeights(half, hidden=half // 2)
        self.leave = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Both halves."""
        striped, local = self.enter(x).chunk(2, dim=1)
        local = self.weigh([self.tall(local), self.wide(local), local])
        return self.leave(torch.cat([self.strips(striped), local], dim=1))


class ResponseNorm(nn.Module):
    """Global response normalisation: x + gamma * x * G / mean(G) + beta, G the norm over the map; starts as identity.

    Shape: (B, H, W, D) -> (B, H, W, D).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(dim))
        self.beta = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        response = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        return x + self.gamma * (x * response / (response.mean(-1, keepdim=True) + 1e-6)) + self.beta


class ChannelMixing(nn.Module):
    """Depthwise 7 x 7 convolution, norm, and an MLP with response normalisation.

    Shape: (B, D, H, W) -> (B, D, H, W).
    """

    def __init__(self, dim: int, *, ratio: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(dim, dim, 7, padding=3, groups=dim, bias=False)
        self.mlp = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, ratio * dim),
            nn.GELU(),
            ResponseNorm(ratio * dim),
            nn.Linear(ratio * dim, dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Mix."""
        return self.mlp(self.spread(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """Stochastic depth: while training, a sample's branch is dropped with probability ``rate``, else scaled up."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drop whole samples of (B, ...)."""
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(x.shape[0], *[1] * (x.dim() - 1), device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


class StripMixerBlock(nn.Module):
    """Token mixing by strips, then channel mixing; both residual.

    Shape: (B, D, S, S) -> (B, D, S, S).
    """

    def __init__(self, dim: int, *, side: int, ratio: int, drop_path: float) -> None:
        super().__init__()
        self.token_mixing = nn.Sequential(
            BatchNorm(dim),
            nn.GELU(),
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False),
            StripBlock(dim, side=side),
        )
        self.channel_mixing = ChannelMixing(dim, ratio=ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Both mixings."""
        x = x + self.drop_path(self.token_mixing(x))
        return x + self.drop_path(self.channel_mixing(x))


class StripMlp(nn.Module):
    """Patches, four stages with merging between them and jumps from stage 1 and 2 to stage 3 and 4, norm, tokens.

    Shape: (B, C, S, S) -> (B, tokens, dim).

    Raises:
        ValueError: when patches do not divide the grid; the strided convolution would silently drop the rest.
    """

    def __init__(self, params: Params, *, shape: Sequence[int]) -> None:
        super().__init__()
        problem = stem_problem(shape, patch=params.patch)
        if problem is not None:
            raise ValueError(problem)
        self.tokens, self.dim = token_shape(params, shape)
        self.pools_columns = params.variant == "reference"
        dims = [params.dim * 2**stage for stage in range(4)]
        sides = map_sides(params, shape)
        self.stem = nn.Conv2d(shape[0], dims[0], params.patch, stride=params.patch, bias=False)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(StripMixerBlock(dim, side=side, ratio=params.ratio, drop_path=params.drop_path) for _ in range(depth))
            )
            for dim, side, depth in zip(dims, sides, params.depths, strict=True)
        )
        self.merges = nn.ModuleList(nn.Conv2d(dim, 2 * dim, 2, stride=2, bias=False) for dim in dims[:3])
        self.jump_first_to_third = _jump(dims[1])
        self.jump_first_to_fourth = _jump(dims[2])
        self.jump_second_to_fourth = _jump(dims[2])
        self.norm = BatchNorm(dims[3])

    def forward(self, x: Tensor) -> Tensor:
        """Encode."""
        first = self.merges[0](self.stages[0](self.stem(x)))
        to_third = self.jump_first_to_third(first)
        second = self.merges[1](self.stages[1](first))
        third = self.merges[2](self.stages[2](second + to_third))
        fourth = self.stages[3](third + self.jump_first_to_fourth(to_third) + self.jump_second_to_fourth(second))
        x = self.norm(fourth)
        return columns_as_tokens(x) if self.pools_columns else pixels_as_tokens(x)


def _jump(dim: int) -> nn.Conv2d:
    """Halve the map and double the channels, each channel on its own."""
    return nn.Conv2d(dim, 2 * dim, 2, stride=2, groups=dim, bias=False)


def build(params: Params, *, shape: Sequence[int]) -> StripMlp:
    """Encoder of one modality, (B, C, S, S) -> (B, tokens, dim)."""
    return StripMlp(params, shape=shape)
