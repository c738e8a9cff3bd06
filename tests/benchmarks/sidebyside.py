"""Two ways of doing the same thing, measured in turns in one process, printed as a ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """Seconds of ours and of theirs, and the goal for their ratio (``at most`` or, with ``quicker``, ``at least``).

    With ``unit`` B they are bytes.
    """

    name: str
    ours: float
    theirs: float
    goal: float
    quicker: bool = False
    unit: str = "s"

    @property
    def value(self) -> float:
        """theirs / ours where we want to be quicker, else ours / theirs."""
        return self.theirs / self.ours if self.quicker else self.ours / self.theirs

    @property
    def met(self) -> bool:
        """Whether the goal is reached on this machine, in this run."""
        return self.value >= self.goal if self.quicker else self.value <= self.goal

    def __str__(self) -> str:
        relation = "at least" if self.quicker else "at most"
        return (
            f"{self.name:<58} {self.value:8.2f}x   goal {relation} {self.goal:g}x   {'met' if self.met else 'MISSED'}"
            f"   (ours {self._shown(self.ours)}, theirs {self._shown(self.theirs)})"
        )

    def _shown(self, value: float) -> str:
        return _seconds(value) if self.unit == "s" else f"{value / 1e6:,.0f} MB"


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int) -> tuple[float, float]:
    """Median seconds of each, taken alternately so that a slow minute hits both; one unmeasured round warms up."""
    samples: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for work, kept in zip((ours, theirs), samples, strict=True):
            began = time.perf_counter()
            work()
            if turn:
                kept.append(time.perf_counter() - began)
    return statistics.median(samples[0]), statistics.median(samples[1])


def _seconds(value: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if value * factor >= 1 or unit == "us":
            return f"{value * factor:.3g} {unit}"
    raise AssertionError
