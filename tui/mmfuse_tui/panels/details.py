"""What was asked, what came out, and where it ran."""

from __future__ import annotations

from mmfuse_tui.facts_view import FactsView
from mmfuse_tui.panels import Place
from mmfuse_tui.snapshot import RunSnapshot

TITLE = "Details"
PLACE: Place = "wing"
ORDER = 4


def applies(run: RunSnapshot) -> bool:
    """There is always something to say about a run."""
    return True


def build() -> FactsView:
    """The pane."""
    return FactsView()


def show(view: FactsView, run: RunSnapshot) -> None:
    """Spec, environment, results, and what could not be read."""
    view.set_facts(run.sections, run.problems)
