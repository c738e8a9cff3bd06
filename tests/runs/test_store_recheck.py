"""Listing again without looking at every folder: what can have changed is seen all the same."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from mmfuse_runs import store as store_module
from mmfuse_runs.atomic import write_json
from mmfuse_runs.folder import RunFolder
from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.store import RunStore

SPEC = {"format": 1, "kind": "train", "family": "m2_mixer", "dataset": "toy", "seed": 0}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "home")


def create(store: RunStore, state: str = "finished") -> RunFolder:
    folder = store.create(SPEC, kind="train", subject="m2_mixer", dataset="toy")
    advance(folder, state)
    return folder


def advance(folder: RunFolder, state: str) -> None:
    """Do what a supervisor does to state.json."""
    own = ProcessIdentity.own().to_json() if state == "running" else None
    step = {"state": state, "at": time.time(), "attempt": 1, "reason": ""}
    record = folder.state()
    history = [*record["history"], step]
    write_json(
        folder.path / "state.json", record | {"state": state, "history": history, "supervisor": own, "worker": own}
    )


def states(store: RunStore) -> dict[str, str]:
    return {record.id: str(record.state) for record in store.records(recheck=False)}


def test_what_is_listed_again_is_what_a_recheck_lists(store: RunStore) -> None:
    for state in ("finished", "running", "crashed"):
        create(store, state)
    watching = RunStore(store.home)

    assert watching.records(recheck=False) == watching.records() == watching.records(recheck=False)


def test_a_run_that_goes_on_is_followed_to_its_end(store: RunStore) -> None:
    ended, live = create(store), create(store, "running")
    watching = RunStore(store.home)
    assert states(watching)[live.id] == "running"
    progress = {"done": 3, "total": 10, "what": "epoch 3/10", "at": time.time(), "started": time.time() - 5}

    (live.path / "progress.json").write_text(json.dumps(progress))
    assert next(iter(watching.records(recheck=False))).progress is not None
    advance(live, "crashed")

    assert states(watching) == {ended.id: "finished", live.id: "crashed"}


def test_a_run_that_came_and_one_that_went_are_seen_newest_first(store: RunStore) -> None:
    gone, stays = create(store), create(store)
    watching = RunStore(store.home)
    states(watching)

    shutil.rmtree(gone.path)
    came = create(store, "running")

    assert list(states(watching)) == [came.id, stays.id]


def test_what_the_index_is_told_of_an_ended_run_is_seen(store: RunStore) -> None:
    run = create(store)
    watching = RunStore(store.home)
    states(watching)

    store.set_meta(run.id, name="best so far", starred=True)

    assert [(record.name, record.starred) for record in watching.records(recheck=False)] == [("best so far", True)]


def test_a_state_changed_behind_the_index_is_seen_by_the_next_recheck(store: RunStore) -> None:
    run = create(store)
    watching = RunStore(store.home)
    states(watching)

    advance(run, "running")
    watching.records()

    assert states(watching) == {run.id: "running"}


def test_ended_runs_cost_no_look_at_their_folders(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    create(store)
    live = create(store, "running")
    watching = RunStore(store.home)
    watching.records()
    watching.records(recheck=False)
    looked: list[str] = []
    stat, fold = os.stat, store_module.fold

    def seen(path: Any, **options: Any) -> os.stat_result:
        looked.append(str(path).removeprefix(f"{store.home}/"))
        return stat(path, **options)

    monkeypatch.setattr(store_module.os, "stat", seen)
    monkeypatch.setattr(store_module, "fold", lambda folder, known: looked.append(folder.id) or fold(folder, known))
    watching.records(recheck=False)

    of_runs = [name for name in looked if "m2_mixer" in name]
    assert of_runs and all(live.id in name for name in of_runs)
