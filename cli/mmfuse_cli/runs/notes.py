"""`mmfuse runs tag, note`: what people write about runs."""

from __future__ import annotations

from typing import Annotated

import typer

from mmfuse_cli import complete
from mmfuse_cli.access import open_store, select
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Run, Selection
from mmfuse_cli.render import out, say

Add = Annotated[list[str] | None, typer.Option("--add", "-a", help="Add this tag; may be repeated.", metavar="TAG")]
Remove = Annotated[
    list[str] | None,
    typer.Option(
        "--remove", "-r", help="Take this tag away; may be repeated.", metavar="TAG", autocompletion=complete.tags
    ),
]


@examples("mmfuse runs tag latest --add paper", "mmfuse runs tag subject:mixmas 'age<1d' -a monday -r draft")
def tag(runs: Selection, add: Add = None, remove: Remove = None, home: Home = None) -> None:
    """Add tags to runs, or take them away.

    Prints the tags each run has now; without --add and --remove that is all it does.
    """
    store = open_store(home)
    for record in select(store, runs):
        tags = sorted(({*record.tags} | {*(add or ())}) - {*(remove or ())})
        if tags != sorted(record.tags):
            store.set_meta(record.id, tags=tags)
        out(f"{record.id}  {' '.join(tags)}".rstrip())


@examples("mmfuse runs note latest 'learning rate was too high'", "mmfuse runs note 7f3a --name baseline --star")
def note(
    run: Run,
    text: Annotated[
        str | None, typer.Argument(help="The note; it replaces the one there is.", metavar="[TEXT]")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Give the run this name.")] = None,
    star: Annotated[bool | None, typer.Option("--star/--unstar", help="Protect it from mmfuse runs gc.")] = None,
    home: Home = None,
) -> None:
    """Name, star or annotate a run.

    Without anything to write it prints the note.
    """
    store = open_store(home)
    run_id = store.find(run)
    if text is None and name is None and star is None:
        out(store.record(run_id).notes)
        return
    store.set_meta(run_id, name=name, starred=star, notes=text)
    say(f"noted for {run_id}")
