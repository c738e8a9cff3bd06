"""`mmfuse tui`: open the dashboard."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli import complete, render
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json

if TYPE_CHECKING:
    from mmfuse_tui.serve import Served


@examples(
    "mmfuse tui",
    "mmfuse tui --home /shared/lab/mmfuse",
    "mmfuse tui --serve --read-only",
    "mmfuse tui --replay latest",
    "mmfuse tui --keys",
)
def tui(
    read_only: Annotated[bool, typer.Option("--read-only", help="Change nothing on disk, not even the index.")] = False,
    in_browser: Annotated[bool, typer.Option("--serve", help="Show it in a browser, until Ctrl-C.")] = False,
    replayed: Annotated[
        str | None,
        typer.Option(
            "--replay",
            help="Play what has ended again: a run, the folder of one, or a home.",
            metavar="RUN|DIR",
            autocompletion=complete.runs,
        ),
    ] = None,
    speed: Annotated[
        float | None, typer.Option("--speed", help="With --replay: how many times as fast [20].", metavar="NUMBER")
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="With --serve: where to listen [this machine only].", metavar="ADDRESS")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="With --serve: the port; 0 takes a free one [8000].", metavar="NUMBER")
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="List every action with its id and keys, and what is wrong with yours.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Open the dashboard.

    Leaving it stops nothing. Press ? in it for its keys. A replay shows how runs went, from files that are only read.
    """
    from mmfuse_runs.home import resolve_home

    if keys:
        from mmfuse_cli.dashboard_keys import list_keys

        list_keys(json=json)
        return
    if json:
        raise BadSpec("--json is for --keys: a dashboard is no data", "mmfuse runs ls --json")
    pace = _pace(speed, replayed)

    if in_browser:
        from mmfuse_tui.serve import HOST, PORT, serve

        serve(
            resolve_home(home),
            host=HOST if host is None else host,
            port=PORT if port is None else port,
            read_only=read_only or replayed is not None,
            options=() if replayed is None else _checked(replayed, pace, resolve_home(home)),
            announce=_announce,
        )
        return
    if host is not None or port is not None:
        raise BadSpec("--host and --port say where --serve listens", "mmfuse tui --serve")
    if not at_terminal():
        raise BadSpec("the dashboard needs a terminal", "mmfuse tui --serve, or mmfuse runs ls")
    if replayed is not None:
        from mmfuse_tui.replay import replay

        replay(replayed, home=resolve_home(home), speed=pace)
        return
    from mmfuse_tui.app import run

    run(resolve_home(home), read_only=read_only)


def _pace(speed: float | None, replayed: str | None) -> float:
    """How fast a replay begins.

    Raises:
        BadSpec: nothing is replayed, or it would stand still or run backwards.
    """
    from mmfuse_runs.replay import SPEED

    if speed is None:
        return SPEED
    if replayed is None:
        raise BadSpec("--speed says how fast --replay plays", "mmfuse tui --replay latest --speed 20")
    if not 0 < speed < math.inf:
        raise BadSpec(f"a replay cannot be {speed:g} times as fast", "--speed 20")
    return speed


def _checked(replayed: str, pace: float, home: Path) -> Sequence[str]:
    """The words by which a page's dashboard plays it; what cannot be played is told here, not in a browser."""
    from mmfuse_runs.replay.chosen import recordings_of

    recordings_of(replayed, home=home)
    return "--replay", replayed, "--speed", str(pace)


def _announce(served: Served) -> None:
    """The link is the answer; what is said beside it goes to stderr."""
    render.say("The dashboard is open in a browser, until Ctrl-C, at")
    render.out(served.link)
    sys.stdout.flush()
    if served.danger:
        render.warn(served.danger)


def at_terminal() -> bool:
    """Whether keys can be read and a screen be drawn."""
    return sys.stdin.isatty() and sys.stdout.isatty()
