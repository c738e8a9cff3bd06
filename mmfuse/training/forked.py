"""Independent jobs in forked processes: a fork of a process that has torch loaded starts in milliseconds.

A search trial runs in a process of its own, so a crash in one (even a segmentation fault or the out-of-memory killer)
is that trial's failure and nobody else's. Not for CUDA, whose context does not survive a fork.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, Generic, TypeVar, cast

import torch

from mmfuse.errors import Stopped

Job = TypeVar("Job")
Send = Callable[[Any], None]

POLL_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Message(Generic[Job]):
    """Something a job sent while it ran."""

    job: Job
    content: Any


@dataclass(frozen=True)
class Died(Generic[Job]):
    """A job's process ended without finishing; ``reason`` is a phrase for people."""

    job: Job
    reason: str


@dataclass(frozen=True)
class Ended(Generic[Job]):
    """A job's process finished."""

    job: Job


def run_forked(
    jobs: Sequence[Job],
    work: Callable[[Job, Send], None],
    *,
    workers: int,
    should_stop: Callable[[], bool],
) -> Iterator[Message[Job] | Died[Job] | Ended[Job]]:
    """Run ``work(job, send)`` for each job, ``workers`` at a time, each in its own process with one torch thread.

    One thread per process makes the numbers of a job independent of how many run beside it.

    Raises:
        Stopped: once ``should_stop`` says so; running jobs are killed and count as never begun.
    """
    context = multiprocessing.get_context("fork")
    waiting, running = deque(jobs), dict[Connection, tuple[Job, ForkProcess]]()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.popleft()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_in_child, args=(work, job, sender, os.getpid()), daemon=True)
                process.start()
                sender.close()
                running[receiver] = job, process
            for ready in wait(list(running), timeout=POLL_SECONDS):
                receiver = cast("Connection[Any, Any]", ready)
                job, process = running[receiver]
                try:
                    yield Message(job, receiver.recv())
                except EOFError:
                    del running[receiver]
                    receiver.close()
                    process.join()
                    yield Ended(job) if process.exitcode == 0 else Died(job, _cause(process.exitcode))
            if should_stop():
                raise Stopped
    finally:
        for receiver, (_, process) in running.items():
            process.kill()
            process.join()
            receiver.close()


def _in_child(work: Callable[[Job, Send], None], job: Job, sender: Connection, parent: int) -> None:
    _die_with(parent)
    # The parent's handler means "stop the run at a safe point"; a trial has none, and the parent kills it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    work(job, sender.send)
    sender.close()


def _die_with(parent: int) -> None:
    """End this process as soon as its parent has: nobody would read what it computes, nor find it to end it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it had died before it could be agreed on
            os.kill(os.getpid(), signal.SIGKILL)


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"its process was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"its process was killed by signal {-code}"
    return f"its process exited with code {code}"
