"""`mmfuse runs fsck`: what is damaged in the run store, and the mending of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json
from mmfuse_cli.render import out_json, out_painted, say
from mmfuse_cli.table import Column, draw

if TYPE_CHECKING:
    from mmfuse_runs.fsck import Trouble

COLUMNS = (
    Column("verdict", "", colours={"mended": "green", "wrong": "red"}),
    Column("where", "where"),
    Column("what", "what is wrong"),
    Column("hint", "to do"),
)


@examples("mmfuse runs fsck", "mmfuse runs fsck --repair", "mmfuse runs fsck --json")
def fsck(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Find damage in the run store, and mend it.

    Torn and unreadable rows, missing or damaged files, states of runs whose processes are gone, what dead processes
    left, an index that says something else than the folders. Nothing is thrown away: what cannot be read is kept
    beside its place, with .bad behind its name. The exit code is 1 if something is wrong that was not mended.
    """
    from mmfuse_runs.fsck import examine, mend

    store = open_store(home, read_only=not repair)
    found = list(mend(examine(store)) if repair else examine(store))
    wrong = [trouble for trouble in found if not trouble.mended]
    if json:
        out_json({"runs": len(store.ids()), "troubles": [_answer(trouble) for trouble in found], "wrong": len(wrong)})
    elif found:
        out_painted(draw(COLUMNS, [_row(trouble) for trouble in found]))
    if not json:
        say(f"{len(store.ids())} runs, {len(found)} troubles, {len(found) - len(wrong)} mended")
    if not repair and any(trouble.mend for trouble in wrong) and not json:
        say("mend what can be mended with: mmfuse runs fsck --repair")
    if wrong:
        raise typer.Exit(1)


def _answer(trouble: Trouble) -> dict[str, object]:
    known = {"where": trouble.where, "what": trouble.what, "hint": trouble.hint}
    return known | {"mendable": trouble.mend is not None, "mended": trouble.mended}


def _row(trouble: Trouble) -> dict[str, str]:
    verdict = "mended" if trouble.mended else "wrong"
    return {"verdict": verdict, "where": trouble.where, "what": trouble.what, "hint": trouble.hint}
