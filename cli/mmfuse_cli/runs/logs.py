"""`mmfuse runs logs`: what a run's processes wrote."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from mmfuse.errors import BadSpec, UnknownName
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Run
from mmfuse_cli.render import out, out_json, say

if TYPE_CHECKING:
    from mmfuse_runs.folder import RunFolder
    from mmfuse_runs.store import RunStore

POLL_S = 0.25
"""Seconds between two looks at a log that is followed."""


@examples("mmfuse runs logs latest", "mmfuse runs logs 7f3a --follow", "mmfuse runs logs 7f3a --attempt 1 -n 50")
def logs(
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing until the run ends.")] = False,
    lines: Annotated[int | None, typer.Option("--lines", "-n", help="Only the last lines.", min=0)] = None,
    attempt: Annotated[int | None, typer.Option("--attempt", help="Which attempt [the last].", min=1)] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Print what a run wrote to its log.

    Tracebacks of crashed runs are here. Control characters are made harmless.
    """
    if json and follow:
        raise BadSpec("a log that is followed is text", "mmfuse runs tail --follow --json for what is measured")
    store = open_store(home, read_only=True)
    folder = store.folder(store.find(run))
    path = _log(folder, attempt)
    if json:
        out_json({"run": folder.id, "log": str(path) if path else None, "lines": _last_lines(path, lines)})
        return
    if path is None:
        say(f"run {folder.id} has written no log yet")
        return
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        begun = deque(file, maxlen=lines)
        rest = begun.pop() if follow and begun and not begun[-1].endswith("\n") else ""
        for line in begun:
            out(line.rstrip("\n"))
        if follow:
            _follow(store, folder.id, file, rest)


def _last_lines(path: Path | None, count: int | None) -> list[str]:
    if path is None:
        return []
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        return [line.rstrip("\n") for line in deque(file, maxlen=count)]


def _log(folder: RunFolder, attempt: int | None) -> Path | None:
    paths = folder.log_paths()
    if attempt is None:
        return paths[-1] if paths else None
    for path in paths:
        if path.name == f"log.{attempt}.txt":
            return path
    known = ", ".join(path.name.split(".")[1] for path in paths) or "none"
    raise UnknownName(f"run {folder.id} has no log of attempt {attempt}", f"attempts with a log: {known}")


def _follow(store: RunStore, run_id: str, file: TextIO, rest: str) -> None:
    """Print what is appended until the run has ended; ``rest`` is the beginning of a line."""
    while True:
        live = store.record(run_id).live
        *whole, rest = (rest + file.read()).split("\n")
        for line in whole:
            out(line)
        if not live:
            break
        time.sleep(POLL_S)
    if rest:
        out(rest)
