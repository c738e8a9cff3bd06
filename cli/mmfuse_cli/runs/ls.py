"""`mmfuse runs ls`: the table of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse.errors import unknown_name
from mmfuse_cli.access import matcher, open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Conditions, Home, Json
from mmfuse_cli.render import STATE_COLOURS, out_json, out_painted, say, width
from mmfuse_cli.table import Column, draw
from mmfuse_tui.wording import age, count, number, span

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

COLUMNS = (
    Column("id", "run"),
    Column("state", "state", colours=STATE_COLOURS),
    Column("dataset", "dataset"),
    Column("score", "score", right=True),
    Column("age", "age", right=True, leaves=1),
    Column("name", "name", leaves=2),
    Column("seconds", "time", right=True, leaves=3),
    Column("parameters", "params", right=True, leaves=4),
    Column("kind", "kind", leaves=5),
    Column("architecture", "architecture", leaves=6),
    Column("tags", "tags", leaves=7),
    Column("subject", "what", leaves=8),
    Column("macs", "MACs", right=True, leaves=9),
    Column("device", "device", leaves=10),
)
"""From left to right; the number says in which order columns leave where the terminal is narrow, highest first."""

SORTS: dict[str, Callable[[RunRecord], Any]] = {
    "created": lambda record: record.created,
    "score": lambda record: record.score,
    "name": lambda record: record.name,
    "state": lambda record: record.state,
    "dataset": lambda record: record.dataset,
    "seconds": lambda record: record.seconds,
    "parameters": lambda record: record.parameters,
    "macs": lambda record: record.macs,
    "id": lambda record: record.id,
}
"""What runs can be sorted by, beside metrics."""


@examples(
    "mmfuse runs ls",
    "mmfuse runs ls state:running,queued",
    "mmfuse runs ls kind:search 'val/accuracy>0.7' --sort score",
    "mmfuse runs ls tag:paper 'age<7d' --json",
)
def ls(
    conditions: Conditions = None,
    sort: Annotated[
        str,
        typer.Option("--sort", help="created, score, a metric, ...; largest first, with + in front smallest first."),
    ] = "created",
    limit: Annotated[int | None, typer.Option("--limit", "-n", help="Show at most this many runs.", min=0)] = None,
    cols: Annotated[
        str | None, typer.Option("--cols", help="Show these columns, separated by commas, however wide they are.")
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """List runs, newest first.

    Where the terminal is narrow, columns leave in this order: device, MACs, what, tags, architecture, kind, params,
    time, name, age.
    """
    store = open_store(home)  # not read-only: a listing lets the index know which runs have ended
    meets = matcher(conditions or ())
    records = ordered([record for record in store.records() if meets(record)], sort)[:limit]
    if json:
        out_json({"runs": [record.to_json() for record in records]})
        return
    if not records:
        say("no runs here yet" if not conditions else f"no run meets {' '.join(conditions)}")
        return
    columns = COLUMNS if cols is None else chosen_columns(cols.split(","))
    out_painted(draw(columns, [Row(record) for record in records], width=width() if cols is None else None))


def ordered(records: Sequence[RunRecord], sort: str) -> list[RunRecord]:
    """``records`` by a field or metric, largest first (``+field``: smallest first); runs without it come last.

    Raises:
        UnknownName: when runs have no such field and none measured such a metric.
    """
    key = sort.lstrip("+-")
    measured = {name for record in records for name in record.metrics}
    # A metric that nobody measured may just not be there yet; beside others it is a slip.
    if key not in SORTS and key not in measured and (measured or "/" not in key):
        raise unknown_name("field to sort by", key, {*SORTS, *measured})
    value_of = SORTS.get(key) or _metric(key)
    missing = [record for record in records if value_of(record) in (None, "")]
    present = [record for record in records if value_of(record) not in (None, "")]
    return [*sorted(present, key=value_of, reverse=not sort.startswith("+")), *missing]


def _metric(name: str) -> Callable[[RunRecord], Any]:
    return lambda record: record.metrics.get(name)


def chosen_columns(names: Sequence[str]) -> list[Column]:
    """The columns called ``names``; metrics are columns too.

    Raises:
        UnknownName: for a name that is neither.
    """
    known = {column.key: column for column in COLUMNS}
    columns = []
    for name in names:
        if name not in known and "/" not in name:
            raise unknown_name("column", name, known)
        columns.append(known.get(name) or Column(name, name, right=True))
    return columns


class Row:
    """The cells of one run, each worked out when it is asked for: most columns of a narrow table never are."""

    __slots__ = ("_record",)

    def __init__(self, record: RunRecord) -> None:
        self._record = record

    def get(self, key: str, default: str = "") -> str:
        """The cell of a column, or the value of a metric."""
        if key in CELLS:
            return CELLS[key](self._record)
        return number(self._record.metrics[key]) if key in self._record.metrics else default


def state_of(record: RunRecord) -> str:
    """The state, with the share done of a running run, or a word on what is odd about it."""
    if record.damaged:
        return "damaged"
    if record.orphan:
        return f"{record.state} orphan"
    if record.state == "running" and record.progress is not None and record.progress.total:
        return f"running {100 * record.progress.done / record.progress.total:.0f}%"
    return str(record.state)


CELLS: dict[str, Callable[[RunRecord], str]] = {
    "id": lambda record: record.id,
    "state": state_of,
    "dataset": lambda record: record.dataset_label,
    "score": lambda record: number(record.score) if record.score is not None else "",
    "age": lambda record: age(record.age_seconds),
    "name": lambda record: f"* {record.name}" if record.starred else record.name,
    "seconds": lambda record: span(record.seconds) if record.seconds else "",
    "parameters": lambda record: count(record.parameters) if record.parameters else "",
    "kind": lambda record: record.kind,
    "architecture": lambda record: record.architecture,
    "tags": lambda record: ",".join(record.tags),
    "subject": lambda record: record.subject,
    "macs": lambda record: count(record.macs) if record.macs else "",
    "device": lambda record: record.device,
}
"""How each column reads."""
