"""Whatever people and accidents do to a run, in whatever order: its history is legal, one worker lives at most."""

from __future__ import annotations

import itertools
import random
import signal
import time

import pytest

from mmfuse.errors import RunBusy
from mmfuse_runs import control
from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.slots import Line
from mmfuse_runs.states import LIVE, RESUMABLE, TRANSITIONS, State

ACTS = 14


def living_workers(house, run: str) -> int:
    path = house.path(run) / "pids.txt"
    pids = map(int, path.read_text().split()) if path.exists() else ()
    return sum(_lives(pid) for pid in pids)


def _lives(pid: int) -> bool:
    try:
        ProcessIdentity.of(pid)
    except ProcessLookupError:
        return False
    return True


def end_process(house, run: str, role: str) -> None:
    identity = ProcessIdentity.from_json(house.record(run)[role])
    if identity is not None:
        identity.signal(signal.SIGKILL)


@pytest.mark.parametrize("seed", range(6))
def test_any_interleaving_leaves_a_legal_history_one_worker_and_a_free_slot(house, monkeypatch, seed):
    monkeypatch.setenv("MMFUSE_CPU_SLOTS", "1")
    dice = random.Random(seed)
    run = house.start("train")
    acts = {
        "stop": lambda: control.stop(house.store, run, grace_s=dice.choice([None, 0.0, 5.0])),
        "kill": lambda: control.kill(house.store, run),
        "pause": lambda: control.pause(house.store, run),
        "continue": lambda: control.continue_(house.store, run),
        "resume": lambda: control.resume(house.store, run),
        "adopt": lambda: control.adopt(house.store, run),
        "end supervisor": lambda: end_process(house, run, "supervisor"),
        "end worker": lambda: end_process(house, run, "worker"),
    }
    weights = [2, 1, 2, 2, 5, 2, 2, 1]
    for act in dice.choices(list(acts), weights, k=ACTS):
        try:
            acts[act]()
        except RunBusy as refusal:
            assert run in refusal.message
        time.sleep(dice.choice([0, 0.01, 0.1]))
        assert living_workers(house, run) <= 1

    if house.store.record(run).orphan:
        control.adopt(house.store, run)
    if house.state(run) in LIVE and house.store.record(run).state in LIVE:
        control.kill(house.store, run)
    house.wait(run)

    house.eventually(lambda: living_workers(house, run) == 0)
    path = [State(step) for step in house.path_taken(run)]
    assert all(after in TRANSITIONS[before] for before, after in itertools.pairwise(path))
    assert path.count(State.QUEUED) == house.record(run)["attempt"]
    assert State(house.store.record(run).state) in RESUMABLE | {State.CANCELLED}
    next_in_line = Line(house.store.home, run="next", wanted=["cpu.0"])
    house.eventually(lambda: next_in_line.try_take() is not None)
