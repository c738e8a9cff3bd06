"""The columns of the run table, and the orders it can be sorted in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mmfuse_tui import wording
from mmfuse_tui.clean import clean
from mmfuse_tui.columns import Column, Piece
from mmfuse_tui.states import look_of

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

Clock = Callable[[], float]


def run_columns(clock: Clock, sparks: Mapping[str, tuple[float, ...]]) -> tuple[Column[RunRecord], ...]:
    """All columns in the order shown; ``sparks`` is read at every drawing.

    As a table gets narrower they leave in this order: device, tags, time, metric, parameters, trend, kind, time left,
    dataset; state, name, best score, progress and age stay.
    """
    return (
        Column("state", "State", _state, 11, 0),
        Column("kind", "Kind", lambda run, _: [(clean(run.kind), "cell--dim")], 6, 7),
        Column("name", "Name", _name, 15, 1, wish=26, most=46),
        Column("dataset", "Dataset", _dataset, 18, 5, most=24),
        Column("score", "Best", _score, 8, 2, right=True),
        Column("metric", "Metric", lambda run, _: [(clean(run.metric), "cell--dim")], 12, 10, most=16),
        Column(
            "trend",
            "Trend",
            lambda run, width: [(wording.sparkline(sparks.get(run.id, ()), width), "cell--accent")],
            12,
            8,
        ),
        Column("progress", "Progress", _progress, 11, 3, most=18),
        Column("eta", "Left", lambda run, _: [(_eta(run), "")], 6, 6, right=True),
        Column(
            "params",
            "Params",
            lambda run, _: [("" if run.parameters is None else wording.count(run.parameters), "")],
            6,
            9,
            right=True,
        ),
        Column("time", "Time", lambda run, _: [(_time(run, clock()), "cell--dim")], 7, 11, right=True),
        Column("age", "Age", lambda run, _: [(_age(run, clock()), "cell--dim")], 4, 4, right=True),
        Column("tags", "Tags", lambda run, _: [(clean(" ".join(run.tags)), "cell--dim")], 10, 12, most=28),
        Column("device", "Device", lambda run, _: [(clean(run.device or ""), "cell--dim")], 6, 13, most=8),
    )


def chosen_columns(every: tuple[Column[RunRecord], ...], names: Iterable[str]) -> tuple[Column[RunRecord], ...]:
    """The named columns in that order; all where no name is known. Chosen ones leave a narrow table last to first."""
    by_name = {column.name: column for column in every}
    chosen = [by_name[name] for name in dict.fromkeys(names) if name in by_name]
    return tuple(replace(column, rank=place) for place, column in enumerate(chosen)) or every


@dataclass(frozen=True)
class Order:
    """A way to sort runs: the column it belongs to, what it is called, and what it compares.

    A key of None puts the run last in either direction; ``group`` keeps apart what must not be compared. One that is
    ``as_listed`` is the order in which the store lists runs.
    """

    column: str
    words: str
    key: Callable[[RunRecord], Any]
    descending: bool = True
    group: Callable[[RunRecord], Any] | None = None
    as_listed: bool = False

    def apply(self, runs: Iterable[RunRecord], *, reverse: bool = False) -> tuple[RunRecord, ...]:
        """The runs in this order; equal ones stay newest first."""
        runs = tuple(runs)
        if self.as_listed and not reverse:
            return runs
        keys = [self.key(run) for run in runs]
        places = [place for place, key in enumerate(keys) if key is not None]
        places.sort(key=keys.__getitem__, reverse=self.descending is not reverse)
        if self.group is not None:
            groups = [self.group(run) for run in runs]
            places.sort(key=groups.__getitem__)
        if len(places) < len(runs):
            places += [place for place, key in enumerate(keys) if key is None]
        return tuple(map(runs.__getitem__, places))


def _rankable(run: RunRecord) -> float | None:
    """The score turned so that higher is better; None when it is no number."""
    if run.score is None or run.score != run.score:
        return None
    return run.score if run.maximize else -run.score


ORDERS = (
    Order("age", "newest first", lambda run: run.created, as_listed=True),
    Order(
        "score",
        "best first, each dataset and metric apart",
        _rankable,
        True,
        lambda run: (run.dataset_label, run.fingerprint, run.metric),
    ),
    Order("state", "by state, live ones first", lambda run: (run.live, str(run.state))),
    Order("name", "by name", lambda run: run.label.casefold(), False),
    Order("dataset", "by dataset", lambda run: run.dataset_label.casefold(), False),
    Order("params", "smallest first", lambda run: run.parameters, False),
    Order("time", "longest work first", lambda run: run.seconds),
)
"""The orders that the sort key goes through."""


def order_of(column: str) -> Order | None:
    """The order that belongs to a column, if it has one."""
    return next((order for order in ORDERS if order.column == column), None)


def _state(run: RunRecord, width: int) -> list[Piece]:
    look = look_of(run)
    return [(f"{look.glyph} {clean(look.word)}", look.style)]


def _name(run: RunRecord, width: int) -> list[Piece]:
    star = [("★ ", "cell--accent")] if run.starred else []
    if run.label != run.id:
        return [*star, (clean(run.label), "cell--strong")]
    return [*star, (clean(run.id), "")]


def _dataset(run: RunRecord, width: int) -> list[Piece]:
    head, paren, tail = clean(run.dataset_label or run.dataset).partition(" (")
    return [(head, ""), (paren + tail, "cell--dim")]


def _score(run: RunRecord, width: int) -> list[Piece]:
    if run.score is None:
        return [("-", "cell--dim")]
    return [(wording.number(run.score), "cell--strong"), (" ↑" if run.maximize else " ↓", "cell--dim")]


def _progress(run: RunRecord, width: int) -> list[Piece]:
    if run.progress is None or not run.progress.total or not run.live:
        return [(clean(run.waiting or "queued"), "cell--dim")] if run.state == "queued" else []
    share = min(1.0, max(0.0, run.progress.done / run.progress.total))
    filled, rest = wording.bar(share, width - 5)
    return [(filled, "cell--bar"), (rest, "cell--track"), (f"{share:5.0%}", "")]


def _eta(run: RunRecord) -> str:
    return wording.span(run.eta_seconds) if run.live and run.eta_seconds is not None else ""


def _age(run: RunRecord, now: float) -> str:
    return wording.age(now - run.created) if run.created else "-"


def _time(run: RunRecord, now: float) -> str:
    if run.seconds is not None and not run.live:
        return wording.span(run.seconds)
    if run.started is None:
        return "-"
    return wording.span((run.ended if run.ended is not None else now) - run.started)
