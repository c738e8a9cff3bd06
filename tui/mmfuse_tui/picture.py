"""The dashboard of a home as an SVG file: ``python -m mmfuse_tui.picture HOME OUT.svg --size 150x42``."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from textual.pilot import Pilot

from mmfuse_runs.store import RunStore
from mmfuse_tui.app import Dashboard

PATIENCE_SECONDS = 10.0
"""How long the picture waits for the store to be read."""


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

    async def photograph(pilot: Pilot[object]) -> None:
        await _settled(app, pilot)
        for key in keys:
            await pilot.press(key)
            await _settled(app, pilot)
        target.write_text(_portable(app.export_screenshot(title="mmfuse")), encoding="utf-8")
        app.exit()

    app.run(headless=True, size=(columns, rows), auto_pilot=photograph)


async def _settled(app: Dashboard, pilot: Pilot[object]) -> None:
    """Wait until the selected run is on the screen with everything that was read of it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        await pilot.pause()
        runs = app.feed.store.runs
        if app.feed.store.loaded and (not runs or app.feed.run is not None):
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.6)
    await pilot.pause()


def _portable(svg: str) -> str:
    """Some viewers drop a blank at the beginning of a text unless the file says that blanks count."""
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)


def main() -> None:
    """Parse and draw."""
    parser = argparse.ArgumentParser(prog="mmfuse_tui.picture", description="Dashboard of a home as an SVG file.")
    parser.add_argument("home", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--size", default="150x42", help="columns x rows, such as 150x42")
    parser.add_argument("--press", default="", help="keys to press before, separated by blanks")
    arguments = parser.parse_args()
    columns, _, rows = arguments.size.partition("x")
    keys = tuple(arguments.press.split())
    draw_picture(arguments.home, arguments.target, columns=int(columns), rows=int(rows), keys=keys)


if __name__ == "__main__":
    main()
