"""`mmfuse runs move`: who is served next."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli import complete
from mmfuse_cli.access import is_condition, open_store, select
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, InLine, Json
from mmfuse_cli.render import out_json, out_painted, width
from mmfuse_cli.table import Column, draw
from mmfuse_tui.wording import age

if TYPE_CHECKING:
    from mmfuse_runs.line_order import Where
    from mmfuse_runs.machine import Waiting

LINE = (
    Column("place", "place", right=True),
    Column("run", "run"),
    Column("wanted", "wants"),
    Column("since", "waits", right=True, leaves=1),
    Column("host", "on", leaves=2),
)


@examples(
    "mmfuse runs move latest --first",
    "mmfuse runs move 7f3a --before 1a2b",
    "mmfuse runs move tag:paper --up --json",
)
def move(
    runs: InLine,
    first: Annotated[bool, typer.Option("--first", help="To the head of the line.")] = False,
    last: Annotated[bool, typer.Option("--last", help="To its end.")] = False,
    up: Annotated[bool, typer.Option("--up", help="One place nearer to the head.")] = False,
    down: Annotated[bool, typer.Option("--down", help="One place nearer to the end.")] = False,
    before: Annotated[
        str | None,
        typer.Option("--before", help="To right before this run.", metavar="RUN", autocompletion=complete.queued),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", help="To right behind this run.", metavar="RUN", autocompletion=complete.queued),
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Move runs that wait for their slot within the line.

    Several keep their order among themselves. Prints the line as it is then, next first. What runs already is not
    disturbed.
    """
    from mmfuse_runs.reorder import move as move_runs

    wishes: dict[Where, bool] = {
        "first": first,
        "last": last,
        "up": up,
        "down": down,
        "before": before is not None,
        "after": after is not None,
    }
    asked = [where for where, wish in wishes.items() if wish]
    if len(asked) != 1:
        raise BadSpec(
            f"{'two places were' if asked else 'no place was'} named to move to",
            "one of --first, --last, --up, --down, --before RUN, --after RUN",
        )
    store = open_store(home)
    anchor = before or after
    by_condition = any(map(is_condition, runs))
    chosen = [record.id for record in select(store, runs) if record.state == "queued" or not by_condition]
    if not chosen:
        raise BadSpec(f"no run in line meets {' '.join(runs)}", "mmfuse runs ls state:queued")
    line = move_runs(store, chosen, asked[0], anchor=None if anchor is None else store.find(anchor))
    show_line(line, json=json)


def show_line(line: list[Waiting], *, json: bool) -> None:
    """Who waits, next first, each with the place in the line of their machine."""
    from mmfuse_runs.reorder import places

    standing = places(line, {waiting.run for waiting in line})
    if json:
        out_json({"line": [asdict(waiting) | {"place": standing[waiting.run]} for waiting in line]})
        return
    out_painted(draw(LINE, [_row(waiting, standing[waiting.run]) for waiting in line], width=width()))


def _row(waiting: Waiting, place: int) -> dict[str, str]:
    since = age(time.time() - waiting.since)
    return {
        "place": str(place),
        "run": waiting.run,
        "wanted": " or ".join(waiting.wanted),
        "since": since,
        "host": waiting.host,
    }
