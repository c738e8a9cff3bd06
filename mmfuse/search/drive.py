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
    expected: int | None = None,
) -> Outcome:
    """Run ``search`` to its end.

    Trial numbers count candidates in the order the search asks for them, and ``seed_of(number)`` is the trial's seed,
    so neither depends on where or in which order trials are evaluated. ``finished`` are ended trials of earlier
    attempts; ``expected`` is the number of trials planned, for the progress report.

    Raises:
        ReplayMismatch: when the search asks for another architecture than ``finished`` holds at that number.
    """
    known = dict(finished or {})
    table: dict[int, TrialRecord] = {}
    try:
        candidates = next(search)
        while True:
            trials = [
                Trial(number, architecture, seed_of(number))
                for number, architecture in enumerate(candidates, start=len(table))
            ]
            for record in _answers(trials, known, evaluator, reporter):
                table[record.number] = record
                total = max(expected or 0, trials[-1].number + 1)
                reporter.progress(len(table), total, what=_activity(record))
            candidates = search.send([_score(table[trial.number]) for trial in trials])
    except StopIteration as stop:
        return Outcome(stop.value, tuple(table[number] for number in sorted(table)))


def _answers(
    trials: list[Trial], known: Mapping[int, TrialRecord], evaluator: Evaluator, reporter: Reporter
) -> Iterator[TrialRecord]:
    """The ended record of each trial: finished ones from the journal, the rest evaluated and reported."""
    for trial in trials:
        record = known.get(trial.number)
        if record is not None and record.architecture != trial.architecture:
            raise ReplayMismatch(
                f"trial {trial.number} of this search was {record.architecture.key}, "
                f"but the search now asks for {trial.architecture.key}",
                "the search's code or options changed since it was stopped: start a new run",
            )
    unknown = [trial for trial in trials if trial.number not in known]
    if unknown and evaluator.joint:
        unknown = trials
    asked = {trial.number for trial in unknown}
    yield from (known[trial.number] for trial in trials if trial.number not in asked)
    for record in evaluator.evaluate(unknown) if unknown else ():
        reporter.trial(record)
        yield record


def _score(record: TrialRecord) -> Score:
    usable = record.status == "done" and record.score is not None
    return Score(record.score if usable and record.score is not None else math.nan, record.parameters or 0)


def _activity(record: TrialRecord) -> str:
    return record.architecture.stage or "search"
