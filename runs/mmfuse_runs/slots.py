"""Who may compute now: device slots and the line in front of them, by file locks alone.

``<home>/slots/<host>/cpu.<k>`` and ``gpu-<uuid>.<k>`` are slots: one is taken while somebody holds a ``flock`` on its
file. ``<home>/queue/<nanoseconds>.<pid>.<host>`` are tickets: one is alive while its owner holds the lock on it. The
kernel drops the locks of a process that dies, however it dies, so no slot leaks and no daemon is needed; a dead
ticket is removed by whoever stands behind it. Whoever launches a run draws its ticket and hands it to the supervisor,
so the line is in the order of the launches, however long each supervisor takes to arrive; `mmfuse_runs.line_order` says
how somebody can change that order.

A machine has half as many CPU slots as cores, at least one ($MMFUSE_CPU_SLOTS overrides), and one slot per GPU
($MMFUSE_RUNS_PER_GPU overrides). Standard library only: the supervisor imports this without site-packages.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mmfuse_runs.identity import host_name
from mmfuse_runs.line_order import tickets

CPU_SLOTS_VARIABLE = "MMFUSE_CPU_SLOTS"
RUNS_PER_GPU_VARIABLE = "MMFUSE_RUNS_PER_GPU"
NVIDIA_SMI_TIMEOUT_S = 20


class NoSuchDevice(ValueError):
    """A device that this machine does not have, or a setting that is not a number."""


class Slot(NamedTuple):
    """A slot that this process holds, until `release` or its death."""

    name: str
    descriptor: int
    """The locked file. A worker that inherits it keeps the slot taken should its supervisor die."""

    @property
    def gpu(self) -> str | None:
        """The UUID of the GPU behind the slot; None for a CPU slot."""
        return self.name[len("gpu-") : self.name.rindex(".")] if self.name.startswith("gpu-") else None

    def release(self) -> None:
        """Let the next in line have it (once no worker holds the descriptor either)."""
        os.close(self.descriptor)


class Ticket(NamedTuple):
    """A place in the line, for as long as any process holds its descriptor; a child that inherits it holds it too."""

    path: Path
    descriptor: int

    @property
    def valid(self) -> bool:
        """Whether the file is still the one in the queue: somebody may have emptied that folder."""
        return bool(os.fstat(self.descriptor).st_nlink)

    def give_up(self) -> None:
        """Step out of the line."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def draw_ticket(home: Path, *, run: str = "") -> Ticket:
    """Take the last place in the line; for ``run``, as far as that is known before it is known what it wants.

    Raises:
        OSError: the home cannot be written.
    """
    queue = home / "queue"
    queue.mkdir(parents=True, exist_ok=True)
    while True:
        path = queue / f"{_next_number(queue):020d}.{os.getpid()}.{host_name()}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        ticket = Ticket(path, descriptor)
        if ticket.valid:
            if run:
                _describe(descriptor, {"run": run})
            return ticket
        os.close(descriptor)  # somebody took the ticket for a dead one before it was locked


def _next_number(queue: Path) -> int:
    """Now, or just behind the last in line: a clock that was set back lets nobody pass."""
    numbers = [int(number) for name in os.listdir(queue) if (number := name.partition(".")[0]).isdecimal()]  # noqa: PTH208
    return max(time.time_ns(), max(numbers, default=0) + 1)


