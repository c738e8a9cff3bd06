"""What the machine screen shows, from one look at the machine and the listing: rows, meters, columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mmfuse_runs.machine import Gpu, GroupUse, Machine
from mmfuse_runs.records import RunRecord
from mmfuse_runs.reorder import places
from mmfuse_tui import wording
from mmfuse_tui.clean import clean
from mmfuse_tui.columns import Column, Piece
from mmfuse_tui.sketch import Line
from mmfuse_tui.states import look_of


@dataclass(frozen=True)
class MachineRow:
    """A live run: where it computes or how many stand before it, and what it uses."""

    record: RunRecord
    place: str
    pid: int | None = None
    use: GroupUse | None = None
    waits_for: str = ""


def machine_rows(runs: Iterable[RunRecord], machine: Machine, workers: Mapping[str, int]) -> tuple[MachineRow, ...]:
    """Live runs: those that have a slot by its name, then those in line in their order, then the rest."""
    live = {run.id: run for run in runs if run.live}
    slots = {slot.run: slot.name for slot in machine.slots if slot.run in live and live[slot.run].state != "queued"}
    line = {waiting.run: waiting for waiting in machine.line if waiting.run in live}
    queued = [run_id for run_id in line if run_id not in slots]
    standing = places(machine.line, queued)
    order = [
        *sorted(slots, key=slots.__getitem__),
        *queued,
        *(run_id for run_id in live if run_id not in {*slots, *line}),
    ]
    rows = []
    for run_id in order:
        place = slots.get(run_id) or (f"in line {standing[run_id]}" if run_id in queued else "")
        waits_for = " or ".join(line[run_id].wanted) if run_id in queued else ""
        use = (machine.groups or {}).get(run_id)
        rows.append(MachineRow(live[run_id], place, workers.get(run_id), use, live[run_id].waiting or waits_for))
    return tuple(rows)


def machine_columns() -> tuple[Column[MachineRow], ...]:
    """All columns in the order shown."""
    return (
        Column("place", "Place", lambda row, _: [(clean(row.place) or "-", "")], 10, 0, most=22),
        Column("state", "State", _state, 11, 1),
        Column("name", "Run", lambda row, _: [(clean(row.record.label), "cell--strong")], 16, 0, wish=24, most=46),
        Column("pid", "Pid", lambda row, _: [("" if row.pid is None else str(row.pid), "cell--dim")], 7, 6, right=True),
        Column("cpu", "CPU", lambda row, _: [(_cores(row.use), "")], 6, 2, right=True),
        Column("memory", "Memory", lambda row, _: [(size(row.use.memory if row.use else None), "")], 7, 3, right=True),
        Column(
            "gpu", "GPU mem", lambda row, _: [(size(row.use.gpu_memory if row.use else None), "")], 7, 4, right=True
        ),
        Column(
            "count",
            "Procs",
            lambda row, _: [(str(row.use.processes) if row.use else "", "cell--dim")],
            5,
            7,
            right=True,
        ),
        Column("waits", "Waits for", lambda row, _: [(clean(row.waits_for), "cell--dim")], 12, 5, most=60),
    )


def meter_lines(machine: Machine, width: int) -> list[Line]:
    """Processor, memory, disk and every GPU as bars with their numbers."""
    bar_width = max(8, min(30, width - 48))
    used = _share(machine.memory_used, machine.memory_total)
    taken = None if machine.disk_total is None or machine.disk_free is None else machine.disk_total - machine.disk_free
    load = "" if machine.load is None else f", load {machine.load:.1f}"
    lines = [
        _meter("CPU", machine.cpu, f"{machine.cores} cores{load}", bar_width),
        _meter("Memory", used, f"{size(machine.memory_used)} of {size(machine.memory_total)}", bar_width),
        _meter("Disk", _share(taken, machine.disk_total), f"{size(machine.disk_free)} free at the home", bar_width),
    ]
    for index, gpu in enumerate(machine.gpus):
        lines += _gpu_lines(index, gpu, bar_width)
    return lines if machine.gpus else [*lines, (("GPU      none that nvidia-smi knows of", "plot--label"),)]


def size(value: float | None) -> str:
    """Bytes in few characters; empty when unknown."""
    return "" if value is None else wording.count(value).replace("k", "K") + "B"


def _meter(name: str, share: float | None, words: str, bar_width: int) -> Line:
    filled, rest = wording.bar(share or 0.0, bar_width)
    told = "   -" if share is None else f"{share:4.0%}"
    return (
        (f"{name:<8} ", "plot--title"),
        (filled, "cell--bar"),
        (rest, "cell--track"),
        (f" {told} ", "plot--value"),
        (f" {words}", "plot--label"),
    )


def _gpu_lines(index: int, gpu: Gpu, bar_width: int) -> list[Line]:
    heat = [f"{gpu.watts:.0f} W"] if gpu.watts is not None else []
    heat += [f"{gpu.celsius:.0f} °C"] if gpu.celsius is not None else []
    memory = f"{size(gpu.memory_used)} of {size(gpu.memory_total)}"
    return [
        _meter(f"GPU {index}", gpu.busy, " · ".join([clean(gpu.name), *heat]), bar_width),
        _meter("  memory", _share(gpu.memory_used, gpu.memory_total), memory, bar_width),
    ]


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _cores(use: GroupUse | None) -> str:
    return "" if use is None or use.cpu is None else f"{use.cpu:.0%}"


def _state(row: MachineRow, width: int) -> list[Piece]:
    look = look_of(row.record)
    return [(f"{look.glyph} {clean(look.word)}", look.style)]
