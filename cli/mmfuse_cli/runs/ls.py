"""`mmfuse runs ls`: the table of runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse.errors import BadSpec, unknown_name
from mmfuse_cli import complete
from mmfuse_cli.access import meet, open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Conditions, Home, Json
from mmfuse_cli.render import STATE_COLOURS, out_json, out_painted, say, width
from mmfuse_cli.runs.column_sets import expanded, save_set
from mmfuse_cli.table import Column, draw
from mmfuse_runs.fields import RunView, check_settings, field_named
from mmfuse_tui.wording import age, count, number, span

if TYPE_CHECKING:
    from mmfuse_runs.fields import Field
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore

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
    Column("waiting", "waits for", leaves=11),
    Column("subject", "what", leaves=8),
    Column("macs", "MACs", right=True, leaves=9),
    Column("device", "device", leaves=10),
)
"""From left to right; the number says in which order columns leave where the terminal is narrow, highest first."""


@examples(
    "mmfuse runs ls",
    "mmfuse runs ls state:running,queued",
    "mmfuse runs ls kind:search 'val/accuracy>0.7' --sort score",
    "mmfuse runs ls 'tag:paper and not (state:crashed or age>7d)' --json",
    "mmfuse runs ls --cols 'id,best(val/accuracy),fit.epochs' --sort 'best(val/accuracy)'",
)
def ls(
    conditions: Conditions = None,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            help="created, score, a metric, best(METRIC), a setting, ...; largest first; +FIELD: smallest first.",
            autocompletion=complete.fields,
        ),
    ] = "created",
    limit: Annotated[int | None, typer.Option("--limit", "-n", help="Show at most this many runs.", min=0)] = None,
    cols: Annotated[
        str | None,
        typer.Option(
            "--cols",
            help="Show these columns, separated by commas, however wide they are; whatever --sort takes is one.",
            autocompletion=complete.listed_fields,
        ),
    ] = None,
    keep: Annotated[
        str | None, typer.Option("--keep", help="Keep these --cols under a name, for --cols NAME.", metavar="NAME")
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """List runs, newest first.

    A run that waits has its place in the line behind its state. Where the terminal is narrow, columns leave in this
    order: what runs wait for, device, MACs, what, tags, architecture, kind, params,
    time, name, age.
    """
    store = open_store(home)  # not read-only: a listing lets the index know which runs have ended
    views = ordered(views_of(store, meet(store, store.records(), conditions)), sort)[:limit]
    asked = [] if cols is None else [name.strip() for name in expanded(store.home, cols).split(",")]
    columns = chosen_columns(asked, views) if asked else COLUMNS
    if keep is not None:
        _keep(store, keep, asked)
    standing = places_of(store, [view.record for view in views])
    if json:
        out_json({"runs": [_answer(view, asked, standing) for view in views]})
        return
    if not views:
        say(
            "no runs here yet; the first one: mmfuse search mixmas --dataset avmnist"
            if not conditions
            else f"no run meets {' '.join(conditions)}"
        )
        return
    out_painted(
        draw(columns, [Row(view, standing.get(view.record.id)) for view in views], width=None if asked else width())
    )


def _keep(store: RunStore, name: str, columns: Sequence[str]) -> None:
    if not columns:
        raise BadSpec(f"there are no columns to keep as '{name}'", f"--cols id,score --keep {name}")
    if name in {column.key for column in COLUMNS}:
        raise BadSpec(f"'{name}' is a column already", "another name")
    save_set(store.home, name, ",".join(columns))


def views_of(store: RunStore, records: Sequence[RunRecord]) -> list[RunView]:
    """``records``, each with the folder that answers what it does not."""
    now = time.time()
    return [RunView(record, now=now, folders=store) for record in records]


def ordered(views: Sequence[RunView], sort: str) -> list[RunView]:
    """Runs by a field, largest first (``+field``: smallest first); runs without it come last.

    Raises:
        UnknownName: when runs have no such field, none has such a setting, or none measured such a metric.
    """
    key = sort.lstrip("+-")
    field = field_named(key)
    _check_measured(key, views)
    check_settings([field], views)
    values = [(_comparable(field, view), view) for view in views]
    present = [(value, view) for value, view in values if value not in (None, "")]
    present.sort(key=lambda pair: pair[0], reverse=not sort.startswith("+"))
    return [view for _, view in present] + [view for value, view in values if value in (None, "")]


def _comparable(field: Field, view: RunView) -> Any:
    """A value that can be compared with that of any other run; settings may be numbers here and text there."""
    value = field.read(view)
    if not field.setting or value is None:
        return value
    return (0, value, "") if isinstance(value, int | float) else (1, 0, str(value))


def _check_measured(name: str, views: Sequence[RunView]) -> None:
    """A metric that nobody measured may just not be there yet; beside others it is a slip."""
    measured = {metric for view in views for metric in view.record.metrics}
    if "/" in name and "(" not in name and measured and name not in measured:
        raise unknown_name("field to sort by", name, measured)


def chosen_columns(names: Sequence[str], views: Sequence[RunView]) -> list[Column]:
    """The columns called ``names``; every field is one.

    Raises:
        UnknownName: for a name that is no field, or a setting that no run has.
    """
    known = {column.key: column for column in COLUMNS}
    fields = {name: field_named(name) for name in names if name not in known}
    check_settings(fields.values(), views)
    return [known.get(name) or Column(name, name, right=fields[name].numeric) for name in names]


class Row:
    """The cells of one run, each worked out when it is asked for: most columns of a narrow table never are."""

    __slots__ = ("_place", "_view")

    def __init__(self, view: RunView, place: int | None) -> None:
        self._view = view
        self._place = place

    def get(self, key: str, default: str = "") -> str:
        """The cell of a column."""
        if key == "state" and self._place is not None:
            return f"{state_of(self._view.record)} #{self._place}"
        if key in CELLS:
            return CELLS[key](self._view.record)
        value = field_named(key).read(self._view)
        if value is None:
            return default
        return number(value) if isinstance(value, float) else str(value)


def _answer(view: RunView, asked: Sequence[str], standing: Mapping[str, int]) -> dict[str, Any]:
    """A run for ``--json`` with its ``place`` in line; ``asked`` are columns, whose values stand below ``cols``."""
    values = {name: field_named(name).read(view) for name in asked}
    return view.record.to_json() | {"place": standing.get(view.record.id)} | ({"cols": values} if asked else {})


def places_of(store: RunStore, records: Sequence[RunRecord]) -> Mapping[str, int]:
    """Where those of the ``records`` that wait stand in the line; the line is looked at only if there are any."""
    if not any(record.state == "queued" for record in records):
        return {}
    from mmfuse_runs.reorder import live_line, places

    line = live_line(store)
    return places(line, {waiting.run for waiting in line})


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
    "waiting": lambda record: record.waiting,
}
"""How each column reads."""
