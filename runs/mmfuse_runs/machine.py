"""What this machine does now: processor, memory, GPUs, the processes of each run, its slots and the line before them.

Read from ``/proc``, ``nvidia-smi`` and the files of `mmfuse_runs.slots`; nothing is locked and nobody is disturbed.
What a system does not tell is None or empty.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmfuse_runs.identity import host_name
from mmfuse_runs.line_order import tickets
from mmfuse_runs.slots import cores

NVIDIA_SMI_S = 3.0
"""Pause between two calls of nvidia-smi, and how long one may take: it is slow, and worse on a busy driver."""
_GPU_FIELDS = "uuid,name,utilization.gpu,memory.used,memory.total,power.draw,temperature.gpu"
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Gpu:
    """One GPU. ``busy`` is a share; memory is in bytes, ``watts`` and ``celsius`` as told."""

    uuid: str
    name: str
    busy: float | None
    memory_used: float | None
    memory_total: float | None
    watts: float | None
    celsius: float | None


@dataclass(frozen=True)
class GroupUse:
    """What a run's worker and everything it started use. ``cpu`` counts cores; memory is in bytes."""

    processes: int
    cpu: float | None
    memory: int
    gpu_memory: float | None = None


@dataclass(frozen=True)
class SlotUse:
    """A slot that was used before, and the run that took it last (whether it still goes on is for its state to say)."""

    name: str
    run: str


@dataclass(frozen=True)
class Waiting:
    """A run in the line, since a Unix time, for one of the ``wanted`` slots."""

    run: str
    wanted: tuple[str, ...]
    since: float
    host: str
    ticket: str = ""


@dataclass(frozen=True)
class Machine:
    """One look at the machine. ``cpu`` is the busy share of all cores; sizes are in bytes."""

    host: str
    cores: int
    cpu: float | None
    load: float | None
    memory_used: int | None
    memory_total: int | None
    disk_free: int | None
    disk_total: int | None
    gpus: tuple[Gpu, ...] = ()
    groups: Mapping[str, GroupUse] | None = None
    slots: tuple[SlotUse, ...] = ()
    line: tuple[Waiting, ...] = ()


