"""`mmfuse arch lineage`: descent as a tree and as data."""

from __future__ import annotations

import json

import pytest

from mmfuse.architecture import Architecture
from mmfuse.report import TrialRecord


def chain(number: int, score: float | None, *layers: list[int], stage: str) -> TrialRecord:
    params = {"modalities": ["image", "audio"], "layers": [list(layer) for layer in layers], "width": 16}
    status = "running" if score is None else "done"
    return TrialRecord(number, Architecture("mfas", params, stage), number, status=status, score=score)


@pytest.fixture
def trials() -> list[TrialRecord]:
    one, two, again = "sweep 1/level 1", "sweep 1/level 2", "sweep 2/level 1"
    return [
        chain(0, 0.50, [0, 0, 0], stage=one),
        chain(1, 0.70, [2, 4, 0], stage=one),
        chain(2, 0.75, [2, 4, 0], [0, 1, 1], stage=two),
        chain(3, 0.60, [0, 0, 0], [1, 1, 1], stage=two),
        chain(4, 0.80, [1, 4, 0], [0, 1, 1], stage=again),
        chain(5, None, [1, 4, 0], [1, 1, 1], stage=again),
        chain(6, 0.99, [2, 2, 0], stage="random"),
        chain(7, 0.40, [2, 4, 0], stage="choice"),
    ]


def test_the_json_holds_every_candidate_with_its_parents_and_the_way_to_the_best(mmfuse, make_run, trials):
    run_id = make_run("running", trials=trials)

    told = json.loads(mmfuse("arch", "lineage", run_id, "--json").stdout)

    assert {row["trial"]: row["parents"] for row in told["candidates"]} == {
        0: [],
        1: [],
        2: [1],
        3: [0],
        4: [2],
        5: [3],
    }
    assert told["path"] == [1, 2, 4]
    assert told["candidates"][2]["candidate"] == "2+4 relu > 0+1 sigmoid" and told["candidates"][5]["score"] is None


def test_the_tree_marks_the_way_to_the_best_and_may_be_cut(mmfuse, make_run, trials):
    run_id = make_run("running", trials=trials)

    whole = mmfuse("arch", "lineage", run_id, "--limit", "0").stdout.splitlines()
    cut = mmfuse("arch", "lineage", run_id, "--limit", "1").stdout

    assert [line.split("  ")[0].rstrip() for line in whole][:3] == [
        "★ 2+4 relu",
        "└─ ★ 2+4 relu > 0+1 sigmoid",
        "",
    ]
    assert whole[2].startswith("   └─ ★ 1+4 relu > 0+1 sigmoid") and "0.8000" in whole[2]
    assert len(whole) == 6 and all(len(line) <= 80 for line in whole)
    assert "… 1 more, best 0.5000" in cut


def test_runs_without_descent_say_so(mmfuse, make_run, make_trial):
    encoders = make_run("finished", trials=[make_trial(0, 0.5), make_trial(1, 0.6, block="wave")])
    nothing = make_run("finished")

    assert "none of its 2 candidates came from another" in mmfuse("arch", "lineage", encoders).stdout
    refused = mmfuse("arch", "lineage", nothing)
    assert refused.exit_code == 2 and "has no trials" in refused.stderr