def cpu_slots() -> int:
    """How many runs may use this machine's CPU at a time."""
    return _count(CPU_SLOTS_VARIABLE, default=max(1, cores() // 2))


def cores() -> int:
    """The CPU cores this process may use."""
    return len(os.sched_getaffinity(0))


def slots_for(device: str) -> list[str]:
    """The names of the slots that satisfy ``auto``, ``cpu``, ``cuda`` or ``cuda:<index>``.

    ``auto`` means any GPU where there is one. An index counts the GPUs that $CUDA_VISIBLE_DEVICES leaves visible, in
    PCI order.

    Raises:
        NoSuchDevice: there is no such GPU, or the name means nothing.
    """
    gpus = [] if device == "cpu" else visible_gpus()
    check_device(device)
    kind, _, index = device.partition(":")
    if kind == "cuda":
        gpus = _pick(gpus, device, index)
    if not gpus:
        return [f"cpu.{k}" for k in range(cpu_slots())]
    # The first place of every GPU before the second of any: two runs spread over two GPUs.
    return [f"gpu-{gpu}.{k}" for k in range(_count(RUNS_PER_GPU_VARIABLE, default=1)) for gpu in gpus]


def check_device(device: str) -> None:
    """Refuse a name that means no device anywhere; whether this machine has it is for `slots_for` to find out.

    Raises:
        NoSuchDevice: naming those that there may be.
    """
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", device, re.ASCII) is None:
        raise NoSuchDevice(f"no device is called '{device}'; known: auto, cpu, cuda, cuda:<index>")


def visible_gpus() -> list[str]:
    """The UUIDs of this machine's GPUs in PCI order, as nvidia-smi and $CUDA_VISIBLE_DEVICES leave them."""
    gpus = _installed_gpus()
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return gpus
    chosen = [name.strip() for name in wanted.split(",")]
    by_name = {str(index): gpu for index, gpu in enumerate(gpus)} | {gpu: gpu for gpu in gpus}
    return [by_name[name] for name in chosen if name in by_name]


class Line:
    """One waiter's place in the line for any of the ``wanted`` slots.

    Nobody takes a slot that a waiter before them also wants; waiters for different slots do not hold each other up.
    """

    def __init__(self, home: Path, *, run: str, wanted: Sequence[str], ticket: Ticket | None = None) -> None:
        """``ticket`` is one that was drawn for this waiter before; without it the first `try_take` draws one."""
        self.waiting = ""
        """Why the last `try_take` came back without a slot, for people."""
        self._home = home
        self._slots = home / "slots" / host_name()
        self._run = run
        self._wanted = list(wanted)
        self._ticket = ticket
        self._described = False

    def try_take(self) -> Slot | None:
        """Take a wanted slot if one is free and nobody before us wants it; joins the line at the first call.

        Raises:
            OSError: the home cannot be written.
        """
        ticket = self._join()
        claimed, ahead = self._claims_before(ticket.path)
        for name in self._wanted:
            slot = None if name in claimed else self._try_lock(name)
            if slot is not None:
                self.leave()
                return slot
        self.waiting = self._explain(ahead)
        return None

    def leave(self) -> None:
        """Give up the place in the line; harmless if there is none."""
        if self._ticket is not None:
            self._ticket.give_up()
            self._ticket = None

    def _join(self) -> Ticket:
        if self._ticket is not None and not self._ticket.valid:
            self.leave()
        if self._ticket is None:
            self._ticket, self._described = draw_ticket(self._home), False
        if not self._described:
            _describe(self._ticket.descriptor, {"run": self._run, "wanted": self._wanted})
            self._described = True
        return self._ticket

    def _claims_before(self, ticket: Path) -> tuple[set[str], list[Path]]:
        """Slots that live tickets before ours want, and the tickets before ours."""
        claimed: set[str] = set()
        ahead = []
        line = tickets(ticket.parent, host_name())
        for name in line[: line.index(ticket.name)] if ticket.name in line else line:
            path = ticket.parent / name
            if claimed.issuperset(self._wanted):
                ahead.append(path)  # enough is known: whether this one lives is for those behind it to find out
            elif not remove_if_dead(path):
                ahead.append(path)
                claimed.update(_wanted_by(path) or self._wanted)
        return claimed, ahead

    def _try_lock(self, name: str) -> Slot | None:
        self._slots.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._slots / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if not _lock_now(descriptor):
            os.close(descriptor)
            return None
        _describe(descriptor, {"run": self._run})
        return Slot(name, descriptor)

    def _explain(self, ahead: Sequence[Path]) -> str:
        held = [f"{name} is held by {holder}" for name in self._wanted if (holder := self._holder(name))]
        shown = held[:2] + ([f"{len(held) - 2} more are held too"] if len(held) > 2 else [])
        line = f"{len(ahead)} {'run is' if len(ahead) == 1 else 'runs are'} ahead in line"
        return "; ".join([*shown, line] if ahead or not shown else shown)

    def _holder(self, name: str) -> str:
        try:
            return str(json.loads((self._slots / name).read_text())["run"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""


def _pick(gpus: list[str], device: str, index: str) -> list[str]:
    if not gpus:
        raise NoSuchDevice(f"device '{device}' was asked for, but nvidia-smi shows no usable GPU here")
    if not index:
        return gpus
    if not index.isdecimal() or int(index) >= len(gpus):
        raise NoSuchDevice(f"device '{device}' was asked for, but the GPUs here are cuda:0 to cuda:{len(gpus) - 1}")
    return [gpus[int(index)]]


def _installed_gpus() -> list[str]:
    program = next((path for folder in os.get_exec_path() if os.access(path := f"{folder}/nvidia-smi", os.X_OK)), None)
    if program is None:
        return []
    import subprocess  # here, because most machines need not pay for it

    try:
        answer = subprocess.run(
            [program, "--query-gpu=uuid", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=NVIDIA_SMI_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []  # a driver that does not answer offers no device
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def _count(variable: str, *, default: int) -> int:
    text = os.environ.get(variable, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise NoSuchDevice(f"${variable} must be a whole number of at least 1, not '{text}'")
    return int(text)


def _lock_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _describe(descriptor: int, facts: dict[str, object]) -> None:
    """Write who holds the file. On a full disk the lock alone must do: readers then assume the most."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(facts).encode(), 0)


def dead_tickets(home: Path) -> list[Path]:
    """Tickets of this host that nobody holds: their owners died in the line."""
    queue = home / "queue"
    try:
        here = tickets(queue, host_name())
    except FileNotFoundError:
        return []
    return [queue / name for name in here if not _is_held(queue / name)]


def remove_if_dead(ticket: Path) -> bool:
    """Whether nobody holds the ticket any more; it is then gone."""
    try:
        descriptor = os.open(ticket, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        dead = _lock_now(descriptor)
        if dead:
            ticket.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    return dead


def _is_held(ticket: Path) -> bool:
    try:
        descriptor = os.open(ticket, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return True  # gone, or not ours to judge
    try:
        return not _lock_now(descriptor)
    finally:
        os.close(descriptor)


def _wanted_by(ticket: Path) -> list[str]:
    try:
        return list(json.loads(ticket.read_text())["wanted"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
