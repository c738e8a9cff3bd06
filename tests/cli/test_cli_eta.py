"""The time that is left: near the truth long before the end, on searches whose end is known."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from mmfuse.options import parse_options
from mmfuse.registry import DATASETS, SEARCHES
from mmfuse.report import TrialRecord
from mmfuse.search.drive import Trial, drive
from mmfuse_runs import fold, reporter


@pytest.mark.parametrize("seed", range(5))
def test_the_time_left_is_within_a_fifth_of_the_truth_from_thirty_percent_on(make_run, store, seed):
    rng = random.Random(seed)
    seconds = [rng.uniform(5.0, 15.0) for _ in range(40)]
    run_id = make_run("running")
    path = store.folder(run_id).path / "progress.json"

    for done in range(12, 40):
        spent, left, now = sum(seconds[:done]), sum(seconds[done:]), time.time()
        facts = {"done": done, "total": 40, "what": f"trial {done}", "at": now, "started": now - spent}
        path.write_text(json.dumps(facts))
        eta = store.record(run_id).eta_seconds
        assert eta is not None
        # The end it foretells, from the beginning: where it ends is what people want to know.
        assert abs((spent + eta) - (spent + left)) <= 0.2 * (spent + left)


def test_the_time_left_is_shown_where_runs_are_watched_and_counts_down(mmfuse, make_run, store):
    run_id = make_run("running")
    now = time.time()
    facts = {"done": 30, "total": 40, "what": "trial 30", "at": now - 40.0, "started": now - 340.0}
    (store.folder(run_id).path / "progress.json").write_text(json.dumps(facts))

    told = json.loads(mmfuse("runs", "show", run_id, "--json").stdout)["run"]["eta_seconds"]

    assert told == pytest.approx(300.0 / 30 * 10 - 40.0, abs=10.0)
    assert "left" in mmfuse("runs", "show", run_id).stdout


class PretendedTraining:
    """Ends trials after as much time of a clock as training them would take; nothing is trained."""

    joint = False

    def __init__(self, clock: list[float], seed: int) -> None:
        self._clock = clock
        self._rng = random.Random(seed)

    def evaluate(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        for trial in trials:
            usual = 10.0 if trial.architecture.family == "unimodal" else 27.0  # as measured on AV-MNIST's stand-in
            self._clock[0] += usual * self._rng.uniform(0.7, 1.3)
            record = TrialRecord(trial.number, trial.architecture, trial.seed)
            yield replace(record, status="done", score=self._rng.random(), parameters=1)


@pytest.mark.parametrize("search", ["mixmas", "random"])
@pytest.mark.parametrize("seed", range(3))
def test_the_end_of_a_whole_search_is_foretold_as_well_across_its_stages(make_run, store, monkeypatch, search, seed):
    clock = [1_795_000_000.0]
    for module in (reporter, fold):
        monkeypatch.setattr(module, "time", type("Clock", (), {"time": staticmethod(lambda: clock[0])}))
    module, task = SEARCHES.get(search), DATASETS.declaration("avmnist").TASK
    options = parse_options(module.Options, {}, what=search)
    run_id = make_run("running")
    path = store.folder(run_id).path
    foretold: list[tuple[float, float]] = []

    class Watching(reporter.RunReporter):
        """Looks at the time left after every report, as a listing would."""

        def progress(self, done: float, total: float, *, what: str) -> None:
            super().progress(done, total, what=what)
            eta = store.record(run_id).eta_seconds
            if eta is not None:
                foretold.append((clock[0], clock[0] + eta))

    began = clock[0]
    watching = Watching(path, run_id=run_id, attempt=1)
    drive(
        module.search(task, options, np.random.default_rng(seed)),
        evaluator=PretendedTraining(clock, seed),
        reporter=watching,
        seed_of=lambda number: number,
        expected=getattr(module, "expected_work", module.expected_trials)(task, options),
        work_of=getattr(module, "work", None),
    )
    watching.close()

    took = clock[0] - began
    late = [end for at, end in foretold if at - began >= 0.3 * took]
    assert len(late) > 5
    assert all(abs(end - clock[0]) <= 0.2 * took for end in late)
