"""What a search told so far, as numbers and names: its questions, its arms, what its surrogate expected.

Plain data from trials and notes; the panels draw it. Arms are what is compared at equal trainings: the search itself,
the random control beside it, late fusion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmfuse.report import TrialRecord
from mmfuse_runs.comparison import is_number
from mmfuse_tui.families import baseline_of
from mmfuse_tui.snapshot import RunSnapshot

CONTROL_STAGE, CHOICE_STAGE = "random", "choice"
"""Stages that are no steps of a search: the random networks beside it, and the comparison on held-out data."""


@dataclass(frozen=True)
class Question:
    """One stage of a search: how much of it is answered, and what a guided search said of it."""

    name: str
    asked: int
    done: int
    failed: int
    best: TrialRecord | None
    temperature: float | None = None
    candidates: int | None = None
    rank_correlation: float | None = None


@dataclass(frozen=True)
class Guess:
    """One prediction of the surrogate beside what was measured; ``group`` is the sweep it belongs to."""

    group: str
    predicted: float
    measured: float


def notes_called(run: RunSnapshot, message: str) -> list[Mapping[str, Any]]:
    """The facts of every note with this message, oldest first; a resumed search tells what it told before again."""
    rows = (note.get("facts") for note in run.notes if note.get("message") == message)
    return [facts for facts in rows if isinstance(facts, Mapping)]


def questions(run: RunSnapshot) -> list[Question]:
    """The stages in the order they were asked."""
    before = _by_stage(notes_called(run, "search step"))
    after = _by_stage(notes_called(run, "search step measured"))
    stages: dict[str, list[TrialRecord]] = {stage: [] for stage in before}
    for trial in run.trials:
        stages.setdefault(trial.architecture.stage or "candidates", []).append(trial)
    return [
        Question(
            stage,
            asked=max(len(trials), _length(before.get(stage, {}).get("chains"))),
            done=sum(trial.status in ("done", "pruned") for trial in trials),
            failed=sum(trial.status == "failed" for trial in trials),
            best=best_of(trials, maximize=run.maximize),
            temperature=_number(before.get(stage, {}).get("temperature")),
            candidates=before.get(stage, {}).get("candidates"),
            rank_correlation=_number(after.get(stage, {}).get("rank_correlation")),
        )
        for stage, trials in stages.items()
    ]


def best_of(trials: Iterable[TrialRecord], *, maximize: bool) -> TrialRecord | None:
    """The best scored trial; of equal ones the first."""
    scored = [trial for trial in trials if trial.status == "done" and is_number(trial.score)]
    sign = 1 if maximize else -1
    return max(scored, key=lambda trial: sign * (trial.score or 0.0), default=None)


def searched(run: RunSnapshot) -> list[TrialRecord]:
    """Trials whose scores were measured alike: all but those of the comparison on held-out data."""
    return [trial for trial in run.trials if trial.architecture.stage != CHOICE_STAGE]


def arms(run: RunSnapshot) -> dict[str, list[TrialRecord]]:
    """The search's own trials and those of its random control, each in order."""
    trials = searched(run)
    control = [trial for trial in trials if trial.architecture.stage == CONTROL_STAGE]
    own = [trial for trial in trials if trial.architecture.stage != CONTROL_STAGE]
    # A run that is nothing but random search has no control beside it.
    return {"search": own, "random": control} if own and control else {"search": own or control}


def late_fusion_score(run: RunSnapshot) -> float | None:
    """The score of late fusion, as far as a trial of this search has measured it."""
    late = (trial for trial in searched(run) if baseline_of(trial.architecture, task=run.task))
    scores = [trial.score for trial in late if trial.score is not None]
    return scores[0] if scores else None


def guesses(run: RunSnapshot) -> list[Guess]:
    """Every prediction whose candidate was measured."""
    after = _by_stage(notes_called(run, "search step measured"))
    found = []
    for stage, facts in _by_stage(notes_called(run, "search step")).items():
        measured = after.get(stage, {}).get("measured") or ()
        for predicted, value in zip(facts.get("predicted") or (), measured, strict=False):
            if is_number(_number(predicted)) and is_number(_number(value)):
                found.append(Guess(stage.partition("/")[0], float(predicted), float(value)))
    return found


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Rank correlation: Pearson's of the ranks, ties sharing theirs (Spearman); None where one is constant."""
    left, right = _ranks(one), _ranks(other)
    if len(left) < 2:
        return None
    middle = (len(left) + 1) / 2
    covariance = sum((a - middle) * (b - middle) for a, b in zip(left, right, strict=True))
    spread = sum((a - middle) ** 2 for a in left) * sum((b - middle) ** 2 for b in right)
    return float(covariance / spread**0.5) if spread else None


def standings(run: RunSnapshot) -> Mapping[str, Any] | None:
    """The comparison with the baselines that a finished search told."""
    told = notes_called(run, "standings")
    return told[-1] if told else None


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = (start + end) / 2 + 1
        start = end + 1
    return ranks


def _by_stage(facts: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {str(fact["stage"]): fact for fact in facts if "stage" in fact}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0
