"""How a search settles one question: which of these candidates is best, given their scores and repeats."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mmfuse.architecture import Architecture
from mmfuse.errors import MmfuseError


@dataclass(frozen=True)
class Choice:
    """One candidate with all its scores: mean, standard error, and the parameters that break ties."""

    architecture: Architecture
    scores: tuple[float, ...]
    parameters: int

    @property
    def mean(self) -> float:
        """The mean of the repeats that ended well."""
        return statistics.fmean(self.scores)

    @property
    def error(self) -> float:
        """The standard error of the mean; 0 for a single repeat, of which nothing is known."""
        return statistics.stdev(self.scores) / math.sqrt(len(self.scores)) if len(self.scores) > 1 else 0.0


def rank(candidates: Sequence[Architecture], scores: Sequence[float], *, maximize: bool) -> list[Choice]:
    """Candidates with at least one usable score, best first; repeats of an architecture are pooled.

    A candidate whose mean lies within the joint standard error of the best one counts as equally good, and among
    equals the one with fewer parameters wins, then the smaller key: the order in which candidates were listed never
    decides. With a single repeat only exact ties are equal.

    Raises:
        MmfuseError: when no candidate has a usable score.
    """
    pooled: dict[Architecture, list[float]] = {}
    for architecture, score in zip(candidates, scores, strict=True):
        pooled.setdefault(architecture, []).append(score)
    choices = [
        Choice(architecture, usable, max(int(getattr(score, "parameters", 0)) for score in given))
        for architecture, given in pooled.items()
        if (usable := tuple(float(score) for score in given if not math.isnan(score)))
    ]
    if not choices:
        stage = candidates[0].stage or "this question" if candidates else "this question"
        raise MmfuseError(
            f"none of the {len(pooled)} candidates for {stage} could be scored",
            "mmfuse runs show latest lists why each trial failed",
        )
    sign = -1.0 if maximize else 1.0
    by_mean = sorted(choices, key=lambda choice: (sign * choice.mean, choice.parameters, choice.architecture.key))
    best = by_mean[0]
    equals = [choice for choice in by_mean if abs(choice.mean - best.mean) <= math.hypot(choice.error, best.error)]
    equals.sort(key=lambda choice: (choice.parameters, choice.architecture.key))
    return equals + [choice for choice in by_mean if choice not in equals]
