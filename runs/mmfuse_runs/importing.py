"""Measurements that other programs wrote down, as runs: a table with a row per step becomes a run's metrics.

Every number keeps its value exactly. Columns that are no numbers are left out and counted. What was imported never
counts as measured on the same data as anything else: nobody here knows what data that was.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfuse.errors import BadSpec, DataInvalid, DataMissing, unknown_name
from mmfuse_runs.atomic import write_json
from mmfuse_runs.fields import less_is_better
from mmfuse_runs.journal import JournalWriter
from mmfuse_runs.nonfinite import spell, unspell
from mmfuse_runs.records import RunRecord
from mmfuse_runs.states import State, advanced

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore
    from mmfuse_runs.wandb_log import LoggedRun

STEPS = ("step", "_step", "global_step", "trainer/global_step", "iteration", "iter", "epoch")
"""Columns that count, the first one there is; compared without regard to case."""
TIMES = ("time", "_timestamp", "timestamp", "wall_time", "wall time")
"""Columns with Unix times."""

Row = Mapping[str, Any]


@dataclass
class Table:
    """What was read: per row its step, its Unix time if it has one, and its numbers."""

    rows: list[tuple[int, float | None, dict[str, float]]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    """Columns with values that are no numbers, and how many."""

    @property
    def metrics(self) -> list[str]:
        """Every metric that some row has, in the order of their appearance."""
        return list(dict.fromkeys(name for _, _, numbers in self.rows for name in numbers))

    def values(self, metric: str) -> list[float]:
        """The finite values of one metric, in the order of the rows."""
        return [row[2][metric] for row in self.rows if metric in row[2] and math.isfinite(row[2][metric])]


def read_table(path: Path, format: str, *, step: str | None = None) -> Table:
    """The table in a file; ``step`` is the column that counts (None: one called so, else the number of the row).

    Raises:
        DataMissing: there is no such file.
        DataInvalid: a row cannot be read, or its step is no whole number; the message names the line.
        BadSpec: the file has no column called ``step``, or no number in any row.
    """
    table = Table()
    try:
        for number, (line, row) in enumerate(READERS[format](path)):
            _take(table, row, step=step, number=number, where=f"{path}, line {line}")
    except FileNotFoundError as error:
        raise DataMissing(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataInvalid(f"{path} cannot be read: {error}") from error
    if not table.metrics:
        raise BadSpec(f"{path} holds no numbers beside steps and times", f"is it really {format}?")
    return table


def read_events(folder: Path) -> Table:
    """The scalars in the event files of a folder of TensorBoard's.

    Raises:
        DataInvalid: a file is no event file.
    """
    from mmfuse_runs.tensorboard import read_scalars

    table = Table()
    for step, at, tag, value in read_scalars(folder):
        if value is None:
            table.left_out[tag] = table.left_out.get(tag, 0) + 1
        else:
            table.rows.append((step, at, {tag: value}))
    return table


def read_wandb(log: Path) -> tuple[Table, LoggedRun]:
    """The numbers in an offline log of Weights & Biases, and what else it says of its run.

    Raises:
        DataInvalid: it is no such log, or is damaged.
    """
    from mmfuse_runs.wandb_log import read_log

    run, table = read_log(log), Table()
    for step, at, values in run.rows:
        numbers = {name: number for name, value in values.items() if (number := _logged_number(value)) is not None}
        table.rows.append((step, at, numbers))
        for name in values.keys() - numbers.keys():
            table.left_out[name] = table.left_out.get(name, 0) + 1
    return table, run


def import_run(
    store: RunStore,
    table: Table,
    *,
    source: Path,
    format: str,
    dataset: str = "imported",
    metric: str | None = None,
    name: str = "",
    tags: Iterable[str] = (),
    logged: LoggedRun | None = None,
) -> str:
    """A finished run that holds ``table``; its id. ``metric`` is what it is judged by: its best value is the score.

    What a tracker ``logged`` beside its table becomes settings, notes and results.

    Raises:
        UnknownName: the table has no such metric.
        StoreError: the home cannot be written.
    """
    if metric is not None and metric not in table.metrics:
        raise unknown_name("metric in the file", metric, table.metrics)
    spec = {"format": 1, "kind": "import", "dataset": dataset, "from": format, "source": str(source.resolve())}
    notes, reason = "", "imported"
    if logged is not None:
        spec |= {"run": logged.id, "project": logged.project, "group": logged.group, "options": spell(logged.config)}
        notes, reason = logged.notes, f"imported; {ending_of(logged)}"
    folder = store.create(spec, kind="import", subject=format, dataset=dataset, name=name, tags=tags, notes=notes)
    _write_rows(folder.path, table, run_id=folder.id, otherwise=source.stat().st_mtime)
    result = _result(table, metric, told=logged.summary if logged else {}) | {
        "dataset_label": f"{dataset} (imported)",
        "fingerprint": f"imported-{_digest(source)}",
    }
    last_word = {"format": 1, "status": "finished", "exit_code": 0, "attempt": 1, "error": None, "result": result}
    write_json(folder.path / "exit.json", last_word)
    record = folder.state()
    for state in (State.STARTING, State.RUNNING, State.FINISHED):
        record = advanced(record, state, at=time.time(), reason=reason)
    write_json(folder.path / "state.json", record)
    return folder.id


def ending_of(run: LoggedRun) -> str:
    """How the run ended that a tracker logged."""
    if run.exit_code is None:
        return "its log has no end: the run was cut off, or still goes on"
    return f"it had ended with exit code {run.exit_code}"


def _digest(source: Path) -> str:
    """A short hash of a file, or of all files of a folder."""
    files = sorted(path for path in source.iterdir() if path.is_file()) if source.is_dir() else [source]
    content = hashlib.sha256()
    for path in files:
        content.update(path.read_bytes())
    return content.hexdigest()[:12]


def _csv_rows(path: Path) -> Iterable[tuple[int, Row]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for row in reader:
            if None in row:
                raise DataInvalid(f"{path}, line {reader.line_num}: more cells than the title has")
            yield reader.line_num, {name: cell for name, cell in row.items() if cell not in ("", None)}


def _jsonl_rows(path: Path) -> Iterable[tuple[int, Row]]:
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataInvalid(f"{path}, line {number}: {error}") from error
            if not isinstance(row, dict):
                raise DataInvalid(f"{path}, line {number}: no JSON object")
            yield number, dict(_flat(row))


READERS: Mapping[str, Callable[[Path], Iterable[tuple[int, Row]]]] = {"csv": _csv_rows, "jsonl": _jsonl_rows}
"""Formats that can be read."""


def _flat(row: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Groups as metrics are called here: ``{"val": {"loss": 1}}`` is ``val/loss``."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        elif value is not None:
            yield f"{prefix}{name}", value


def _take(table: Table, row: Row, *, step: str | None, number: int, where: str) -> None:
    by_name = {name.lower(): name for name in row}
    if step is not None and step not in row:
        raise BadSpec(f"{where}: there is no column '{step}'", f"columns: {', '.join(row)}")
    counting = step or next((by_name[name] for name in STEPS if name in by_name), None)
    timing = next((by_name[name] for name in TIMES if name in by_name), None)
    numbers = {}
    for name, value in row.items():
        if name in (counting, timing):
            continue
        measured = _number(value)
        if measured is None:
            table.left_out[name] = table.left_out.get(name, 0) + 1
        else:
            numbers[name] = measured
    at = None if timing is None else _number(row[timing])
    table.rows.append((number if counting is None else _step(row[counting], where), at, numbers))


def _number(value: Any) -> float | None:
    """A value as a number; None for anything else. What reads as one (``"0.5"``, ``"NaN"``) is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _logged_number(value: Any) -> float | None:
    """A logged value as a number; None for text, switches, and integers that a float cannot hold."""
    value = unspell(value)  # some writers keep to strict JSON
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if isinstance(value, float) or int(float(value)) == value else None
    except OverflowError:
        return None


