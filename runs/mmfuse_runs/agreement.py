"""How far two orders of the same things agree: is what a short training says worth believing?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from mmfuse_runs.comparison import RESAMPLES

FEWEST = 3
"""Pairs below which an order says nothing."""


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau of ``pairs`` pairs and the bootstrap interval around it; None where it is not defined."""

    pairs: int
    tau: float | None
    low: float | None = None
    high: float | None = None


def kendall_tau(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's tau-b: how many pairs stand in the same order, less those that do not, ties taken out of the count.

    (concordant - discordant) / sqrt((n0 - ties in one) (n0 - ties in other)), n0 = n (n - 1) / 2 (Kendall 1945). None
    where one of the two is constant, or there are fewer than two things.
    """
    score = tied_one = tied_other = 0
    count = len(one)
    for first in range(count):
        for second in range(first):
            left = _sign(one[first], one[second])
            right = _sign(other[first], other[second])
            score += left * right
            tied_one += left == 0
            tied_other += right == 0
    every = count * (count - 1) // 2
    spread = (every - tied_one) * (every - tied_other)
    return score / spread**0.5 if spread else None


def agreement(one: Sequence[float], other: Sequence[float], *, level: float = 0.95) -> Agreement:
    """Tau with the middle ``level`` of the taus of resampled pairs (percentile bootstrap, always the same samples).

    Resamples in which one order is constant have no tau and are left out.
    """
    tau = kendall_tau(one, other) if len(one) >= FEWEST else None
    if tau is None:
        return Agreement(len(one), None)
    rng = random.Random(0)
    places = range(len(one))
    # A tau costs n squared: of many pairs fewer resamples already hold the ends still.
    times = max(200, min(RESAMPLES, 2_000_000 // len(one) ** 2))
    taus = []
    for _ in range(times):
        drawn = rng.choices(places, k=len(one))
        resampled = kendall_tau([one[place] for place in drawn], [other[place] for place in drawn])
        if resampled is not None:
            taus.append(resampled)
    taus.sort()
    cut = (1 - level) / 2
    return Agreement(len(one), tau, taus[round(cut * (len(taus) - 1))], taus[round((1 - cut) * (len(taus) - 1))])


def _sign(first: float, second: float) -> int:
    return (first > second) - (first < second)
