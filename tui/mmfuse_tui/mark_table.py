"""A table whose rows can be marked, so that one key acts on many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType

from mmfuse_tui.columns import Column, Item, Piece
from mmfuse_tui.table import Table


class MarkTable(Table[Item]):
    """Marks belong to items, not to places: they stay when rows are sorted or filtered, and go with their item."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", show=False, tooltip="Mark the run, or take its mark away", id="mark.toggle"),
        Binding("shift+down,J", "extend(1)", "Mark down", show=False, tooltip="Mark downwards", id="mark.down"),
        Binding("shift+up,K", "extend(-1)", "Mark up", show=False, tooltip="Mark upwards", id="mark.up"),
        Binding("ctrl+a", "mark_all", "Mark all", show=False, tooltip="Mark every run shown", id="mark.all"),
        Binding(
            "i", "invert", "Invert marks", show=False, tooltip="Mark what is not, and the reverse", id="mark.invert"
        ),
    ]

    class Marked(Table.Told):
        """Other items are marked than before."""

    def __init__(
        self, columns: Sequence[Column[Item]], *, key: Callable[[Item], str], empty: str = "", id: str | None = None
    ) -> None:
        super().__init__(columns, key=key, empty=empty, id=id)
        self._marks: frozenset[str] = frozenset()

    @property
    def marks(self) -> frozenset[str]:
        """Keys of the marked items, shown or not."""
        return self._marks

    def set_marks(self, keys: Iterable[str]) -> None:
        """Mark exactly these."""
        marks = frozenset(keys)
        if marks != self._marks:
            self._marks = marks
            self.refresh()
            self.post_message(self.Marked(self))

    def action_mark(self) -> None:
        """Mark the row under the cursor or take its mark away, and go on to the next."""
        if self.selected is not None:
            self.set_marks(self._marks ^ {self._key(self.selected)})
            self.action_move(1)

    def action_extend(self, by: int) -> None:
        """Mark this row and the next in that direction."""
        self._mark_rows(self.cursor, self.cursor + by)
        self.action_move(by)

    def action_mark_all(self) -> None:
        """Mark every row shown; if all are, none."""
        shown = frozenset(map(self._key, self.rows))
        self.set_marks(self._marks - shown if shown <= self._marks else self._marks | shown)

    def action_invert(self) -> None:
        """Turn every shown row's mark round."""
        self.set_marks(self._marks ^ frozenset(map(self._key, self.rows)))

    def on_click(self, event: events.Click) -> None:
        """With ctrl a click marks one row, with shift all from the cursor to it."""
        row = self.scroll_offset.y + event.y - 1
        if event.y == 0 or not (event.ctrl or event.shift) or not 0 <= row < len(self.rows):
            return
        if event.shift:
            self._mark_rows(self.cursor, row)
        else:
            self.set_marks(self._marks ^ {self._key(self.rows[row])})

    def _mark_rows(self, one: int, other: int) -> None:
        low, high = sorted((one, other))
        self.set_marks(self._marks | {self._key(item) for item in self.rows[max(0, low) : high + 1]})

    def _row_style(self, item: Item, on_cursor: bool) -> Style:
        if not on_cursor and self._key(item) in self._marks:
            return self.part("table--marked")
        return super()._row_style(item, on_cursor)

    def _sign_of(self, item: Item, on_cursor: bool) -> Piece:
        return ("*", "cell--accent") if self._key(item) in self._marks else super()._sign_of(item, on_cursor)
