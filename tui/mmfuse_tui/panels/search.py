"""A search as it goes: best so far beside its baselines, questions, standings, descent, choices."""

from __future__ import annotations

from mmfuse_tui.board import BoardView
from mmfuse_tui.panels import Place
from mmfuse_tui.snapshot import RunSnapshot

TITLE = "Search"
PLACE: Place = "main"
ORDER = 5


def applies(run: RunSnapshot) -> bool:
    """Only searches have trials."""
    return bool(run.trials)


def build() -> BoardView:
    """The page."""
    return BoardView(empty="the search has not asked anything yet")


def show(view: BoardView, run: RunSnapshot) -> None:
    """Bring every drawing up to date."""
    from mmfuse_tui.search_page import blocks_of  # the first paint waits for no drawing that nobody looks at

    view.set_blocks(blocks_of(run))
