"""Following runs that are going on: their numbers in columns, and which of them changed.

Nothing here waits or holds a lock; a poll that finds nothing costs a few calls of ``stat``.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfuse_runs.journal import JournalReader
from mmfuse_runs.records import is_settled
from mmfuse_runs.states import observe

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore

Names = tuple[str, ...]


class Block:
    """Rows of one attempt that hold the same metrics, as columns; the steps are shared, which halves the memory."""

    __slots__ = ("steps", "times", "values")

    def __init__(self, names: Names) -> None:
        self.steps = array("q")
        self.times = array("d")
        self.values = {name: array("d") for name in names}

    def append(self, step: int, time: float, numbers: Iterable[float]) -> None:
        """Add one row: a number for each of the block's names, in their order."""
        self.steps.append(step)
        self.times.append(time)
        for column, number in zip(self.values.values(), numbers, strict=True):
            column.append(number)

    def keep(self, wanted: Callable[[int], bool]) -> None:
        """Drop the rows whose step is not wanted."""
        rows = [row for row, step in enumerate(self.steps) if wanted(step)]
        if len(rows) == len(self.steps):
            return
        self.steps = array("q", (self.steps[row] for row in rows))
        self.times = array("d", (self.times[row] for row in rows))
        for name, column in self.values.items():
            self.values[name] = array("d", (column[row] for row in rows))


class MetricsTable:
    """The numbers of ``metrics.jsonl``, columnar (8 bytes a number), growing with the file.

    What a resumed attempt does again replaces what was done before: once attempt n resumes from step S, rows of
    earlier attempts after S are hidden; once it writes at step S without saying so, those from S on; once it writes of
    a trial, all that earlier attempts wrote of that trial. The file keeps everything.
    """

    def __init__(self, path: Path) -> None:
        self._reader = JournalReader(path)
        self._restarts = 0
        self._clear()

    @classmethod
    def from_blocks(cls, path: Path, offset: int, blocks: Iterable[tuple[int | None, Block]]) -> MetricsTable:
        """A table that knows the journal's rows up to byte ``offset`` already: ``blocks``, each with its trial."""
        table = cls(path)
        table._reader.skip_to(offset)
        for trial, block in blocks:
            table._blocks.setdefault(trial, {})[0, tuple(block.values)] = block
            table._latest[trial] = 0
        return table

    def poll(self) -> bool:
        """Read what was appended; whether there was anything."""
        changed = False
        for row in self._reader.rows():
            if self._reader.restarts != self._restarts:
                self._restarts = self._reader.restarts
                self._clear()
            self._take(row)
            changed = True
        return changed

    @property
    def offset(self) -> int:
        """Bytes of the journal that were read."""
        return self._reader.offset

    @property
    def bad_lines(self) -> int:
        """Lines that could not be read and were skipped."""
        return self._reader.bad_lines + self._bad_rows

    def trials(self) -> list[int]:
        """Numbers of the trials that have metrics, sorted."""
        return sorted(trial for trial in self._blocks if trial is not None)

    def names(self, trial: int | None = None) -> list[str]:
        """Metrics of the run itself, or of one of its trials, sorted."""
        return sorted({name for block in self._of(trial) if block.steps for name in block.values})

    def series(self, name: str, trial: int | None = None) -> tuple[array[int], array[float]]:
        """Steps and values of one metric in the order of steps; empty where there are none."""
        steps, values, _ = self.points(name, trial)
        return steps, values

    def points(self, name: str, trial: int | None = None) -> tuple[array[int], array[float], array[float]]:
        """Like `series`, with the Unix time of each value."""
        blocks = [block for block in self._of(trial) if name in block.values]
        if len(blocks) == 1:
            return blocks[0].steps[:], blocks[0].values[name][:], blocks[0].times[:]
        steps = array("q", (step for block in blocks for step in block.steps))
        values = array("d", (value for block in blocks for value in block.values[name]))
        times = array("d", (time for block in blocks for time in block.times))
        order = sorted(range(len(steps)), key=steps.__getitem__)
        return (
            array("q", map(steps.__getitem__, order)),
            array("d", map(values.__getitem__, order)),
            array("d", map(times.__getitem__, order)),
        )

    def rows(self) -> list[dict[str, Any]]:
        """The rows of a journal that holds these numbers and nothing that was replaced, in the order of their times."""
        found = [
            {"s": step, "e": None, "t": time, "n": trial, "m": {name: block.values[name][row] for name in block.values}}
            for trial in self._blocks
            for block in self._of(trial)
            for row, (step, time) in enumerate(zip(block.steps, block.times, strict=True))
        ]
        return sorted(found, key=lambda row: float(row["t"]))

    def last(self, name: str, trial: int | None = None) -> float | None:
        """The value at the largest step, None where there are none."""
        _, values = self.series(name, trial)
        return values[-1] if values else None

    def _clear(self) -> None:
        self._blocks: dict[int | None, dict[tuple[int, Names], Block]] = {}
        self._latest: dict[int | None, int] = {}
        self._growing: dict[tuple[int | None, Names], Block] = {}
        self._attempt = 0
        self._bad_rows = 0

    def _of(self, trial: int | None) -> list[Block]:
        return [block for _, block in sorted(self._blocks.get(trial, {}).items(), key=lambda item: item[0][0])]

    def _take(self, row: Mapping[str, Any]) -> None:
        try:
            if "attempt" in row:
                self._begin(int(row["attempt"]), row.get("resume_step"))
            else:
                self._add(row.get("n"), int(row["s"]), float(row["t"]), row["m"])
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
            self._bad_rows += 1

    def _begin(self, attempt: int, resume_step: int | None) -> None:
        self._attempt = attempt
        self._growing.clear()
        if resume_step is not None:
            self._hide(None, lambda step: step <= resume_step)
            self._latest[None] = attempt

    def _add(self, trial: int | None, step: int, time: float, metrics: Mapping[str, Any]) -> None:
        if None in metrics.values():
            metrics = {name: value for name, value in metrics.items() if value is not None}
        names, numbers = tuple(metrics), tuple(map(float, metrics.values()))
        block = self._growing.get((trial, names))
        if block is None:
            block = self._growing[trial, names] = self._grow(trial, step, names)
        block.append(step, time, numbers)

    def _grow(self, trial: int | None, step: int, names: Names) -> Block:
        """The block of this attempt for such rows; its first row hides what earlier attempts wrote from there on."""
        if self._latest.setdefault(trial, self._attempt) < self._attempt:
            self._hide(trial, lambda before: trial is None and before < step)
            self._latest[trial] = self._attempt
        return self._blocks.setdefault(trial, {}).setdefault((self._attempt, names), Block(names))

    def _hide(self, trial: int | None, wanted: Callable[[int], bool]) -> None:
        for (attempt, _), block in self._blocks.get(trial, {}).items():
            if attempt < self._attempt:
                block.keep(wanted)


