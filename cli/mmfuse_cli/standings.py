"""A search beside what it has to beat (random search, late fusion and the like), where it told that at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmfuse.errors import MmfuseError
from mmfuse_cli.render import out, out_painted, width
from mmfuse_cli.table import Column, draw
from mmfuse_tui.wording import number

if TYPE_CHECKING:
    from mmfuse_runs.folder import RunFolder

COLUMNS = (
    Column("name", "beside it"),
    Column("held_out", "held out", right=True),
    Column("score", "searched by", right=True, leaves=1),
    Column("trainings", "trained", right=True, leaves=2),
    Column("chain", "architecture"),
)


def standings_of(folder: RunFolder) -> Mapping[str, Any] | None:
    """What the search told last; None where it told nothing, or cannot be read."""
    try:
        events = folder.events()
    except MmfuseError:
        return None
    told = [event.get("facts") for event in events if event.get("ev") == "note" and event.get("message") == "standings"]
    return told[-1] if told and isinstance(told[-1], Mapping) else None


def show_standings(folder: RunFolder) -> None:
    """Print the table and, for what was not trained, the preset that does it; nothing where there are none."""
    told = standings_of(folder)
    if told is None:
        return
    out("")
    out_painted(draw(COLUMNS, [_row(row) for row in told["rows"]], width=width()))
    for missing in told.get("not_trained", ()):
        out(f"not trained: --preset {missing['preset']} ({missing['trainings']} trainings)")


def _row(row: Mapping[str, Any]) -> dict[str, str]:
    spread = f" ± {number(row['held_out_std'])}" if row.get("held_out_std") is not None else ""
    return {
        "name": str(row["name"]),
        "held_out": f"{number(row['held_out'])}{spread}",
        "score": number(row["score"]),
        "trainings": str(row["trainings"]),
        "chain": str(row["chain"]),
    }
