"""What the worker printed."""

from __future__ import annotations

from mmfuse_tui.log_excerpt import Hidden
from mmfuse_tui.log_view import LogView
from mmfuse_tui.panels import Place
from mmfuse_tui.snapshot import RunSnapshot

TITLE = "Log"
PLACE: Place = "side"
ORDER = 3


def applies(run: RunSnapshot) -> bool:
    """Every run has a log sooner or later."""
    return True


def build() -> LogView:
    """The pane."""
    return LogView(empty="nothing was printed yet")


def show(view: LogView, run: RunSnapshot) -> None:
    """The end of the newest log."""
    view.set_lines(run.log, hidden=Hidden(*run.hidden_log) if run.hidden_log else None, of=run.id)
