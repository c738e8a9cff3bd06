"""How what a search found stands beside what it has to beat: the table below its result.

A search over fusions tells the standings when it ends (see `mmfuse.search.mfas`): its best, late fusion, the best
single layer and random search, each scored on data that no choice before has seen, and the baselines it left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmfuse_cli.render import out, out_painted, width
from mmfuse_cli.table import Column, draw
from mmfuse_tui.wording import count, number

if TYPE_CHECKING:
    from mmfuse_runs.folder import RunFolder

COLUMNS = (
    Column("name", "standings"),
    Column("trainings", "trained", right=True),
    Column("score", "searched by", right=True),
    Column("held_out", "held out", right=True),
    Column("chain", "architecture", leaves=1),
)


def standings_of(folder: RunFolder) -> dict[str, Any] | None:
    """What a search told last, as JSON; None for a run that told none."""
    told = [event.get("facts") for event in folder.events() if event.get("message") == "standings"]
    return dict(told[-1]) if told and isinstance(told[-1], Mapping) else None


def show_standings(folder: RunFolder) -> None:
    """The table on stdout after an empty line, and each baseline that was left out with its preset; or nothing."""
    told = standings_of(folder)
    if told is None:
        return
    out("")
    out_painted(draw(COLUMNS, [_row(row) for row in told.get("rows") or ()], width=width()))
    for row in told.get("not_trained") or ():
        out(f"not trained: --preset {row.get('preset')}, {count(row.get('trainings') or 0)} trainings")


def _row(row: Mapping[str, Any]) -> dict[str, str]:
    held_out = number(row.get("held_out"))
    if row.get("held_out_std") is not None:
        held_out += f" ± {number(row['held_out_std'], digits=3)}"
    return {
        "name": str(row.get("name", "")),
        "trainings": count(row.get("trainings") or 0),
        "score": number(row.get("score")),
        "held_out": held_out,
        "chain": str(row.get("chain", "")),
    }
