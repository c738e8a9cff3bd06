"""Several runs beside each other, live; only runs of the same data, unless the user insists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Static

from mmfuse_runs.comparison import why_not_ranked
from mmfuse_tui.board import BoardView
from mmfuse_tui.clean import clean
from mmfuse_tui.compare_blocks import COSTS, Comparison, blocks_of
from mmfuse_tui.feed import Feed
from mmfuse_tui.key_bar import KeyBar
from mmfuse_tui.snapshot import ComparedRun

MOST_COMPARED = 10
"""Runs that are told apart in one chart."""


class CompareScreen(Screen[None]):
    """One page: results, overlaid curves, differing options, cost, seeds, architectures."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,c", "app.pop_screen", "Back", tooltip="Back to the runs", id="compare.back"),
        Binding("m", "cost", "Cost", tooltip="Weigh the score against another cost", id="compare.cost"),
        Binding(
            "I",
            "insist",
            "Insist",
            tooltip="Compare runs of different data as well, or leave them out again",
            id="compare.insist",
        ),
    ]

    def __init__(self, feed: Feed, run_ids: Sequence[str]) -> None:
        super().__init__()
        self._feed = feed
        self._ids = tuple(run_ids)
        self._runs: tuple[ComparedRun, ...] = ()
        self._cost = next(iter(COSTS))
        self._insists = False

    def compose(self) -> ComposeResult:
        """A sentence about what is compared, the page, the keys."""
        yield Static(id="compare-says", markup=False)
        with Container(id="compare-frame", classes="panel") as frame:
            frame.border_title = f"[b]Compare[/] {len(self._ids)} runs"
            yield BoardView(empty="reading the runs …", id="compare-board")
        yield KeyBar()

    def on_mount(self) -> None:
        """Ask for the runs."""
        self._feed.comparison_changed.subscribe(self, self._take)
        self._feed.compare(self._ids)
        self.query_one(BoardView).focus()

    def on_unmount(self) -> None:
        """Nobody looks at them any more."""
        self._feed.compare(())

    @property
    def comparison(self) -> Comparison:
        """What is compared now: the largest set of runs on equal data, or all of them."""
        runs = self._runs if self._insists else _on_equal_data(self._runs)
        return Comparison(runs, why_not_ranked([compared.record for compared in runs]))

    def action_cost(self) -> None:
        """The next cost."""
        names = list(COSTS)
        self._cost = names[(names.index(self._cost) + 1) % len(names)]
        self._show()

    def action_insist(self) -> None:
        """All runs, whatever they saw; or only those on equal data again."""
        self._insists = not self._insists
        self._show()

    def _take(self, runs: tuple[ComparedRun, ...]) -> None:
        self._runs = runs
        self._show()

    def _show(self) -> None:
        comparison = self.comparison
        shown, asked = len(comparison.runs), len(self._ids)
        count = str(asked) if shown == asked or not self._runs else f"{shown} of {asked}"
        self.query_one("#compare-frame").border_title = f"[b]Compare[/] {count} runs"
        self.query_one(BoardView).set_blocks(blocks_of(comparison, cost=self._cost) if comparison.runs else ())
        says = self.query_one("#compare-says", Static)
        left_out = [compared.record for compared in self._runs if compared not in comparison.runs]
        if comparison.obstacle:
            words = f"! Not comparable: {comparison.obstacle}. Scores are shown, nothing is ranked."
        elif left_out:
            names = ", ".join(clean(record.label) for record in left_out)
            words = f"! Left out, since their data differs: {names}. I compares them all the same."
        else:
            words = ""
        says.update(Text(words))
        says.set_class(bool(words), "-open")


def _on_equal_data(runs: tuple[ComparedRun, ...]) -> tuple[ComparedRun, ...]:
    """The largest set of runs with one fingerprint; of equal ones that of the first run."""
    counts = Counter(compared.record.fingerprint for compared in runs)
    if not counts:
        return ()
    [(fingerprint, _)] = counts.most_common(1)
    return tuple(compared for compared in runs if compared.record.fingerprint == fingerprint)
