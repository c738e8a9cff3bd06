"""Files that the dashboard writes for its user: the screen as SVG and as text, charts as CSV.

In a terminal they go to the current folder; in a browser they are downloaded, since the folder is another machine's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from textual.app import App

from mmfuse_tui.curves import ChartData

HEADINGS = ("chart", "metric", "x", "value", "time", "points")


def save(app: App[Any], content: str, kind: str, *, now: float) -> None:
    """Give the user ``content`` as a file of that kind, named after the time, and say where it is."""
    name = datetime.fromtimestamp(now).strftime(f"mmfuse-%Y%m%d-%H%M%S.{kind}")
    if app.is_web:
        app.deliver_text(io.StringIO(content), save_filename=name)
        return
    path = Path.cwd() / name
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        app.notify(f"{name} could not be saved: {error}", severity="error", markup=False)
    else:
        app.notify(f"saved {path}", markup=False)


def as_csv(charts: Sequence[ChartData]) -> str:
    """Every value that the charts hold, a row each, as measured: neither smoothed nor zoomed.

    ``points`` is how many values the metric has: more than rows where it was thinned to what a screen can tell apart.
    ``time`` is a Unix time, empty where it is unknown.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(HEADINGS)
    for chart in charts:
        for curve in chart.curves:
            times = [""] * len(curve.values) if curve.times is None else curve.times.tolist()
            for x, value, time in zip(curve.steps.tolist(), curve.values.tolist(), times, strict=True):
                shown = int(x) if chart.x_whole and x == int(x) else x
                writer.writerow((chart.title, curve.name, shown, value, time, curve.points))
    return table.getvalue()
