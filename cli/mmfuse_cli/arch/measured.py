"""What a search measured of the candidates that can be compared with each other."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmfuse_runs.comparison import is_number

if TYPE_CHECKING:
    from mmfuse.report import TrialRecord

HELD_OUT = "choice"
"""Stage whose candidates are compared on data of their own: its scores stand beside no others."""

Choices = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Measured:
    """Every trial of one set of choices: their numbers and scores."""

    choices: Mapping[str, str]
    trials: tuple[int, ...]
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean of its scores."""
        return statistics.fmean(self.scores)


def measured_groups(trials: Iterable[TrialRecord]) -> dict[str, list[Measured]]:
    """Scored candidates by what their scores can be compared in, each set of choices once.

    Encoders of one modality are a group; so are fused models, and those that were compared on held-out data.
    """
    from mmfuse_tui.families import choices_of

    groups: dict[str, dict[Choices, list[tuple[int, float]]]] = {}
    for trial in trials:
        if trial.status == "done" and is_number(trial.score):
            choices = tuple(choices_of(trial.architecture).items())
            members = groups.setdefault(_group(trial), {}).setdefault(choices, [])
            members.append((trial.number, trial.score))
    return {
        name: [Measured(dict(choices), *map(tuple, zip(*scored, strict=True))) for choices, scored in members.items()]
        for name, members in groups.items()
    }


def _group(trial: TrialRecord) -> str:
    stage = trial.architecture.stage
    return stage if stage.startswith("encoder/") or stage == HELD_OUT else trial.architecture.family
