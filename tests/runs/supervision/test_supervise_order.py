"""Runs that wait are moved: the order is as asked, whoever races or dies, and no slot is ever taken twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmfuse_runs
from mmfuse.errors import BadSpec, RunBusy
from mmfuse_runs import control, reorder
from mmfuse_runs.identity import host_name
from mmfuse_runs.line_order import arrange, moved, tickets
from mmfuse_runs.slots import Line, draw_ticket
from mmfuse_runs.states import State
from mmfuse_runs.store import RunStore

PATHS = "import sys; sys.path[:0] = " + repr([str(Path(mmfuse_runs.__file__).parents[1]), *sys.path])
WAITER = f"""
{PATHS}
import time
from pathlib import Path
from mmfuse_runs.slots import Line
home, log, run = sys.argv[1:]
line = Line(Path(home), run=run, wanted=["cpu.0"])
def tell(what):
    with open(log, "a") as file:
        file.write(f"{{what}} {{run}}\\n")
slot = line.try_take()
tell("joined")
while slot is None:
    time.sleep(0.005)
    slot = line.try_take()
tell("took")
time.sleep(0.01)
tell("left")
slot.release()
"""
MOVER = f"""
{PATHS}
import random
from pathlib import Path
from mmfuse.errors import MmfuseError
from mmfuse_runs.reorder import move
from mmfuse_runs.store import RunStore
store, dice = RunStore(Path(sys.argv[1])), random.Random(int(sys.argv[2]))
while True:
    try:
        move(store, dice.sample([str(n) for n in range(8)], 2), dice.choice(["first", "last", "up", "down"]))
    except MmfuseError:
        pass  # one of them was served meanwhile
