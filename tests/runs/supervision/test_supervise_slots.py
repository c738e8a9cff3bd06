"""Slots and the line in front of them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mmfuse_runs
from mmfuse.errors import StoreError
from mmfuse_runs import control, launch
from mmfuse_runs.slots import Line, NoSuchDevice, Slot, check_device, cpu_slots, draw_ticket, slots_for
from mmfuse_runs.states import State, advanced

WAITER = f"""
import os, sys, time
sys.path.append({str(Path(mmfuse_runs.__file__).parents[1])!r})
from pathlib import Path
from mmfuse_runs.slots import Line
home, log, number, *wanted = sys.argv[1:]
line = Line(Path(home), run=number, wanted=wanted)
def tell(what):
    with open(log, "a") as file:
        file.write(f"{{what}} {{number}}\\n")
slot = line.try_take()
tell("joined")
while slot is None:
    time.sleep(0.005)
    slot = line.try_take()
tell(f"took {{slot.name}}")
time.sleep(0.02)
tell(f"left {{slot.name}}")
"""


def take(home: Path, run: str, *wanted: str) -> Slot | None:
    return Line(home, run=run, wanted=wanted).try_take()


def test_the_line_is_served_in_order_though_waiters_die_and_nothing_is_left(tmp_path):
    home, log, dice = tmp_path, tmp_path / "log", random.Random(7)
    log.touch()
    gatekeeper = take(home, "gatekeeper", "cpu.0")
    waiters = []
    for number in range(12):
        waiters.append(
            subprocess.Popen([sys.executable, "-I", "-S", "-c", WAITER, str(home), str(log), str(number), "cpu.0"])
        )
        while f"joined {number}\n" not in log.read_text():
            time.sleep(0.005)
    doomed = set(dice.sample(range(12), 4))
    for number in doomed:
        waiters[number].kill()

    gatekeeper.release()
    for waiter in waiters:
        waiter.wait(timeout=90)

    events = [line.rsplit(" ", 1) for line in log.read_text().splitlines() if not line.startswith("joined")]
    survivors = [str(number) for number in range(12) if number not in doomed]
    assert events == [[what, number] for number in survivors for what in ("took cpu.0", "left cpu.0")]
    assert list((home / "queue").iterdir()) == []
    assert take(home, "next", "cpu.0") is not None


def test_two_slots_are_never_held_by_three_and_a_killed_holder_frees_its_own(tmp_path):
    home, log, dice = tmp_path, tmp_path / "log", random.Random(3)
    log.touch()
    waiters = {
        str(number): subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", WAITER, str(home), str(log), str(number), "cpu.0", "cpu.1"]
        )
        for number in range(12)
    }

    while "left" not in log.read_text():
        time.sleep(0.002)
    killed = [number for number, waiter in waiters.items() if waiter.poll() is None and dice.random() < 0.5]
    for number in killed:
        waiters[number].kill()
    for waiter in waiters.values():
        waiter.wait(timeout=90)

    holder: dict[str, str] = {}
    for line in log.read_text().splitlines():
        what, *slot, number = line.split()
        if what == "took":
            assert holder.get(slot[0]) in (None, *killed)
            holder[slot[0]] = number
        elif what == "left":
            holder[slot[0]] = ""
            holder = {name: who for name, who in holder.items() if who}
    assert all((home / "slots" / os.uname().nodename / name).exists() for name in ("cpu.0", "cpu.1"))
    slots = [take(home, "after", "cpu.0"), take(home, "after", "cpu.1")]
    assert None not in slots
    assert list((home / "queue").iterdir()) == []


def test_a_waiter_is_told_who_holds_what_it_waits_for(tmp_path):
    held = take(tmp_path, "the-holder", "cpu.0")
    first, second = (Line(tmp_path, run=name, wanted=["cpu.0"]) for name in ("first", "second"))

    assert first.try_take() is None
    assert second.try_take() is None

    assert first.waiting == "cpu.0 is held by the-holder"
    assert second.waiting == "cpu.0 is held by the-holder; 1 run is ahead in line"
    held.release()
    assert second.try_take() is None
    assert first.try_take() is not None


def test_waiters_for_different_slots_do_not_hold_each_other_up(tmp_path):
    held = take(tmp_path, "holder", "gpu-a.0")
    waits_for_a = Line(tmp_path, run="first", wanted=["gpu-a.0"])
    assert held is not None and waits_for_a.try_take() is None

    assert take(tmp_path, "second", "gpu-a.0", "gpu-b.0").name == "gpu-b.0"


def test_a_ticket_that_cannot_be_read_is_respected_while_its_owner_lives(tmp_path):
    held = take(tmp_path, "holder", "cpu.0")
    first, second = (Line(tmp_path, run=name, wanted=["cpu.0"]) for name in ("first", "second"))
    first.try_take(), second.try_take()
    min((tmp_path / "queue").iterdir()).write_text("")

    held.release()

    assert second.try_take() is None
    assert first.try_take() is not None


def test_leaving_the_line_lets_the_next_one_pass(tmp_path):
    held = take(tmp_path, "holder", "cpu.0")
    first, second = (Line(tmp_path, run=name, wanted=["cpu.0"]) for name in ("first", "second"))
    first.try_take(), second.try_take()

    first.leave()
    held.release()

    assert second.try_take() is not None
    assert list((tmp_path / "queue").iterdir()) == []


def test_a_process_that_inherited_the_slot_keeps_it_when_the_holder_is_gone(tmp_path):
    slot = take(tmp_path, "holder", "cpu.0")
    worker = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"], pass_fds=[slot.descriptor]
    )

    line = Line(tmp_path, run="next", wanted=["cpu.0"])

    slot.release()
    assert line.try_take() is None
    worker.kill()
    worker.wait()

    assert line.try_take() is not None


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf 'GPU-aa\\nGPU-bb\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("MMFUSE_CPU_SLOTS", "2")


@pytest.mark.parametrize(
    ("device", "slots"),
    [
        ("auto", ["gpu-GPU-aa.0", "gpu-GPU-bb.0"]),
        ("cuda", ["gpu-GPU-aa.0", "gpu-GPU-bb.0"]),
        ("cuda:1", ["gpu-GPU-bb.0"]),
        ("cpu", ["cpu.0", "cpu.1"]),
    ],
)
def test_a_device_names_its_slots(two_gpus, device, slots):
    assert slots_for(device) == slots


def test_several_runs_per_gpu_spread_over_the_gpus_first(two_gpus, monkeypatch):
    monkeypatch.setenv("MMFUSE_RUNS_PER_GPU", "2")

    assert slots_for("cuda") == ["gpu-GPU-aa.0", "gpu-GPU-bb.0", "gpu-GPU-aa.1", "gpu-GPU-bb.1"]


@pytest.mark.parametrize(
    ("visible", "slots"),
    [("1", ["gpu-GPU-bb.0"]), ("GPU-bb,0", ["gpu-GPU-bb.0", "gpu-GPU-aa.0"]), ("", ["cpu.0", "cpu.1"])],
)
def test_gpus_that_the_user_hid_are_not_used(two_gpus, monkeypatch, visible, slots):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert slots_for("auto") == slots


def test_a_gpu_slot_knows_its_gpu():
    assert Slot("gpu-GPU-aa.0", -1).gpu == "GPU-aa"
    assert Slot("cpu.0", -1).gpu is None


@pytest.mark.parametrize("device", ["cuda:2", "cuda:x", "cuda:-1", "tpu"])
def test_a_device_that_is_not_there_is_refused_by_name(two_gpus, device):
    with pytest.raises(NoSuchDevice, match=device):
        slots_for(device)


def test_a_driver_that_does_not_answer_leaves_the_cpu(two_gpus, tmp_path):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")

    assert slots_for("auto") == ["cpu.0", "cpu.1"]
    with pytest.raises(NoSuchDevice, match="shows no usable GPU"):
        slots_for("cuda")


@pytest.mark.parametrize("text", ["0", "-1", "two"])
def test_a_number_of_slots_that_is_none_is_refused_with_its_variable(monkeypatch, text):
    monkeypatch.setenv("MMFUSE_CPU_SLOTS", text)

    with pytest.raises(NoSuchDevice, match=rf"\$MMFUSE_CPU_SLOTS must be a whole number .* '{text}'"):
        cpu_slots()


def test_there_is_a_cpu_slot_for_every_two_cores_and_at_least_one(monkeypatch):
    monkeypatch.delenv("MMFUSE_CPU_SLOTS", raising=False)
    for cores, slots in ((1, 1), (2, 1), (9, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        assert cpu_slots() == slots


def test_a_clock_that_was_set_back_lets_nobody_pass(tmp_path, monkeypatch):
    holder = Line(tmp_path, run="holder", wanted=["cpu.0"]).try_take()
    first, second = (Line(tmp_path, run=name, wanted=["cpu.0"]) for name in ("first", "second"))
    assert first.try_take() is None
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert second.try_take() is None

    holder.release()

    assert second.try_take() is None
    assert first.try_take() is not None


@pytest.mark.parametrize("name", ["", " ", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "cpu\n", "cuda:٣"])
def test_a_name_that_means_no_device_is_refused(name):
    with pytest.raises(NoSuchDevice, match="known: auto, cpu, cuda"):
        check_device(name)


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_a_device_of_another_machine_is_a_device(name):
    check_device(name)


def test_a_ticket_drawn_earlier_is_served_first_though_its_owner_comes_later(tmp_path):
    early = draw_ticket(tmp_path)
    second = Line(tmp_path, run="second", wanted=["cpu.0"])
    assert second.try_take() is None

    first = Line(tmp_path, run="first", wanted=["cpu.0"], ticket=early)

    assert first.try_take() is not None


def test_a_ticket_whose_queue_was_emptied_is_drawn_anew(tmp_path):
    line = Line(tmp_path, run="first", wanted=["cpu.0"], ticket=draw_ticket(tmp_path))
    for ticket in (tmp_path / "queue").iterdir():
        ticket.unlink()

    assert line.try_take() is not None
    assert list((tmp_path / "queue").iterdir()) == []


@pytest.fixture
def late_supervisors(monkeypatch):
    """Launched runs get no supervisor until their starter, a function by run, is called."""
    late = {}

    def keep(run, *, log, ticket):
        kept = ticket._replace(descriptor=os.dup(ticket.descriptor))
        late[run.name] = lambda: (spawn(run, log=log, ticket=kept), os.close(kept.descriptor))

    spawn = launch.spawn_supervisor
    monkeypatch.setattr(launch, "spawn_supervisor", keep)
    return late


def test_runs_get_their_slots_in_the_order_of_their_launches(house, monkeypatch, late_supervisors):
    monkeypatch.setenv("MMFUSE_CPU_SLOTS", "1")
    holder = take(house.store.home, "holder", "cpu.0")
    first, second = house.start("train"), house.start("train")

    for run in (second, first):
        late_supervisors[run]()
        house.eventually(lambda run=run: house.record(run)["waiting"])
    holder.release()

    house.wait(first, State.RUNNING)
    assert house.state(second) is State.QUEUED
    assert not any("/queue/" in link for link in open_files(house.worker(first).pid))
    control.kill(house.store, first)
    house.wait(second, State.RUNNING)
    assert list((house.store.home / "queue").iterdir()) == []


def test_a_run_that_cannot_be_supervised_leaves_the_line(house, monkeypatch):
    monkeypatch.setattr(launch, "_SUPERVISE", house.store.home / "missing.py")

    with pytest.raises(StoreError, match="cannot be started"):
        house.start("train")

    assert list((house.store.home / "queue").iterdir()) == []


@pytest.mark.parametrize("trouble", ["cancelled", "damaged"])
def test_a_supervisor_with_nothing_to_do_leaves_the_line(house, late_supervisors, trouble):
    run = house.start("train")
    if trouble == "cancelled":
        cancelled = advanced(house.record(run), State.CANCELLED, at=time.time())
        (house.path(run) / "state.json").write_text(json.dumps(cancelled))
    else:
        (house.path(run) / "launch.json").write_text("{")

    late_supervisors[run]()

    house.eventually(lambda: list((house.store.home / "queue").iterdir()) == [])
    assert house.state(run) is (State.CANCELLED if trouble == "cancelled" else State.CRASHED)


def open_files(pid):
    return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
