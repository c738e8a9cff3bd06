"""The dialog that chooses the columns of the runs table and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from mmfuse_tui.bindings import key_in_words
from mmfuse_tui.columns import Column
from mmfuse_tui.table import Table

SAID = ("toggle", "left", "right", "usual", "accept")
"""Actions whose keys stand below the columns."""


@dataclass(frozen=True)
class Choice:
    """One column, shown or not."""

    name: str
    title: str
    shown: bool


class ColumnsScreen(ModalScreen[tuple[str, ...] | None]):
    """Answers with the names of the columns to show, in order; empty for the usual ones, None to leave all as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "turn", "Show or hide", id="columns.toggle"),
        Binding("K,shift+up", "carry(-1)", "Further left", id="columns.left"),
        Binding("J,shift+down", "carry(1)", "Further right", id="columns.right"),
        Binding("enter", "accept", "Take", id="columns.accept"),
        Binding("r", "usual", "The usual ones", id="columns.usual"),
        Binding("escape,q", "dismiss(None)", "Leave", id="columns.leave"),
    ]

    def __init__(self, all_columns: Sequence[tuple[str, str]], shown: Sequence[str]) -> None:
        super().__init__()
        titles = dict(all_columns)
        names = [name for name in shown if name in titles]
        names += [name for name in titles if name not in names]
        self._choices = [Choice(name, titles[name], name in shown) for name in names]

    def compose(self) -> ComposeResult:
        """One row per column."""
        columns = (
            Column[Choice]("shown", "", lambda choice, _: [("[x]" if choice.shown else "[ ]", "cell--accent")], 3, 0),
            Column[Choice]("title", "Column", lambda choice, _: [(choice.title, "")], 20, 0, most=30),
        )
        with Vertical(id="columns") as frame:
            frame.border_title = "Columns"
            show, left, right, usual, take = (key_in_words(self.app, ColumnsScreen, f"columns.{name}") for name in SAID)
            frame.border_subtitle = f"{show} show · {right} {left} move · {usual} reset · {take}"
            yield Table(columns, key=lambda choice: choice.name, id="column-table")

    def on_mount(self) -> None:
        """The first column is under the cursor."""
        self._fill()
        self._table.focus()

    def action_turn(self) -> None:
        """Show or hide the column under the cursor; one at least stays."""
        place = self._table.cursor
        turned = replace(self._choices[place], shown=not self._choices[place].shown)
        if turned.shown or sum(choice.shown for choice in self._choices) > 1:
            self._choices[place] = turned
            self._fill()

    def action_carry(self, by: int) -> None:
        """Move the column under the cursor."""
        place, target = self._table.cursor, self._table.cursor + by
        if 0 <= target < len(self._choices):
            self._choices.insert(target, self._choices.pop(place))
            self._fill()

    def action_accept(self) -> None:
        """Take it as it stands."""
        self.dismiss(tuple(choice.name for choice in self._choices if choice.shown))

    def action_usual(self) -> None:
        """Back to the usual columns."""
        self.dismiss(())

    @property
    def _table(self) -> Table[Choice]:
        return self.query_one("#column-table", Table)

    def _fill(self) -> None:
        self._table.set_rows(tuple(self._choices))
