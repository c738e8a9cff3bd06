"""Metrics over steps, and a search's score over trials."""

from __future__ import annotations

from mmfuse_tui.chart_grid import ChartGrid
from mmfuse_tui.panels import Place
from mmfuse_tui.snapshot import RunSnapshot

TITLE = "Curves"
PLACE: Place = "main"
ORDER = 1

EMPTY = "no metrics yet"


def applies(run: RunSnapshot) -> bool:
    """Every run has curves sooner or later."""
    return True


def build() -> ChartGrid:
    """The charts."""
    return ChartGrid(empty=EMPTY)


def show(charts: ChartGrid, run: RunSnapshot) -> None:
    """Draw what the run measured so far; where that is nothing since it failed, say how."""
    error = next((section.rows[0][1] for section in run.sections if section.title == "Error"), "")
    charts.set_charts(run.charts, empty=f"no metrics: {error}" if error else EMPTY)
