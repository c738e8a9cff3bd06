"""The machine as it is: real processes in groups, the line before the slots, an nvidia-smi that answers or does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmfuse_runs.identity import host_name
from mmfuse_runs.machine import MachineProbe, slots_used, waiting_line
from mmfuse_runs.slots import Line

SPIN = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'while True: pass'])\nwhile True: pass"


@pytest.fixture
def busy_group():
    """Two processes that do nothing but compute, in a group of their own."""
    leader = subprocess.Popen([sys.executable, "-c", SPIN], start_new_session=True)
    yield leader.pid
    os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()


def until(condition):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("never came true")


def test_the_use_of_a_run_is_that_of_its_whole_process_group(tmp_path, busy_group):
    probe = MachineProbe(tmp_path)

    def both_compute():
        use = (probe.look({"run": busy_group, "gone": 2**22}).groups or {}).get("run")
        return use if use and use.processes == 2 and use.cpu else None

    use = until(both_compute)

    assert use.memory > 5_000_000 and use.cpu > 0


def test_cpu_memory_and_disk_are_shares_of_something(tmp_path):
    probe = MachineProbe(tmp_path)
    probe.look({})

    machine = until(lambda: (seen := probe.look({})).cpu is not None and seen)

    assert 0 <= machine.cpu <= 1 and machine.cores >= 1
    assert 0 < machine.memory_used < machine.memory_total and 0 < machine.disk_free <= machine.disk_total


def test_a_system_without_proc_is_told_as_far_as_it_goes(tmp_path):
    machine = MachineProbe(tmp_path / "nowhere", proc=tmp_path / "no-proc").look({"run": 1})

    assert machine.cpu is None and machine.memory_total is None and machine.groups == {}


def test_the_line_and_the_slots_are_read_in_their_order(tmp_path):
    holder = Line(tmp_path, run="first", wanted=["cpu.0"])
    slot = holder.try_take()
    second, third = (Line(tmp_path, run=name, wanted=["cpu.0"]) for name in ("second", "third"))
    assert second.try_take() is None and third.try_take() is None

    assert [(use.name, use.run) for use in slots_used(tmp_path)] == [("cpu.0", "first")]
    assert [(waiting.run, waiting.wanted, waiting.host) for waiting in waiting_line(tmp_path)] == [
        ("second", ("cpu.0",), host_name()),
        ("third", ("cpu.0",), host_name()),
    ]
    second.leave()
    third.leave()
    slot.release()


def smi(folder: Path, body: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


def test_gpus_and_the_memory_of_their_processes_come_from_nvidia_smi(tmp_path, monkeypatch, busy_group):
    smi(
        tmp_path,
        f'case "$1" in *compute-apps*) echo "{busy_group}, 512";; '
        '*) echo "GPU-1, NVIDIA H100, 37, 2048, 81920, 310.5, 61"; echo "GPU-2, MIG, [N/A], 1, 2, [N/A], 40";; esac',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    machine = MachineProbe(tmp_path).look({"run": busy_group})

    first, second = machine.gpus
    assert (first.name, first.busy, first.memory_total, first.watts) == ("NVIDIA H100", 0.37, 81920 * 1024**2, 310.5)
    assert second.busy is None and second.celsius == 40
    assert machine.groups["run"].gpu_memory == 512 * 1024**2


def test_a_driver_that_does_not_answer_shows_no_gpu(tmp_path, monkeypatch):
    smi(tmp_path, "exit 9")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert MachineProbe(tmp_path).look({}).gpus == ()
