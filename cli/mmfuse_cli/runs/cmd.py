"""`mmfuse runs cmd`: the command that does what a run did."""

from __future__ import annotations

from typing import Annotated

import typer

from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Run
from mmfuse_cli.render import copy, out, out_json, warn
from mmfuse_cli.runs.show import reproducing_command


@examples("mmfuse runs cmd latest", "mmfuse runs cmd latest --copy", "mmfuse runs cmd 7f3a | sh")
def cmd(
    run: Run,
    copied: Annotated[bool, typer.Option("--copy", help="Put it on the terminal's clipboard, too (OSC 52).")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Print the command that does the same again.

    With no more settings than needed; by the run's id where its settings can no longer be spelled out.
    """
    store = open_store(home, read_only=True)
    folder = store.folder(store.find(run))
    command = reproducing_command(folder)
    if copied and not copy(command):
        warn("there is no terminal to copy to")
    out_json({"run": folder.id, "command": command}) if json else out(command)
