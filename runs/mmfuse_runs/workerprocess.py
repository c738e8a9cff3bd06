"""The worker's process as its supervisor sees it: started in a session of its own, or adopted while it works.

Standard library only, Linux only.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.verdict import Exit

SWEEP_S = 5.0
"""How long killed descendants may take to vanish; one that hangs in the kernel is left behind then."""
_PR_SET_CHILD_SUBREAPER = 36
_READY = b"\n"
_RESET_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE, signal.SIGCHLD)


class Command(NamedTuple):
    """What to execute."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    log: Path
    """Plain file for stdout and stderr: a pipe would break under the worker should the supervisor die."""
    inherit: int
    """Descriptor that stays open in the worker: its slot."""


class WorkerProcess:
    """A worker, by pidfd: readable once the process ended, and never another process's."""

    def __init__(self, identity: ProcessIdentity, *, child: bool) -> None:
        self.identity = identity
        self.pidfd = identity.open()
        self._child = child

    @property
    def ended(self) -> bool:
        """Whether the process is over; until `collect` its pid stays reserved if it is our child."""
        return bool(select.select([self.pidfd], [], [], 0)[0])

    def signal_leader(self, signum: int) -> None:
        """Signal the worker alone: its data-loading children must outlive a graceful stop."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signum)

    def signal_group(self, signum: int) -> None:
        """Signal the worker and everything it started in its own process group."""
        # The group's number is the leader's pid, which is ours while the leader is unreaped or has group members.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.identity.pid, signum)

    def collect(self) -> Exit:
        """Kill what the ended worker left behind, and say how it ended."""
        self.signal_group(signal.SIGKILL)
        ended = Exit()
        if self._child:
            code = os.waitstatus_to_exitcode(os.waitpid(self.identity.pid, 0)[1])
            ended = Exit(code=code) if code >= 0 else Exit(signal=-code)
            _sweep_children()
        os.close(self.pidfd)
        return ended


def start(command: Command) -> tuple[WorkerProcess, Gate]:
    """Fork a process that waits behind a gate: `Gate.open` lets it execute the command.

    So its identity is on record before it can do anything, and it never starts should its supervisor die between. It
    leads a session of its own and so a process group: one in the supervisor's session would be orphaned when that dies,
    and the kernel sends SIGHUP to an orphaned group that is paused.

    Raises:
        OSError: no process can be made, or the log cannot be written.
    """
    log = os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    gate_read, gate_write = os.pipe()
    failure_read, failure_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gate_write)
        _become(command, log, gate_read, failure_write)
    for descriptor in (log, gate_read, failure_write):
        os.close(descriptor)
    os.read(failure_read, 1)  # the group exists before anybody signals it
    return WorkerProcess(ProcessIdentity.of(pid), child=True), Gate(gate_write, failure_read)


class Gate(NamedTuple):
    """What holds a forked worker back."""

    descriptor: int
    failure: int

    def open(self) -> str:
        """Let it go; returns why the command could not be executed, empty if it could."""
        with suppress(BrokenPipeError):
            os.write(self.descriptor, b"g")
        os.close(self.descriptor)
        with open(self.failure, "rb") as pipe:
            return pipe.read().decode(errors="replace")


def reap_strays(worker: WorkerProcess) -> None:
    """Collect dead descendants that fell to us, but not the worker itself: its pid must stay reserved."""
    with suppress(ChildProcessError):
        while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if dead.si_pid == worker.identity.pid:
                return
            os.waitpid(dead.si_pid, 0)


def become_subreaper() -> None:
    """Let descendants that lose their parent fall to this process, so that none escapes by ``setsid``."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _become(command: Command, log: int, gate: int, failure: int) -> NoReturn:
    """In the forked child: wait at the gate, then turn into the command. Never returns, never raises."""
    try:
        os.setsid()
        os.write(failure, _READY)
        signal.set_wakeup_fd(-1)
        for number in _RESET_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if os.read(gate, 1) != b"g":
            os._exit(0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        fcntl.fcntl(command.inherit, fcntl.F_SETFD, 0)
        os.chdir(command.cwd)
        os.execvpe(command.argv[0], list(command.argv), dict(command.env))
    except BaseException as error:  # whatever it is, the parent must hear of it and this copy of it must end
        os.write(failure, str(error).encode(errors="replace"))
    finally:
        os._exit(127)


def _sweep_children() -> None:
    """Kill and collect every process that descends from us; the children of the killed fall to us in turn."""
    deadline = time.monotonic() + SWEEP_S
    while time.monotonic() < deadline:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        for pid in _children():
            os.kill(pid, signal.SIGKILL)  # ours and uncollected, so the pid cannot be another's
        time.sleep(0.01)


def _children() -> list[int]:
    return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _parent(pid) == os.getpid()]  # noqa: PTH208


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()  # the command name in it may hold any bytes
    except OSError:
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split()[1])
