"""What a search has measured so far: every training of every chain, and what is made of several."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Literal

from mmfuse.search.mfas_space import Chain

Pooling = Literal["each", "max"]


class Ledger:
    """Scores by chain, higher is better, in the order in which chains were first trained.

    ``pooling`` says what counts of a chain that was trained several times: the mean of its scores (``each``, and the
    surrogate sees them all) or the largest (``max``, as in MFAS's released code). NaN marks a training that failed.
    """

    def __init__(self, pooling: Pooling = "each") -> None:
        self._pooling = pooling
        self._scores: dict[Chain, list[float]] = {}

    def __contains__(self, chain: Chain) -> bool:
        return chain in self._scores

    def __len__(self) -> int:
        return sum(map(len, self._scores.values()))

    def add(self, chains: Iterable[Chain], scores: Iterable[float]) -> None:
        """Enter one training of each of ``chains``; a chain may be listed several times."""
        for chain, score in zip(chains, scores, strict=True):
            self._scores.setdefault(chain, []).append(float(score))

    def scores(self, chain: Chain) -> list[float]:
        """The scores of the trainings of ``chain`` that ended well."""
        return [score for score in self._scores.get(chain, ()) if not math.isnan(score)]

    def value(self, chain: Chain) -> float:
        """What ``chain`` is worth; NaN when no training of it ended well."""
        scores = self.scores(chain)
        if not scores:
            return math.nan
        return max(scores) if self._pooling == "max" else statistics.fmean(scores)

    def best(self, count: int | None = None, *, among: Iterable[Chain] | None = None) -> list[Chain]:
        """Up to ``count`` chains (all, if None), best first; equals in order of length, then of rows."""
        chains = self._scores if among is None else dict.fromkeys(among)
        usable = [chain for chain in chains if self.scores(chain)]
        return sorted(usable, key=lambda chain: (-self.value(chain), len(chain), chain))[:count]

    def observations(self) -> tuple[list[Chain], list[float]]:
        """What a surrogate learns from, as chains and their scores."""
        pairs = [
            (chain, score)
            for chain in self._scores
            for score in ([self.value(chain)] if self._pooling == "max" else self.scores(chain))
            if not math.isnan(score)
        ]
        return [chain for chain, _ in pairs], [score for _, score in pairs]

    def chains(self) -> Sequence[Chain]:
        """Every chain that was trained, in order."""
        return tuple(self._scores)
