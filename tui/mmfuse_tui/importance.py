"""Which choices of a search mattered: how much of the scores' variance each of them explains."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmfuse.report import TrialRecord
from mmfuse_runs.comparison import is_number
from mmfuse_tui.families import choices_of

FORMULA = "share = 1 − (within / (n − k)) / (total / (n − 1)), k values in n trials; sums of squares of the scores"


@dataclass(frozen=True)
class Level:
    """One value of a choice: how often it was tried, and the mean of its scores."""

    value: str
    trials: int
    mean: float


@dataclass(frozen=True)
class Importance:
    """A choice: the share of variance it explains (None where every value was tried once), and its values, best first.

    ``gap`` is the difference between the means of its best and worst value.
    """

    name: str
    share: float | None
    gap: float
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Table:
    """Trials that answer the same kind of question, as choices and scores."""

    title: str
    rows: tuple[Mapping[str, str], ...]
    scores: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Choices that differ between the trials, in order."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return tuple(name for name in names if len({row.get(name, "none") for row in self.rows}) > 1)

    def column(self, name: str) -> list[str]:
        """The choice of each trial; "none" where a trial has no such choice."""
        return [row.get(name, "none") for row in self.rows]


def trial_tables(trials: Iterable[TrialRecord]) -> list[Table]:
    """Scored trials by what they can be compared in: fused models together, each modality's encoders apart."""
    groups: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for trial in trials:
        if trial.status == "done" and is_number(trial.score):
            stage = trial.architecture.stage
            title = stage if stage.startswith("encoder/") else trial.architecture.family
            groups.setdefault(title, []).append((choices_of(trial.architecture), trial.score))
    return [
        Table(title, tuple(row for row, _ in pairs), tuple(score for _, score in pairs))
        for title, pairs in groups.items()
    ]


def importances(table: Table, *, maximize: bool) -> list[Importance]:
    """Every choice that differs, the one that explains most first."""
    found = [_importance(name, table.column(name), table.scores, maximize=maximize) for name in table.names]
    return sorted(found, key=lambda item: (item.share is None, -(item.share or 0.0), -item.gap))


def explained(values: Sequence[str], scores: Sequence[float]) -> float | None:
    """The share of the scores' variance that knowing the value explains, corrected for the number of values.

    Kelley's epsilon squared (1935): 1 - (within / (n - k)) / (total / (n - 1)), not below 0. Without the correction a
    choice with many values would explain chance. None where no value was tried twice or all scores are equal.
    """
    groups: dict[str, list[float]] = {}
    for value, score in zip(values, scores, strict=True):
        groups.setdefault(value, []).append(score)
    count, kinds = len(scores), len(groups)
    mean = statistics.fmean(scores) if scores else 0.0
    total = sum((score - mean) ** 2 for score in scores)
    if count <= kinds or total <= 0:
        return None
    within = sum(sum((score - statistics.fmean(group)) ** 2 for score in group) for group in groups.values())
    return max(0.0, 1 - (within / (count - kinds)) / (total / (count - 1)))


def _importance(name: str, values: Sequence[str], scores: Sequence[float], *, maximize: bool) -> Importance:
    groups: dict[str, list[float]] = {}
    for value, score in zip(values, scores, strict=True):
        groups.setdefault(value, []).append(score)
    levels = [Level(value, len(group), statistics.fmean(group)) for value, group in groups.items()]
    levels.sort(key=lambda level: level.mean, reverse=maximize)
    return Importance(name, explained(values, scores), abs(levels[0].mean - levels[-1].mean), tuple(levels))