class StoreWatcher:
    """Notices which runs changed, by looking at files: their state, progress, numbers, events, log and meta data.

    A heartbeat alone is no change; that a run's processes are gone is one. Runs that ended are followed through the
    index alone, so a poll costs time by the number of runs that go on, not by those there are.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._folder_mtime = -1
        self._version = -1
        self._ids: set[str] = set()
        self._documents: dict[str, Mapping[str, Any]] = {}
        self._watches: dict[str, _Watch] = {}
        self.poll()

    def poll(self) -> set[str]:
        """Ids of the runs that appeared, vanished or changed since the last call; of none, the first time."""
        changed = self._listed() | self._indexed()
        for run_id, watch in self._watches.items():
            if watch.poll():
                changed.add(run_id)
        return changed

    def _listed(self) -> set[str]:
        mtime = _stat(self._store.runs)[0]
        if mtime == self._folder_mtime:
            return set()
        self._folder_mtime = mtime
        before, self._ids = self._ids, set(self._store.ids())
        self._version = -1
        return before ^ self._ids

    def _indexed(self) -> set[str]:
        documents = self._store.documents()
        if self._store.index_version == self._version:
            return set()
        self._version = self._store.index_version
        before, self._documents = self._documents, dict(documents)
        ongoing = {run_id for run_id in self._ids if not is_settled(documents.get(run_id, {}))}
        for run_id in self._watches.keys() - ongoing:
            del self._watches[run_id]
        for run_id in ongoing - self._watches.keys():
            self._watches[run_id] = _Watch(self._store.runs / run_id)
        return {run_id for run_id in self._ids if documents.get(run_id) is not before.get(run_id)}


class _Watch:
    """The files of one run that goes on."""

    def __init__(self, path: Path) -> None:
        self._state = path / "state.json"
        self._files = [
            path / name for name in ("progress.json", "metrics.jsonl", "events.jsonl", "meta.json", "exit.json")
        ]
        self._seen: object = None
        self._content: tuple[object, dict[str, Any]] = (None, {})
        self.poll()

    def poll(self) -> bool:
        """Whether anything but the heartbeat changed."""
        seen = (self._life(), [_stat(path) for path in self._files])
        changed = seen != self._seen
        self._seen = seen
        return changed

    def _life(self) -> object:
        stamp = _stat(self._state)
        if stamp != self._content[0]:
            self._content = (stamp, _read(self._state))
        record = self._content[1]
        try:
            return record, observe(record, stamp[0] / 1e9)
        except (KeyError, TypeError, ValueError):
            return record, None


def _stat(path: Path) -> tuple[int, int, int]:
    """Modification time (ns), size and inode; zeros where there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
