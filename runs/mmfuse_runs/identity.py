"""Who a process is: host, boot, pid and start time, because the kernel hands a pid out again.

Linux only (``/proc`` and pidfd) and standard library only: the supervisor imports this without site-packages.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


class ProcessIdentity(NamedTuple):
    """One life of one process; a later process with the same pid is another identity."""

    host: str
    boot_id: str
    pid: int
    start_ticks: int
    """Start time in clock ticks since boot, field 22 of ``/proc/PID/stat``."""

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """The identity of a process that lives on this machine now.

        Raises:
            ProcessLookupError: there is none, or it is a zombie.
        """
        return cls(host_name(), boot_id(), pid, _start_ticks(pid))

    @classmethod
    def own(cls) -> ProcessIdentity:
        """The identity of the calling process."""
        return cls.of(os.getpid())

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None) -> ProcessIdentity | None:
        """What `to_json` wrote; None for null and for anything that is not an identity."""
        try:
            return (
                cls(
                    str(record["host"]),
                    str(record["boot_id"]),
                    int(record["pid"]),
                    int(record["start_ticks"]),
                )
                if record
                else None
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for ``state.json``."""
        return self._asdict()

    @property
    def here(self) -> bool:
        """Whether it ran on this machine since its last boot, so that `alive` can tell."""
        return self.host == host_name() and self.boot_id == boot_id()

    def alive(self) -> bool:
        """Whether the process certainly lives: it is here, is the same one, and is no zombie."""
        if not self.here:
            return False
        try:
            return _start_ticks(self.pid) == self.start_ticks
        except ProcessLookupError:
            return False

    def gone(self) -> bool:
        """Whether the process certainly ended. Neither `alive` nor `gone` holds for one on another host."""
        return self.host == host_name() and not self.alive()

    def open(self) -> int:
        """A pidfd of the process: readable once it ends, and never another process's. The caller closes it.

        Raises:
            ProcessLookupError: the process is gone or lives elsewhere.
        """
        if not self.here:
            raise ProcessLookupError(f"process {self.pid} belongs to another host or boot")
        pidfd = os.pidfd_open(self.pid)
        if self.alive():
            return pidfd
        os.close(pidfd)
        raise ProcessLookupError(f"process {self.pid} is gone")

    def signal(self, signum: int) -> bool:
        """Send a signal to exactly this process; False if it is gone."""
        try:
            pidfd = self.open()
        except ProcessLookupError:
            return False
        try:
            signal.pidfd_send_signal(pidfd, signum)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True


def host_name() -> str:
    """The name of this machine."""
    return os.uname().nodename


@cache
def boot_id() -> str:
    """The kernel's name for the present boot: a process of another boot is certainly gone."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_ticks(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"no process {pid}") from None
    # The command name, in parentheses, may hold any bytes, parentheses too; the fields proper follow the last one.
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] in b"ZX":
        raise ProcessLookupError(f"process {pid} has ended")
    return int(fields[19])
