"""`mmfuse runs tag, note`: what people write about runs."""

from __future__ import annotations

from typing import Annotated

import typer

from mmfuse_cli import complete
from mmfuse_cli.access import open_store, select
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Run, Selection
from mmfuse_cli.render import out, out_json, say

Add = Annotated[list[str] | None, typer.Option("--add", "-a", help="Add this tag; may be repeated.", metavar="TAG")]
Remove = Annotated[
    list[str] | None,
    typer.Option(
        "--remove", "-r", help="Take this tag away; may be repeated.", metavar="TAG", autocompletion=complete.tags
    ),
]


@examples("mmfuse runs tag latest --add paper", "mmfuse runs tag subject:mixmas 'age<1d' -a monday -r draft")
def tag(runs: Selection, add: Add = None, remove: Remove = None, json: Json = False, home: Home = None) -> None:
    """Add tags to runs, or take them away.

    Prints the tags each run has now; without --add and --remove that is all it does.
    """
    store = open_store(home)
    tagged = []
    for record in select(store, runs):
        tags = sorted(({*record.tags} | {*(add or ())}) - {*(remove or ())})
        if tags != sorted(record.tags):
            store.set_meta(record.id, tags=tags)
        tagged.append({"id": record.id, "tags": tags})
        if not json:
            out(f"{record.id}  {' '.join(tags)}".rstrip())
    if json:
        out_json({"runs": tagged})


@examples("mmfuse runs note latest 'learning rate was too high'", "mmfuse runs note 7f3a --name baseline --star")
def note(
    run: Run,
    text: Annotated[
        str | None, typer.Argument(help="The note; it replaces the one there is.", metavar="[TEXT]")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Give the run this name.")] = None,
    star: Annotated[bool | None, typer.Option("--star/--unstar", help="Protect it from mmfuse runs rm and gc.")] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Name, star or annotate a run.

    Without anything to write it prints the note.
    """
    store = open_store(home)
    run_id = store.find(run)
    written = not (text is None and name is None and star is None)
    if written:
        store.set_meta(run_id, name=name, starred=star, notes=text)
    record = store.record(run_id)
    if json:
        out_json({"run": run_id, "name": record.name, "starred": record.starred, "notes": record.notes})
    elif written:
        say(f"noted for {run_id}")
    else:
        out(record.notes)
