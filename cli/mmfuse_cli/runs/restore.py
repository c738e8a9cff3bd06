"""`mmfuse runs restore`: back from the trash."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from mmfuse_cli import complete
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json
from mmfuse_cli.render import out, out_json, out_painted, say, width
from mmfuse_cli.table import Column, draw
from mmfuse_tui.wording import age

COLUMNS = (Column("id", "run"), Column("name", "name"), Column("age", "thrown away", right=True))


@examples("mmfuse runs restore", "mmfuse runs restore 7f3a")
def restore(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Ids, unique beginnings or ends, or names of runs in the trash.",
            metavar="[RUN]...",
            autocompletion=complete.thrown,
        ),
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Put removed runs back; without a name, list them.

    What mmfuse runs rm removed lies in the trash of the home until mmfuse runs gc --trash empties it.
    """
    from mmfuse_runs.trash import put_back, thrown

    store = open_store(home, read_only=not runs)
    if runs:
        back = [put_back(store, word) for word in runs]
        out_json({"restored": back}) if json else out("\n".join(back))
        return
    there = thrown(store)
    if json:
        out_json({"trash": [{"id": each.id, "name": each.name, "at": each.at} for each in there]})
    elif there:
        now = time.time()
        rows = [{"id": each.id, "name": each.name, "age": age(now - each.at)} for each in there]
        out_painted(draw(COLUMNS, rows, width=width()))
    else:
        say("the trash is empty")
