"""Jobs in forked processes: real processes that finish, crash, hang and are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmfuse.errors import Stopped
from mmfuse.training.forked import Died, Ended, Message, Send, run_forked


def never() -> bool:
    return False


def test_every_job_is_run_once_and_its_messages_arrive_in_order() -> None:
    def work(job: int, send: Send) -> None:
        send(("half", job))
        send(("whole", job))

    events = list(run_forked(range(5), work, workers=2, should_stop=never))

    for job in range(5):
        mine = [event for event in events if event.job == job]
        assert mine == [Message(job, ("half", job)), Message(job, ("whole", job)), Ended(job)]


def test_a_job_that_dies_is_reported_and_the_others_go_on() -> None:
    def work(job: int, send: Send) -> None:
        if job == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        send(job)

    events = list(run_forked(range(3), work, workers=1, should_stop=never))

    assert [event.job for event in events if isinstance(event, Ended)] == [0, 2]
    (died,) = [event for event in events if isinstance(event, Died)]
    assert died == Died(1, "its process was killed by SIGKILL")


def test_a_job_sees_one_torch_thread_however_many_the_parent_has() -> None:
    def work(job: int, send: Send) -> None:
        send(torch.get_num_threads())

    events = list(run_forked([0], work, workers=1, should_stop=never))

    assert events[0] == Message(0, 1)


def test_a_stop_kills_running_jobs_at_once() -> None:
    pids: list[int] = []

    def work(job: int, send: Send) -> None:
        send(os.getpid())
        time.sleep(60)

    with pytest.raises(Stopped):
        for event in run_forked([0, 1], work, workers=2, should_stop=lambda: len(pids) == 2):
            assert isinstance(event, Message)
            pids.append(event.content)

    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_job_does_not_hear_its_parents_handler_of_sigterm() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        events = list(
            run_forked([0], lambda job, send: os.kill(os.getpid(), signal.SIGTERM), workers=1, should_stop=never)
        )
    finally:
        signal.signal(signal.SIGTERM, before)

    assert events == [Died(0, "its process was killed by SIGTERM")]
    assert heard == []


PARENT = """
import os, time
from mmfuse.training.forked import run_forked
def work(job, send):
    send(os.getpid())
    time.sleep(600)
for message in run_forked([0, 1], work, workers=2, should_stop=lambda: False):
    print(message.content, flush=True)
"""


def test_jobs_end_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    jobs = [int(parent.stdout.readline()) for _ in range(2)]

    parent.kill()
    parent.wait()

    deadline = time.monotonic() + 90
    while any(map(_runs, jobs)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(_runs, jobs))
    parent.stdout.close()


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie, which it stays where nobody collects orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