"""


class Waiters:
    """Processes that wait for cpu.0 one after the other, while this process keeps it."""

    def __init__(self, home: Path, count: int) -> None:
        self._log = home / "log.txt"
        self._log.touch()
        self._gate = Line(home, run="gate", wanted=["cpu.0"]).try_take()
        self.processes = []
        for number in range(count):
            command = [sys.executable, "-c", WAITER, str(home), str(self._log), str(number)]
            self.processes.append(subprocess.Popen(command))
            while f"joined {number}\n" not in self._log.read_text():
                time.sleep(0.005)

    def serve(self) -> list[str]:
        """Open the gate and wait for all; what they did, as it happened."""
        self._gate.release()
        for process in self.processes:
            process.wait(timeout=90)
        return [line for line in self._log.read_text().splitlines() if not line.startswith("joined")]

    def end(self) -> None:
        """Leave nobody behind."""
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def waiters(tmp_path):
    """Makes waiters and ends them."""
    made = []

    def make(count: int) -> Waiters:
        made.append(Waiters(tmp_path, count))
        return made[-1]

    yield make
    for each in made:
        each.end()


@given(st.lists(st.integers(0, 9), unique=True, min_size=1), st.data())
def test_nobody_is_lost_and_everybody_else_keeps_their_order(line, data):
    line = [str(number) for number in line]
    chosen = set(data.draw(st.lists(st.sampled_from(line), unique=True)))
    rest = [name for name in line if name not in chosen]
    wheres = ["first", "last", "up", "down", *(["before", "after"] if rest else [])]
    where = data.draw(st.sampled_from(wheres))
    anchor = data.draw(st.sampled_from(rest)) if where in ("before", "after") else None

    after = moved(line, chosen, where, anchor=anchor)

    assert sorted(after) == sorted(line)
    assert [name for name in after if name not in chosen] == rest
    assert [name for name in after if name in chosen] == [name for name in line if name in chosen]
    block = [name for name in line if name in chosen]
    if where in ("first", "last"):
        assert after[: len(block)] == block if where == "first" else after[len(rest) :] == block
    elif anchor is not None:
        at = after.index(anchor)
        assert after[at - len(block) : at] == block if where == "before" else after[at + 1 :][: len(block)] == block
    else:
        assert all(abs(after.index(name) - line.index(name)) <= 1 for name in chosen)


def test_one_place_up_passes_one_and_stops_at_the_head():
    assert moved("abcd", {"c"}, "up") == ["a", "c", "b", "d"]
    assert moved("abcd", {"a", "b", "d"}, "up") == ["a", "b", "d", "c"]
    assert moved("abcd", {"c", "d"}, "down") == ["a", "b", "c", "d"]


def test_waiters_are_served_in_the_order_that_was_asked_for(tmp_path, waiters):
    line, store = waiters(5), RunStore(tmp_path)

    reorder.move(store, ["3"], "first")
    reorder.move(store, ["0"], "after", anchor="2")
    after = reorder.move(store, ["4"], "up")

    assert [waiting.run for waiting in after] == ["3", "1", "2", "4", "0"]
    assert line.serve() == [f"{what} {run}" for run in "31240" for what in ("took", "left")]


def test_movers_that_race_and_are_killed_never_let_two_in_and_keep_nobody_out(tmp_path, waiters):
    RunStore(tmp_path).close()
    line, dice = waiters(8), random.Random(5)
    movers = [subprocess.Popen([sys.executable, "-c", MOVER, str(tmp_path), str(seed)]) for seed in range(3)]
    order = tmp_path / "queue" / f"order.{host_name()}.json"
    while not order.exists():
        time.sleep(0.01)

    killed = dice.sample(movers, 2)
    for mover in killed:
        time.sleep(dice.random() / 10)
        mover.send_signal(signal.SIGKILL)
    events = line.serve()
    for mover in movers:
        mover.kill()
        mover.wait()

    assert events[::2] == [event.replace("left", "took") for event in events[1::2]]
    assert sorted(event.split()[1] for event in events[::2]) == sorted("01234567")


def test_who_draws_a_ticket_later_stands_behind_those_who_were_moved(tmp_path):
    drawn = [draw_ticket(tmp_path).path.name for _ in range(3)]
    arrange(tmp_path / "queue", host_name(), [drawn[2], drawn[0], drawn[1]])

    late = draw_ticket(tmp_path).path.name

    assert tickets(tmp_path / "queue", host_name()) == [drawn[2], drawn[0], drawn[1], late]


@pytest.mark.parametrize("text", ["", "{", '{"tickets": 7}', "[]", '{"format": 1}', "\x00", '{"tickets": ["nobody"]}'])
def test_an_order_that_cannot_be_used_is_no_order(tmp_path, text):
    drawn = [draw_ticket(tmp_path).path.name for _ in range(3)]

    (tmp_path / "queue" / f"order.{host_name()}.json").write_text(text)

    assert tickets(tmp_path / "queue", host_name()) == drawn


def test_the_dead_do_not_count_when_somebody_is_moved_up(tmp_path, waiters):
    line, store = waiters(3), RunStore(tmp_path)
    line.processes[1].kill()
    line.processes[1].wait()

    after = reorder.move(store, ["2"], "up")

    assert [waiting.run for waiting in after] == ["2", "0"]
    assert reorder.places(after, {"0", "2"}) == {"2": 1, "0": 2}


def test_supervisors_obey_the_new_order_and_say_why_they_wait(house, monkeypatch):
    monkeypatch.setenv("MMFUSE_CPU_SLOTS", "1")
    gate = Line(house.store.home, run="gate", wanted=["cpu.0"]).try_take()
    runs = [house.start("train") for _ in range(3)]
    for run in runs:
        house.eventually(lambda run=run: house.record(run)["waiting"])

    reorder.move(house.store, [runs[2]], "first")

    house.eventually(lambda: house.record(runs[2])["waiting"] == "cpu.0 is held by gate")
    house.eventually(lambda: house.record(runs[0])["waiting"] == "cpu.0 is held by gate; 1 run is ahead in line")
    gate.release()
    house.wait(runs[2], State.RUNNING)
    assert house.state(runs[0]) is house.state(runs[1]) is State.QUEUED
    control.kill(house.store, runs[2])
    house.wait(runs[0], State.RUNNING)


def test_only_runs_in_line_are_moved(house, monkeypatch):
    running = house.start("train", until=State.RUNNING)
    unstarted = house.create()

    with pytest.raises(RunBusy, match="is running; only runs in line"):
        reorder.move(house.store, [running], "first")
    with pytest.raises(RunBusy, match="has no place in a line yet"):
        reorder.move(house.store, [unstarted], "first")
    with pytest.raises(BadSpec, match="cannot stand before itself"):
        reorder.move(house.store, [unstarted], "before", anchor=unstarted)
