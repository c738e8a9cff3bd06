"""What a fusion search has to beat, listed beside its result."""

from __future__ import annotations

import json

TOLD = {
    "rows": [
        {
            "name": "search",
            "chain": "2+4 relu",
            "trainings": 195,
            "score": 0.9,
            "held_out": 0.875,
            "held_out_std": 0.004,
        },
        {
            "name": "late fusion",
            "chain": "2+4 relu",
            "trainings": 1,
            "score": 0.9,
            "held_out": None,
            "held_out_std": None,
        },
    ],
    "not_trained": [{"preset": "exhaustive-2", "trainings": 930}],
}


def tell(store, run_id, facts):
    note = {"v": 1, "ev": "note", "t": 0.0, "attempt": 1, "message": "standings", "facts": facts}
    with (store.folder(run_id).path / "events.jsonl").open("a") as events:
        events.write(json.dumps(note) + "\n")


def test_the_latest_standings_are_shown_with_the_baselines_that_were_left_out(mmfuse, make_run, store):
    run_id = make_run()
    tell(store, run_id, TOLD | {"rows": []})
    tell(store, run_id, TOLD)

    shown = mmfuse("runs", "show", run_id).stdout
    answer = json.loads(mmfuse("runs", "show", run_id, "--json").stdout)

    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "search 195 0.9000 0.8750 ± 0.004 2+4 relu" in lines
    assert "late fusion 1 0.9000 - 2+4 relu" in lines
    assert "not trained: --preset exhaustive-2, 930 trainings" in lines
    assert answer["standings"] == TOLD


def test_a_run_that_told_none_shows_none(mmfuse, make_run):
    run_id = make_run()

    assert "standings" not in mmfuse("runs", "show", run_id).stdout
    assert json.loads(mmfuse("runs", "show", run_id, "--json").stdout)["standings"] is None


def test_a_search_without_a_usual_preset_is_repeated_without_any(mmfuse, launcher):
    mmfuse("search", "mfas", "--dataset", "avmnist", "--set", "samples=6")
    plain = launcher.started[-1][0]
    mmfuse("search", "mfas", "--dataset", "avmnist", "--preset", "compat")
    published = launcher.started[-1][0]

    commands = [json.loads(mmfuse("runs", "show", run, "--json").stdout)["command"] for run in (plain, published)]

    assert commands == [
        "mmfuse search mfas --dataset avmnist --set samples=6",
        "mmfuse search mfas --dataset avmnist --preset compat",
    ]
