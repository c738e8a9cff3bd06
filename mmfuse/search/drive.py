"""The only loop: ask a search for candidates, answer from finished trials, evaluate the rest, report.

A search is a generator: it yields lists of architectures that do not depend on each other, is sent their scores in the
same order (NaN for a candidate that failed, was pruned or skipped) and returns the winner. Resuming is replaying: run
the generator again with the same seed, and every trial the journal already holds is answered without training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mmfuse.architecture import Architecture
from mmfuse.errors import ReplayMismatch
from mmfuse.report import Reporter, TrialRecord

Search = Generator[list[Architecture], list[float], Architecture]


@dataclass(frozen=True)
class Trial:
    """One candidate with its number in the search and its own seed, waiting to be evaluated."""

    number: int
    architecture: Architecture
    seed: int


class Score(float):
    """A score that also carries what ties are broken by; to a search it is a plain float."""

    parameters: int

    def __new__(cls, value: float, parameters: int = 0) -> Score:
        score = super().__new__(cls, value)
        score.parameters = parameters
        return score


class Evaluator(Protocol):
    """Trains candidates and measures them on validation data: one by one, batched on a device, or on a cluster."""

    @property
    def joint(self) -> bool:
        """Whether the scores of one list depend on each other, so that a list is answered as a whole or not at all."""

    def evaluate(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        """Yield the ended record of each trial as soon as it ends, in any order.

        A candidate that cannot be built or trained yields a record that says so; it does not raise.
        """


class Observer(Protocol):
    """Hears what a search thinks between its questions; `Reporter.note` is one, and facts are JSON values.

    A search that is replayed tells everything again, so listeners keep the latest note of a step.
    """

    def __call__(self, message: str, **facts: Any) -> None:
        """Take note."""


@dataclass(frozen=True)
class Outcome:
    """What a search found, and every trial on the way, by number."""

    architecture: Architecture
    trials: tuple[TrialRecord, ...]


def drive(
    search: Search,
    *,
    evaluator: Evaluator,
    reporter: Reporter,
    seed_of: Callable[[int], int],
    finished: Mapping[int, TrialRecord] | None = None,
    expected: float | None = None,
    work_of: Callable[[Architecture], float] | None = None,
) -> Outcome:
    """Run ``search`` to its end.

    Trial numbers count candidates in the order the search asks for them, and ``seed_of(number)`` is the trial's seed,
    so neither depends on where or in which order trials are evaluated. ``finished`` are ended trials of earlier
    attempts. For the progress report ``work_of`` weighs candidates whose trainings differ much, and ``expected`` is the
    work of all that are planned: trials, unless they are weighed.

    Raises:
        ReplayMismatch: when the search asks for another architecture than ``finished`` holds at that number.
    """
    known = dict(finished or {})
    table: dict[int, TrialRecord] = {}
    done = asked = 0.0
    try:
        candidates = next(search)
        while True:
            trials = [
                Trial(number, architecture, seed_of(number))
                for number, architecture in enumerate(candidates, start=len(table))
            ]
            _check_replay(trials, known)
            work = {trial.number: work_of(trial.architecture) if work_of else 1.0 for trial in trials}
            asked += sum(work.values())
            total = max(expected or 0.0, asked)
            unknown = _unanswered(trials, known, evaluator)
            answered = work.keys() - {trial.number for trial in unknown}
            table |= {number: known[number] for number in answered}
            done += sum(work[number] for number in answered)
            if unknown:
                reporter.progress(done, total, what=_activity(unknown[0].architecture))
            for record in evaluator.evaluate(unknown) if unknown else ():
                reporter.trial(record)
                table[record.number] = record
                done += work[record.number]
                reporter.progress(done, total, what=_activity(record.architecture))
            candidates = search.send([_score(table[trial.number]) for trial in trials])
    except StopIteration as stop:
        return Outcome(stop.value, tuple(table[number] for number in sorted(table)))


def _check_replay(trials: Sequence[Trial], known: Mapping[int, TrialRecord]) -> None:
    """Refuse a journal that holds other architectures than the search asks for."""
    for trial in trials:
        record = known.get(trial.number)
        if record is not None and record.architecture != trial.architecture:
            raise ReplayMismatch(
                f"trial {trial.number} of this search was {record.architecture.key}, "
                f"but the search now asks for {trial.architecture.key}",
                "the search's code or options changed since it was stopped: start a new run",
            )


def _unanswered(trials: list[Trial], known: Mapping[int, TrialRecord], evaluator: Evaluator) -> list[Trial]:
    """Those of a list that have to be evaluated: one by one, or all where their scores depend on each other."""
    unknown = [trial for trial in trials if trial.number not in known]
    return trials if unknown and evaluator.joint else unknown


def _score(record: TrialRecord) -> Score:
    usable = record.status == "done" and record.score is not None
    return Score(record.score if usable and record.score is not None else math.nan, record.parameters or 0)


def _activity(architecture: Architecture) -> str:
    return architecture.stage or "search"