def _step(value: Any, where: str) -> int:
    number = _number(value)
    if number is None or not number.is_integer() or abs(number) >= 2**63:
        raise DataInvalid(f"{where}: the step {value!r} is no whole number", "--step names another column")
    return int(number)


def _write_rows(folder: Path, table: Table, *, run_id: str, otherwise: float) -> None:
    """The journal; rows without a time of their own get that of the file they come from."""
    with JournalWriter(folder / "metrics.jsonl") as journal:
        journal.append({"v": 1, "run": run_id, "attempt": 1, "t0": otherwise, "resume_step": None})
        for step, at, numbers in table.rows:
            if numbers:
                journal.append({"s": step, "e": None, "t": otherwise if at is None else at, "n": None, "m": numbers})


def _result(table: Table, metric: str | None, *, told: Mapping[str, Any]) -> dict[str, Any]:
    """The last value of everything or what was ``told`` of it; of the metric the run is judged by the best one."""
    finals = {name: values[-1] for name in table.metrics if (values := table.values(name))}
    finals |= {name: n for name, value in told.items() if (n := _logged_number(value)) is not None and math.isfinite(n)}
    if metric is None or metric not in finals:
        return {"metrics": finals}
    less = less_is_better(RunRecord(""), metric)
    score = min(table.values(metric)) if less else max(table.values(metric))
    return {"metrics": finals | {metric: score}, "metric": metric, "maximize": not less, "score": score}
