"""The time that is left: near the truth long before the end, on searches whose end is known."""

from __future__ import annotations

import json
import random
import time

import pytest


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
