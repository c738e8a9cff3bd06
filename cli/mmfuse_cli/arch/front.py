"""`mmfuse arch front`: the runs or trials that no other beats in both score and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli.access import is_condition, open_store, select
from mmfuse_cli.arch.measured import HELD_OUT
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Selection
from mmfuse_cli.render import out, out_json, out_painted, warn, width
from mmfuse_cli.table import Column, draw
from mmfuse_runs.comparison import pareto_front, why_not_ranked
from mmfuse_runs.records import architecture_label
from mmfuse_tui.wording import count, number, span

if TYPE_CHECKING:
    from mmfuse.report import TrialRecord
    from mmfuse_runs.records import RunRecord


class Cost(StrEnum):
    """What a score is weighed against."""

    PARAMETERS = "parameters"
    MACS = "macs"
    LATENCY = "latency"
    SECONDS = "seconds"
    SEARCH = "search"


FIELDS = {Cost.LATENCY: "latency_ms", Cost.SEARCH: "search_seconds"}
"""Where a run keeps a cost that is not called so there."""


@dataclass(frozen=True)
class Point:
    """A run or trial as score and cost."""

    name: str
    architecture: str
    score: float | None
    cost: float | None


@examples(
    "mmfuse arch front latest",
    "mmfuse arch front kind:search,train --cost macs",
    "mmfuse arch front tag:paper --cost latency --json",
)
def front(
    runs: Selection,
    cost: Annotated[Cost, typer.Option("--cost", help="What the score is weighed against.")] = Cost.PARAMETERS,
    insist: Annotated[
        bool, typer.Option("--insist", help="Compare runs even if they saw different data or were judged differently.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """List what no other run or trial beats in score and cost.

    Cheapest first. One search that is named stands for its trials, several runs for themselves. Runs that did not
    measure the same metric on the same data are not compared unless you insist.
    """
    store = open_store(home, read_only=True)
    records = select(store, runs)
    alone = len(records) == 1 and not any(map(is_condition, runs))
    trials = store.folder(records[0].id).trials() if alone else []
    points = _of_trials(records[0], trials, cost) if trials else [_of_run(record, cost) for record in records]
    obstacle = "" if trials else why_not_ranked(records)
    if obstacle and not insist:
        raise BadSpec(f"not compared: {obstacle}", "add --insist to compare them all the same")
    if obstacle:
        warn(obstacle)
    best = [points[place] for place in pareto_front([(p.score, p.cost) for p in points], maximize=records[0].maximize)]
    known = sum(point.score is not None and point.cost is not None for point in points)
    if json:
        answer = {"metric": records[0].metric, "maximize": records[0].maximize, "cost": cost.value, "points": known}
        out_json(answer | {"front": [vars(point) for point in best]})
        return
    if not best:
        raise BadSpec(f"none of {len(points)} has both a score and {cost.value}", "another --cost")
    out(f"{len(best)} of {known} are on the front of {records[0].metric or 'score'} against {cost.value}")
    out_painted(draw(_columns(cost), [_row(point, cost) for point in best], width=width()))


def _of_run(record: RunRecord, cost: Cost) -> Point:
    value: Any = getattr(record, FIELDS.get(cost, cost.value))
    return Point(record.label, record.architecture or record.subject, record.score, value)


def _of_trials(record: RunRecord, trials: Sequence[TrialRecord], cost: Cost) -> list[Point]:
    """Finished trials whose scores mean the same: whole models, not encoders alone, and not those on held-out data.

    Raises:
        BadSpec: the cost is one that only runs have.
    """
    if cost not in (Cost.PARAMETERS, Cost.MACS, Cost.SECONDS):
        raise BadSpec(f"trials of a search have no {cost.value}", "--cost parameters, macs or seconds")
    done = [trial for trial in trials if trial.status == "done" and trial.architecture.stage != HELD_OUT]
    whole = [trial for trial in done if not trial.architecture.stage.startswith("encoder/")]
    return [
        Point(
            f"{record.id}:{trial.number}",
            architecture_label(trial.architecture.to_json()),
            trial.score,
            getattr(trial, cost.value),
        )
        for trial in whole
    ]


def _columns(cost: Cost) -> list[Column]:
    return [
        Column("name", "run"),
        Column("architecture", "architecture"),
        Column("cost", cost.value, right=True),
        Column("score", "score", right=True),
    ]


def _row(point: Point, cost: Cost) -> dict[str, str]:
    return {
        "name": point.name,
        "architecture": point.architecture,
        "cost": _in_words(point.cost, cost),
        "score": number(point.score),
    }


def _in_words(value: float | None, cost: Cost) -> str:
    if cost is Cost.LATENCY:
        return f"{number(value, digits=3)} ms"
    return span(value) if cost in (Cost.SECONDS, Cost.SEARCH) else count(value)
