"""`mmfuse arch choices`: every value of every choice of a search, how often it was tried and how it scored."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from mmfuse.errors import BadSpec
from mmfuse_cli.access import open_store
from mmfuse_cli.arch.measured import Measured, measured_groups
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Run
from mmfuse_cli.render import out_json, out_painted, width
from mmfuse_cli.table import Column, draw
from mmfuse_tui.wording import bar, number

BAR = 12
"""Cells of the bar that shows a mean between the worst and the best of its choice."""
COLUMNS = (
    Column("question", "question", leaves=2),
    Column("choice", "choice"),
    Column("value", "value"),
    Column("trials", "trials", right=True),
    Column("mean", "mean", right=True),
    Column("best", "best", right=True),
    Column("heat", "", leaves=1),
)


@examples("mmfuse arch choices latest", "mmfuse arch choices 7f3a --json")
def choices(run: Run, json: Json = False, home: Home = None) -> None:
    """Show how each choice of a search scored.

    For every value of every choice: trials, mean and best score, best mean first. Choices that never differed are left
    out. The bar goes from the worst to the best mean of the choice.
    """
    store = open_store(home, read_only=True)
    record = store.record(store.find(run))
    groups = measured_groups(store.folder(record.id).trials())
    if not groups:
        raise BadSpec(f"run {record.id} has no scored trials", "mmfuse runs ls kind:search")
    rows = [row for name, members in groups.items() for row in tried_values(name, members, maximize=record.maximize)]
    if json:
        out_json({"run": record.id, "metric": record.metric, "maximize": record.maximize, "choices": rows})
    else:
        out_painted(draw(COLUMNS, _heated(rows, maximize=record.maximize), width=width()))


def tried_values(question: str, candidates: Sequence[Measured], *, maximize: bool) -> list[dict[str, Any]]:
    """A row for every value of every choice that differs between ``candidates``; best mean first within a choice."""
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(name for candidate in candidates for name in candidate.choices):
        values: dict[str, list[float]] = {}
        for candidate in candidates:
            values.setdefault(candidate.choices.get(name, "none"), []).extend(candidate.scores)
        tried: list[dict[str, Any]] = [
            {
                "question": question,
                "choice": name,
                "value": value,
                "trials": len(scores),
                "mean": statistics.fmean(scores),
                "best": max(scores) if maximize else min(scores),
            }
            for value, scores in values.items()
        ]
        if len(tried) > 1:
            rows += sorted(tried, key=lambda row: row["mean"], reverse=maximize)
    return rows


def _heated(rows: Sequence[dict[str, Any]], *, maximize: bool) -> list[dict[str, str]]:
    means: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        means.setdefault((row["question"], row["choice"]), []).append(row["mean"])
    shown = []
    for row in rows:
        best, worst = (scale := means[row["question"], row["choice"]])[0], scale[-1]
        share = 1.0 if best == worst else (row["mean"] - worst) / (best - worst)
        cells = {"mean": number(row["mean"]), "best": number(row["best"]), "heat": "".join(bar(share, BAR))}
        shown.append({name: str(value) for name, value in row.items()} | cells)
    return shown
