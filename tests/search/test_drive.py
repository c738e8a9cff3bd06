"""The one search loop: asking, answering from the journal, evaluating, reporting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.architecture import Architecture
from mmfuse.errors import ReplayMismatch
from mmfuse.report import NullReporter, TrialRecord
from mmfuse.search.drive import Search, Trial, drive


@dataclass
class FakeEvaluator:
    """Scores an architecture by its own ``value``; counts what it was really asked."""

    joint: bool = False
    asked: list[int] = field(default_factory=list)
    backwards: bool = False

    def evaluate(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        for trial in reversed(trials) if self.backwards else trials:
            self.asked.append(trial.number)
            value = trial.architecture.params["value"]
            record = TrialRecord(trial.number, trial.architecture, trial.seed, seconds=0.1)
            if value is None:
                yield replace(record, status="failed", reason="as planned")
            else:
                yield replace(record, status="done", score=value, parameters=1)


class Listener(NullReporter):
    """Keeps the trials and the progress it hears of."""

    def __init__(self) -> None:
        self.trials: list[TrialRecord] = []
        self.told: list[tuple[float, float, str]] = []

    def progress(self, done: float, total: float, *, what: str) -> None:
        self.told.append((done, total, what))

    def trial(self, record: TrialRecord) -> None:
        self.trials.append(record)


def climb(levels: int = 3, width: int = 3) -> Search:
    """A search whose next list depends on the scores of the last: offsets around the best so far."""
    best = Architecture("toy", {"value": 0.0})
    for level in range(levels):
        center = best.params["value"]
        candidates = [Architecture("toy", {"value": center + (level + 1) * (i - 1) / 10}) for i in range(width)]
        scores = yield candidates
        best = max(zip(candidates, scores, strict=True), key=lambda pair: pair[1])[0]
    return best


def test_scores_come_back_in_the_order_the_candidates_were_asked() -> None:
    received: list[list[float]] = []

    def ask() -> Search:
        scores = yield [Architecture("toy", {"value": value}) for value in (3.0, 1.0, 2.0)]
        received.append([float(score) for score in scores])
        return Architecture("toy", {"value": 3.0})

    drive(ask(), evaluator=FakeEvaluator(backwards=True), reporter=NullReporter(), seed_of=lambda n: n)

    assert received == [[3.0, 1.0, 2.0]]


def test_a_failed_candidate_is_reported_and_sent_as_nan() -> None:
    sent: list[float] = []

    def ask() -> Search:
        scores = yield [Architecture("toy", {"value": None}), Architecture("toy", {"value": 1.0})]
        sent.extend(scores)
        return Architecture("toy", {"value": 1.0})

    listener = Listener()
    outcome = drive(ask(), evaluator=FakeEvaluator(), reporter=listener, seed_of=lambda n: n)

    assert math.isnan(sent[0])
    assert sent[1] == 1.0
    assert [trial.status for trial in outcome.trials] == ["failed", "done"]
    assert listener.trials[0].reason == "as planned"


@given(known=st.sets(st.integers(min_value=0, max_value=8)))
def test_a_search_killed_anywhere_and_replayed_gives_the_same_table(known: set[int]) -> None:
    whole = drive(climb(), evaluator=FakeEvaluator(), reporter=NullReporter(), seed_of=lambda n: n * 7)
    finished = {number: whole.trials[number] for number in known}
    evaluator = FakeEvaluator()

    again = drive(climb(), evaluator=evaluator, reporter=NullReporter(), seed_of=lambda n: n * 7, finished=finished)

    assert again == whole
    assert set(evaluator.asked) == set(range(9)) - known


def test_a_joint_evaluator_answers_a_list_as_a_whole() -> None:
    whole = drive(climb(), evaluator=FakeEvaluator(joint=True), reporter=NullReporter(), seed_of=lambda n: n)
    evaluator = FakeEvaluator(joint=True)

    drive(
        climb(),
        evaluator=evaluator,
        reporter=NullReporter(),
        seed_of=lambda n: n,
        finished={number: whole.trials[number] for number in (0, 1, 2, 4)},
    )

    assert evaluator.asked == [3, 4, 5, 6, 7, 8]


def test_a_journal_of_another_search_is_refused_with_both_keys() -> None:
    foreign = TrialRecord(1, Architecture("toy", {"value": 99.0}), seed=1, status="done", score=99.0)

    with pytest.raises(ReplayMismatch) as caught:
        drive(climb(), evaluator=FakeEvaluator(), reporter=NullReporter(), seed_of=lambda n: n, finished={1: foreign})

    assert foreign.architecture.key in caught.value.message
    assert Architecture("toy", {"value": 0.0}).key in caught.value.message


def test_only_fresh_trials_are_reported_again() -> None:
    whole = drive(climb(), evaluator=FakeEvaluator(), reporter=NullReporter(), seed_of=lambda n: n)
    listener = Listener()

    drive(
        climb(),
        evaluator=FakeEvaluator(),
        reporter=listener,
        seed_of=lambda n: n,
        finished={number: whole.trials[number] for number in range(7)},
    )

    assert [trial.number for trial in listener.trials] == [7, 8]


def test_progress_weighs_candidates_and_names_a_question_before_its_first_answer() -> None:
    def ask() -> Search:
        yield [Architecture("toy", {"value": 1.0}, "cheap"), Architecture("toy", {"value": 1.0}, "cheap")]
        yield [Architecture("toy", {"value": 3.0}, "dear")]
        return Architecture("toy", {"value": 3.0})

    listener = Listener()
    drive(
        ask(),
        evaluator=FakeEvaluator(),
        reporter=listener,
        seed_of=lambda n: n,
        expected=5.0,
        work_of=lambda architecture: architecture.params["value"],
    )

    assert listener.told == [
        (0, 5, "cheap"),
        (1, 5, "cheap"),
        (2, 5, "cheap"),
        (2, 5, "dear"),
        (5, 5, "dear"),
    ]


def test_what_an_earlier_attempt_had_answered_counts_as_done_before_anything_is_trained() -> None:
    whole = drive(climb(), evaluator=FakeEvaluator(), reporter=NullReporter(), seed_of=lambda n: n)
    listener = Listener()

    drive(
        climb(),
        evaluator=FakeEvaluator(),
        reporter=listener,
        seed_of=lambda n: n,
        finished={number: whole.trials[number] for number in range(7)},
        expected=9,
    )

    assert [(done, total) for done, total, _ in listener.told] == [(7, 9), (8, 9), (9, 9)]
