"""`mmfuse tui`: open the dashboard."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home


@examples("mmfuse tui", "mmfuse tui --home /shared/lab/mmfuse")
def tui(
    read_only: Annotated[bool, typer.Option("--read-only", help="Change nothing on disk, not even the index.")] = False,
    home: Home = None,
) -> None:
    """Open the dashboard.

    Leaving it stops nothing. Press ? in it for its keys.
    """
    if not at_terminal():
        raise BadSpec("the dashboard needs a terminal", "mmfuse runs ls")
    from mmfuse_runs.home import resolve_home
    from mmfuse_tui.app import run

    run(resolve_home(home), read_only=read_only)


def at_terminal() -> bool:
    """Whether keys can be read and a screen be drawn."""
    return sys.stdin.isatty() and sys.stdout.isatty()
