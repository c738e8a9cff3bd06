"""Whatever people and accidents do to a run, in whatever order: its history is legal, one worker lives at most."""

from __future__ import annotations

import itertools
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmfuse.errors import RunBusy
from mmfuse_runs import control
from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.slots import Line
from mmfuse_runs.states import LIVE, RESUMABLE, TRANSITIONS, State
from mmfuse_runs.store import RunStore

PEOPLE, ACTS = 2, 10


def living_workers(house, run: str) -> int:
    return sum(lives(int(pid)) for pid in (house.path(run) / "pids.txt").read_text().split())


def lives(pid: int) -> bool:
    try:
        ProcessIdentity.of(pid)
    except ProcessLookupError:
        return False
    return True


def end_process(store: RunStore, run: str, role: str) -> None:
    identity = ProcessIdentity.from_json(store.folder(run).state()[role])
    if identity is not None:
        identity.signal(signal.SIGKILL)


def meddle(house, run: str, dice: random.Random) -> None:
    """One person's random acts, through a store of their own."""
    store = RunStore(house.store.home)
    acts = {
        "stop": lambda: control.stop(store, run, grace_s=dice.choice([None, 0.0, 5.0])),
        "kill": lambda: control.kill(store, run),
        "pause": lambda: control.pause(store, run),
        "continue": lambda: control.continue_(store, run),
        "resume": lambda: control.resume(store, run),
        "adopt": lambda: control.adopt(store, run),
        "end supervisor": lambda: end_process(store, run, "supervisor"),
        "end worker": lambda: end_process(store, run, "worker"),
    }
    for act in dice.choices(list(acts), [2, 1, 2, 2, 6, 2, 2, 1], k=ACTS):
        try:
            acts[act]()
        except RunBusy as refusal:
            assert run in refusal.message
        time.sleep(dice.choice([0, 0.01, 0.2]))
        assert living_workers(house, run) <= 1


@pytest.mark.parametrize("seed", range(4))
def test_any_interleaving_leaves_a_legal_history_one_worker_and_a_free_slot(house, monkeypatch, seed):
    monkeypatch.setenv("MMFUSE_CPU_SLOTS", "1")
    run = house.start("train", until=State.RUNNING)

    with ThreadPoolExecutor(PEOPLE) as people:
        for done in [people.submit(meddle, house, run, random.Random(f"{seed}-{person}")) for person in range(PEOPLE)]:
            done.result()
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
