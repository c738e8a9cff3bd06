"""The dashboard of a home as an SVG file: ``python -m mmfuse_tui.picture HOME OUT.svg --size 150x42``."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from textual.pilot import Pilot

from mmfuse_runs.store import RunStore
from mmfuse_tui.app import Dashboard
from mmfuse_tui.runs_screen import RunsScreen

PATIENCE_SECONDS = 10.0
"""How long the picture waits for the store to be read and the screen to come to rest."""
REST_SECONDS = 0.4
"""How long the screen must have stayed as it is: longer than the reader's pause between two looks."""


def draw_picture(
    home: Path,
    target: Path,
    *,
    columns: int = 150,
    rows: int = 42,
    keys: tuple[str, ...] = (),
    now: float | None = None,
) -> None:
    """Write what the dashboard of ``home`` shows at that size, after pressing ``keys``, to ``target``.

    The home is only read. ``now`` freezes the clock that ages are measured with.
    """
    clock = time.time if now is None else lambda: now
    app = Dashboard(RunStore(home, read_only=True), clock=clock, read_only=True)

    async def draw(pilot: Pilot[object]) -> None:
        target.write_text(await photograph(app, pilot, keys=keys), encoding="utf-8")
        app.exit()

    app.run(headless=True, size=(columns, rows), auto_pilot=draw)


async def photograph(app: Dashboard, pilot: Pilot[object], *, keys: tuple[str, ...] = ()) -> str:
    """The screen as SVG once it is at rest, after pressing ``keys``."""
    await _rested(app, pilot)
    for key in keys:  # what a key opens may take the focus later, from what the next key has given it to
        await pilot.press(key)
        await _in_step(app, pilot)
        await _rested(app, pilot)
    svg = app.export_screenshot(title="mmfuse")
    # Some viewers drop a blank at the beginning of a text unless the file says that blanks count.
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)


async def _in_step(app: Dashboard, pilot: Pilot[object]) -> None:
    """Wait until the panels have caught up with the cursor: the next key may be for a panel that only this run has."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while isinstance(app.screen, RunsScreen) and not app.screen.in_step and time.monotonic() < deadline:
        await pilot.pause()
        await asyncio.sleep(0.02)


async def _rested(app: Dashboard, pilot: Pilot[object]) -> None:
    """Wait until the store was read and the screen has not changed for a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    shown, since = "", time.monotonic()
    while time.monotonic() < deadline:
        await pilot.pause()
        text = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        if text != shown or not app.feed.store.loaded:
            shown, since = text, time.monotonic()
        elif time.monotonic() - since > REST_SECONDS:
            return
        await asyncio.sleep(0.02)


def main() -> None:
    """Parse and draw."""
    parser = argparse.ArgumentParser(prog="mmfuse_tui.picture", description="Dashboard of a home as an SVG file.")
    parser.add_argument("home", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--size", default="150x42", help="columns x rows, such as 150x42")
    parser.add_argument("--press", default="", help="keys to press before, separated by blanks")
    parser.add_argument("--now", type=float, help="Unix time that ages are measured from")
    arguments = parser.parse_args()
    columns, _, rows = arguments.size.partition("x")
    keys = tuple(arguments.press.split())
    draw_picture(arguments.home, arguments.target, columns=int(columns), rows=int(rows), keys=keys, now=arguments.now)


if __name__ == "__main__":
    main()
