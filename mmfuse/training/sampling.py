"""The data sample of a search: small, random, and shaped like the whole.

MixMAS (arXiv 2412.18437, section 3) sizes the sample by Cochran's formula with the correction for a finite population
and redraws until every class's share lies within a tolerance of its share in the training split. The released code
computes neither (its size is fixed at 1,000) and compares nothing for several labels per sample; here both work, and
every class that the split has at least ``minimum`` samples of keeps at least that many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmfuse.errors import BadSpec


@dataclass(frozen=True)
class Sample:
    """Positions drawn from a split (sorted, (S,)), how many draws it took, and the largest gap in class shares."""

    index: Tensor
    draws: int
    gap: float


def formula_size(population: int, *, z: float = 1.96, share: float = 0.5, error: float = 0.05) -> int:
    """MixMAS's sample size ``n0 / (1 + n0 / N)`` with ``n0 = z² p (1 - p) / e²``, rounded up.

    Defaults: 95 % confidence, the most cautious share, an error of 5 points: 382 of 55,000.
    """
    unlimited = z * z * share * (1 - share) / (error * error)
    return min(population, math.ceil(unlimited / (1 + unlimited / population)))


def sample_size(wanted: int | float | str, population: int) -> int:
    """The number of samples that ``formula``, ``all``, a share below 1 or a number stands for, at most all of them.

    Raises:
        BadSpec: for a number that is not positive.
    """
    if wanted == "formula":
        return formula_size(population)
    if wanted == "all":
        return population
    if isinstance(wanted, str) or wanted <= 0:
        raise BadSpec(
            f"a sample of {wanted} makes no sense", "use formula, all, a share below 1 or a number of samples"
        )
    return math.ceil(wanted * population) if wanted < 1 else min(int(wanted), population)


def draw_sample(
    target: Tensor, size: int, *, seed: int, tolerance: float = 0.05, minimum: int = 1, max_draws: int = 1000
) -> Sample:
    """Draw ``size`` positions of ``target`` ((N,) classes, or (N, K) labels) until the class shares fit.

    The n-th draw depends only on ``seed`` and n.

    Raises:
        BadSpec: when no draw of ``max_draws`` fits; the sample is then too small for the tolerance.
    """
    labels = _indicators(target)
    shares, counts = labels.mean(0), labels.sum(0)
    demanded = counts.clamp(max=minimum)
    generator = torch.Generator().manual_seed(seed)
    closest = math.inf
    for draw in range(1, max_draws + 1):
        index = torch.randperm(len(target), generator=generator)[:size].sort().values
        drawn = labels[index]
        gap = float((drawn.mean(0) - shares).abs().max())
        if gap <= tolerance and bool((drawn.sum(0) >= demanded).all()):
            return Sample(index, draw, gap)
        closest = min(closest, gap)
    raise BadSpec(
        f"no sample of {size} in {max_draws} draws keeps every class within {tolerance} of its share"
        f" (closest: {closest:.3f}) and at least {minimum} of each",
        "--set benchmark.sample=... with a larger number, or a larger benchmark.tolerance",
    )


def stratified(target: Tensor, size: int, *, seed: int) -> Tensor:
    """``size`` sorted positions with class shares as even as the split's own: the fixed validation subset.

    For (N, K) labels each sample counts for its rarest label.
    """
    if size >= len(target):
        return torch.arange(len(target))
    labels = _indicators(target)
    rarity = torch.where(labels > 0, labels.sum(0), torch.inf)
    stratum = rarity.argmin(1)
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))
    # Sorting by position within the stratum, as a share, deals the strata out evenly: any prefix is stratified.
    position = torch.empty(len(target), dtype=torch.float64)
    for value in stratum.unique():
        members = order[stratum[order] == value]
        position[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    rank = torch.empty(len(target), dtype=torch.long)
    rank[order] = torch.arange(len(target))
    chosen = sorted(range(len(target)), key=lambda i: (float(position[i]), int(rank[i])))[:size]
    return torch.tensor(sorted(chosen))


def _indicators(target: Tensor) -> Tensor:
    """(N, K) float: 1 where sample n carries label k."""
    target = target.cpu()
    if target.ndim == 2:
        return (target > 0.5).float()
    if target.is_floating_point():
        return torch.ones(len(target), 1)
    return torch.nn.functional.one_hot(target.long()).float()