class MachineProbe:
    """Looks again and again; shares of time are those since the look before."""

    def __init__(self, home: Path, *, proc: Path = Path("/proc")) -> None:
        self._home = home
        self._proc = proc
        self._before: tuple[float, float] | None = None
        self._group_seconds: dict[str, float] = {}
        self._looked_at = 0.0
        self._gpus: tuple[Gpu, ...] = ()
        self._gpu_memory: dict[int, float] = {}
        self._gpus_at = -NVIDIA_SMI_S

    def look(self, workers: Mapping[str, int]) -> Machine:
        """The machine now; ``workers`` are the process ids of runs' workers, each the leader of its group."""
        now = time.monotonic()
        self._ask_gpus(now)
        groups = self._groups(workers, elapsed=now - self._looked_at if self._looked_at else None)
        self._looked_at = now
        total, available = _memory(self._proc)
        disk = _disk(self._home)
        return Machine(
            host=host_name(),
            cores=cores(),
            cpu=self._cpu(),
            load=_load(),
            memory_used=None if total is None or available is None else total - available,
            memory_total=total,
            disk_free=disk[0],
            disk_total=disk[1],
            gpus=self._gpus,
            groups=groups,
            slots=tuple(slots_used(self._home)),
            line=tuple(waiting_line(self._home)),
        )

    def _cpu(self) -> float | None:
        """The busy share of all cores since the last look."""
        try:
            words = (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
            ticks = [float(word) for word in words]
        except (OSError, ValueError):
            return None
        busy, every = sum(ticks) - ticks[3] - ticks[4], sum(ticks)
        before, self._before = self._before, (busy, every)
        if before is None or every <= before[1]:
            return None
        return (busy - before[0]) / (every - before[1])

    def _groups(self, workers: Mapping[str, int], *, elapsed: float | None) -> dict[str, GroupUse]:
        runs = {pid: run for run, pid in workers.items()}
        counted: dict[str, list[tuple[int, float, int]]] = {}
        for pid, group, seconds, memory in _processes(self._proc) if runs else ():
            run = runs.get(group)
            if run is not None:
                counted.setdefault(run, []).append((pid, seconds, memory))
        found = {}
        for run, members in counted.items():
            seconds = sum(member[1] for member in members)
            before = self._group_seconds.get(run)
            # A process that ended takes its time with it, so the sum may fall.
            cpu = None if before is None or not elapsed else max(0.0, seconds - before) / elapsed
            self._group_seconds[run] = seconds
            on_gpu = [self._gpu_memory[member[0]] for member in members if member[0] in self._gpu_memory]
            memory = sum(member[2] for member in members)
            found[run] = GroupUse(len(members), cpu, memory, sum(on_gpu) if on_gpu else None)
        return found

    def _ask_gpus(self, now: float) -> None:
        if now - self._gpus_at < NVIDIA_SMI_S or shutil.which("nvidia-smi") is None:
            return
        self._gpus_at = now
        self._gpus = tuple(_gpu(row) for row in _nvidia_smi(f"--query-gpu={_GPU_FIELDS}") if len(row) == 7)
        rows = _nvidia_smi("--query-compute-apps=pid,used_memory")
        self._gpu_memory = {int(row[0]): (_number(row[1]) or 0.0) * _MEBIBYTE for row in rows if row[0].isdecimal()}


def waiting_line(home: Path) -> Iterator[Waiting]:
    """The tickets in the line of each machine, next first; those of dead waiters may still be among them."""
    queue = home / "queue"
    drawn = [path.name.split(".", 2) for path in _listing(queue)]
    for host in dict.fromkeys(words[2] for words in drawn if len(words) == 3 and words[0].isdecimal()):
        with suppress(OSError):
            yield from filter(None, (_waiting(queue / name, host) for name in tickets(queue, host)))


def _waiting(ticket: Path, host: str) -> Waiting | None:
    """Who waits; None where the ticket says nothing (any more)."""
    facts = _facts(ticket)
    if "run" not in facts:
        return None
    wanted = facts.get("wanted")
    slots = tuple(map(str, wanted)) if isinstance(wanted, list) else ()
    return Waiting(str(facts["run"]), slots, int(ticket.name.partition(".")[0]) / 1e9, host, ticket.name)


def slots_used(home: Path) -> Iterator[SlotUse]:
    """The slots of this host that were ever taken, by name."""
    for path in _listing(home / "slots" / host_name()):
        yield SlotUse(path.name, str(_facts(path).get("run", "")))


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _facts(path: Path) -> Mapping[str, object]:
    try:
        facts = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, Mapping) else {}


def _processes(proc: Path) -> Iterator[tuple[int, int, float, int]]:
    """(pid, process group, seconds of processor time, resident bytes) of every process that can be read."""
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    try:
        names = [name for name in os.listdir(proc) if name.isdecimal()]  # noqa: PTH208 - hundreds, once a second
    except OSError:
        return
    for name in names:
        try:
            # The command may hold blanks and brackets; what is wanted stands behind its last closing one.
            words = (proc / name / "stat").read_text().rpartition(")")[2].split()
            yield int(name), int(words[2]), (int(words[11]) + int(words[12])) / tick, int(words[21]) * page
        except (OSError, ValueError, IndexError):
            continue


def _memory(proc: Path) -> tuple[int | None, int | None]:
    """Bytes of memory in all and still available."""
    sizes: dict[str, int] = {}
    try:
        for line in (proc / "meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            sizes[name] = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return sizes.get("MemTotal"), sizes.get("MemAvailable")


def _disk(home: Path) -> tuple[int | None, int | None]:
    try:
        usage = shutil.disk_usage(home)
    except OSError:
        return None, None
    return usage.free, usage.total


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _nvidia_smi(query: str) -> Iterable[list[str]]:
    """Rows of a query; none where the driver does not answer."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=NVIDIA_SMI_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines() if line.strip()]


def _gpu(row: list[str]) -> Gpu:
    uuid, name, busy, used, total, watts, celsius = row
    share, memory = _number(busy), (_number(used), _number(total))
    sizes = [None if size is None else size * _MEBIBYTE for size in memory]
    return Gpu(uuid, name, None if share is None else share / 100, sizes[0], sizes[1], _number(watts), _number(celsius))


def _number(text: str) -> float | None:
    """A number; None for ``[N/A]`` and its kin."""
    try:
        return float(text)
    except ValueError:
        return None
