"""Metrics over steps, and a search's score over trials."""

from __future__ import annotations

from mmfuse_tui.chart_grid import ChartGrid
from mmfuse_tui.panels import Place
from mmfuse_tui.snapshot import RunSnapshot

TITLE = "Curves"
PLACE: Place = "main"
ORDER = 1


def applies(run: RunSnapshot) -> bool:
    """Every run has curves sooner or later."""
    return True


def build() -> ChartGrid:
    """The charts."""
    return ChartGrid(empty="no metrics yet")


def show(charts: ChartGrid, run: RunSnapshot) -> None:
    """Draw what the run measured so far."""
    charts.set_charts(run.charts)
