"""Fewer pairs, chosen at random or to differ from each other.

FuseMix (arXiv 2312.10144) asks how many pairs are needed and finds that diverse ones serve better than random ones,
most of all when there are few. "dpp" is the greedy maximum of a determinantal point process over the kernel
(1 + cosine)², as in its release, by the incremental Cholesky factorisation of Chen, Zhang and Zhou (arXiv 1709.05135);
"k_center" always adds the pair farthest from all chosen ones (Gonzalez, 1985; Sener and Savarese, arXiv 1708.00489).

The release writes the whole kernel down and refuses more than 100,000 rows; which row it takes first is decided by
rounding. Here the kernel is computed a row at a time, the first pick is drawn from a seed, and sets that are too large
for that are cut into random parts, each of which gives its share.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmfuse.data.progress import Progress, silent
from mmfuse.data.subset_options import SubsetOptions
from mmfuse.errors import unknown_name
from mmfuse.latents import LatentPairs

BUDGET = 100_000_000
"""Most numbers in the factor of one part's kernel: 800 MB."""
SINGULAR = 1e-10
"""Squared distance from the span of what is chosen below which a row adds nothing."""


def subset(pairs: LatentPairs, options: SubsetOptions, *, progress: Progress = silent) -> LatentPairs:
    """The pairs that ``options`` leave for training, in their stored order; all of them for a fraction of 1.

    Raises:
        UnknownName: when ``subset_on`` names no modality.
    """
    if options.fraction == 1 or not len(pairs):
        return pairs
    size = max(1, round(options.fraction * len(pairs)))
    generator = torch.Generator().manual_seed(options.subset_seed)
    order = torch.randperm(len(pairs), generator=generator)
    if options.subset == "random":
        return pairs.take(order[:size].sort().values)
    names = _names(pairs, options.subset_on)
    choose = {"k_center": k_center, "dpp": greedy_dpp}[options.subset]
    parts = order.chunk(math.ceil(len(pairs) / _part_size(options.fraction)))
    chosen, done = [], 0
    for number, part in enumerate(parts, start=1):
        share = round(size * number / len(parts)) - done
        done += share
        chosen.append(part[choose(_features(pairs, names, part), share)])
        progress(number, len(parts), what=f"choose {size:,} of {len(pairs):,} pairs")
    return pairs.take(torch.cat(chosen).sort().values)


def k_center(features: Tensor, size: int) -> Tensor:
    """Positions (size,) of rows of ``features`` (N, D): the first, then always the one farthest from those taken."""
    chosen = torch.zeros(size, dtype=torch.long)
    nearest = torch.full((len(features),), math.inf)
    for number in range(1, size):
        newest = features[chosen[number - 1]]
        nearest = torch.minimum(nearest, (features - newest).square().sum(1))
        nearest[chosen[number - 1]] = -1
        chosen[number] = nearest.argmax()
    return chosen


def greedy_dpp(features: Tensor, size: int) -> Tensor:
    """Positions (size,) of rows (N, D) of length 1: the first, then always the one that adds most volume.

    Where the kernel has no volume left to add, the rest are the first rows that are not taken yet.
    """
    residual = torch.full((len(features),), 4.0, dtype=torch.float64)
    factor = torch.zeros(size, len(features), dtype=torch.float64)
    chosen: list[int] = []
    newest = 0
    while len(chosen) < size and float(residual[newest]) > SINGULAR:
        number = len(chosen)
        kernel = (1 + (features @ features[newest]).double()).square()
        row = (kernel - factor[:number, newest] @ factor[:number]) / residual[newest].sqrt()
        factor[number] = row
        residual = residual - row.square()
        chosen.append(newest)
        residual[chosen] = -math.inf
        newest = int(residual.argmax())
    left = torch.ones(len(features), dtype=torch.bool)
    left[chosen] = False
    return torch.cat([torch.tensor(chosen, dtype=torch.long), left.nonzero().squeeze(1)[: size - len(chosen)]])


def _features(pairs: LatentPairs, names: list[str], index: Tensor) -> Tensor:
    """Latents of length 1 of each named modality, side by side, together of length 1: (N, D) float32."""
    batch = pairs.take(index)
    columns = {name: batch.pairs[:, pairs.names.index(name)] for name in names}
    parts = [normalize(pairs.items(name, rows).float().cpu(), dim=1) for name, rows in columns.items()]
    return torch.cat(parts, dim=1) / math.sqrt(len(parts))


def _part_size(fraction: float) -> int:
    return max(1, math.isqrt(int(BUDGET / fraction)))


def _names(pairs: LatentPairs, wanted: str | None) -> list[str]:
    if wanted is None:
        return list(pairs.names)
    if wanted not in pairs.names:
        raise unknown_name("modality", wanted, pairs.names)
    return [wanted]
