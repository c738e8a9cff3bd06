"""The report of progress: one count over all stages of a search, and a pace that begins with the count."""

from __future__ import annotations

import json

import pytest

from mmfuse_runs import reporter as reporting
from mmfuse_runs.reporter import RunReporter


class Clock:
    now = 1_795_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reporting, "time", clock)
    return clock


@pytest.fixture
def report(tmp_path, clock):
    """Report after some seconds, and what progress.json holds then."""
    reporter = RunReporter(tmp_path, run_id="r", attempt=1)

    def after(seconds: float, done: float, total: float, what: str) -> dict:
        clock.now += seconds
        reporter.progress(done, total, what=what)
        told = json.loads((tmp_path / "progress.json").read_text())
        return told | {"spent": told["at"] - told["started"]}

    yield after
    reporter.close()


def test_the_stages_of_a_search_are_one_count(report):
    report(0, 0, 12, "encoder/image")
    report(30, 3, 12, "encoder/audio")
    told = report(30, 6, 12, "fusion")

    assert (told["done"] - told["first"], told["spent"]) == (6, 60)


def test_another_total_and_a_count_from_below_begin_anew(report):
    report(0, 0, 12, "fusion")
    report(60, 12, 12, "network")

    assert report(5, 40, 900, "train/epoch 1 of 9")["spent"] == 0
    assert report(5, 90, 900, "train/epoch 1 of 9")["spent"] == 5
    again = report(5, 10, 900, "train/epoch 1 of 9")
    assert (again["first"], again["spent"]) == (10, 0)


def test_trials_that_end_together_are_all_counted(report):
    report(0, 0, 40, "fusion")

    assert [report(0.01, done, 40, "fusion")["done"] for done in range(1, 16)] == list(range(1, 16))


def test_a_new_stage_is_told_at_once_and_many_steps_twice_a_second(report):
    report(0, 0, 9000, "train/epoch 1 of 9")
    written = [report(0.01, step, 9000, "train/epoch 1 of 9")["done"] for step in range(1, 5001)]

    assert len(set(written)) == pytest.approx(50 / reporting.PROGRESS_SECONDS + reporting.PROGRESS_BURST, abs=3)
    assert report(0.001, 5001, 9000, "validate")["what"] == "validate"
