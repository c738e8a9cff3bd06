"""A table that draws only the lines on the screen, so that ten thousand rows cost what forty do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from mmfuse_tui.columns import Column, Item, Piece, choose_columns, fit_pieces
from mmfuse_tui.painted import Painted
from mmfuse_tui.states import STATE_STYLES

CELL_STYLES = frozenset({"cell--dim", "cell--strong", "cell--accent", "cell--bar", "cell--track", "cell--mark"})
"""Component classes that cells may use beside those of states."""


Layout = tuple[tuple[Column[Item], int], ...]
"""Columns with their widths, left to right."""


Face = tuple[Piece, bool, tuple[Piece, ...]]
"""A row as it is seen: its sign, whether the cursor is on it, and its cells."""


class Table(ScrollView, Painted, Generic[Item], can_focus=True):
    """Rows under fixed headings with one cursor that stays on its row when rows come, go or change places."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--head",
        "table--head-sorted",
        "table--cursor",
        "table--marked",
        *CELL_STYLES,
        *STATE_STYLES,
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="table.down"),
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="table.page-down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="table.page-up"),
        Binding("home,g", "end(-1)", "First", show=False, id="table.first"),
        Binding("end,G", "end(1)", "Last", show=False, id="table.last"),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)
    sorted_by: reactive[str] = reactive("")
    descending: reactive[bool] = reactive(True)

    class Told(Message):
        """What a table tells: which one it is."""

        def __init__(self, table: Table[Any]) -> None:
            super().__init__()
            # Not the widget whose handler set this off: where that is our parent, nobody above it would be told.
            self.set_sender(table)
            self.table = table

        @property
        def control(self) -> Widget:
            """The table, for ``@on`` selectors."""
            return self.table

    class Moved(Told):
        """The cursor stands on another item (``key`` None: there is none)."""

        def __init__(self, table: Table[Any], key: str | None) -> None:
            super().__init__(table)
            self.key = key

    class Scrolled(Told):
        """Other rows are visible than before."""

    class HeadPressed(Told):
        """A heading was clicked."""

        def __init__(self, table: Table[Any], column: str) -> None:
            super().__init__(table)
            self.column = column

    def __init__(
        self, columns: Sequence[Column[Item]], *, key: Callable[[Item], str], empty: str = "", id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self._columns = columns
        self._key = key
        self._empty = empty
        self._rows: tuple[Item, ...] = ()
        self._cursor_key: str | None = None
        self._drawn: tuple[object, list[Face]] = (None, [])
        self._laid_out: tuple[object, Layout[Item]] = (None, ())

    @property
    def rows(self) -> tuple[Item, ...]:
        """The rows, in the order shown."""
        return self._rows

    @property
    def selected(self) -> Item | None:
        """The item under the cursor."""
        return self._rows[self.cursor] if 0 <= self.cursor < len(self._rows) else None

    @property
    def on_screen(self) -> tuple[Item, ...]:
        """The rows on the screen."""
        top = self.scroll_offset.y
        return self._rows[top : top + self._room]

    def set_rows(self, rows: tuple[Item, ...], *, empty: str | None = None) -> None:
        """Show these rows; the cursor follows its item, or stays at its height when the item is gone."""
        self._rows = rows
        if empty is not None:
            self._empty = empty
        self._resize()
        place = self._place_of(self._cursor_key)
        self.cursor = min(self.cursor, max(0, len(rows) - 1)) if place is None else place
        self._remember()
        self._keep_cursor_visible()
        self.redraw_if_stale()
        self.post_message(self.Scrolled(self))

    def select(self, key: str) -> bool:
        """Put the cursor on the item of that key; whether it is among the rows."""
        place = self._place_of(key)
        if place is not None:
            self._move_to(place)
        return place is not None

    def redraw_if_stale(self) -> None:
        """Repaint the rows that would look different by now: news of runs, ages, times left."""
        frame = (self.size, self.scroll_offset.y, self._layout(), self._empty if not self._rows else "")
        faces = [self._face(row) for row in range(self.scroll_offset.y, self.scroll_offset.y + len(self.on_screen))]
        (drawn_frame, drawn), self._drawn = self._drawn, (frame, faces)
        if frame != drawn_frame or len(faces) != len(drawn):
            self.refresh()
            return
        stale = [place for place, (face, before) in enumerate(zip(faces, drawn, strict=True)) if face != before]
        if stale:
            self.refresh(*(Region(0, place + 1, self.size.width, 1) for place in stale))

    def _face(self, row: int) -> Face:
        """All that a row's looks depend on."""
        item, on_cursor = self._rows[row], row == self.cursor
        return self._sign_of(item, on_cursor), on_cursor, self._pieces(item, self._layout())

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self._move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by screens."""
        self._move_to(self.cursor + by * max(1, self._room - 1))

    def action_end(self, which: int) -> None:
        """Move the cursor to the first or the last row."""
        self._move_to(0 if which < 0 else len(self._rows) - 1)

    def render_line(self, y: int) -> Strip:
        """Headings on the first line, then the rows from the scroll position on."""
        width = self.size.width
        base = self.base
        if y == 0:
            return self._head(width)
        row = self.scroll_offset.y + y - 1
        if row >= len(self._rows):
            text = f"  {self._empty}" if not self._rows and y == 2 else ""
            return Strip([Segment(text, base + self.part("cell--dim"))]).adjust_cell_length(width, base)
        on_cursor = row == self.cursor
        base += self._row_style(self._rows[row], on_cursor)
        sign, part = self._sign_of(self._rows[row], on_cursor)
        mark = Segment(sign, base + self.part(part))
        pieces = self._pieces(self._rows[row], self._layout())
        segments = [mark, *(Segment(text, base + self.part(style) if style else base) for text, style in pieces)]
        return Strip(segments).adjust_cell_length(width, base)

    def watch_cursor(self, before: int, now: int) -> None:
        """Keep the cursor on the screen; where nothing scrolls, two rows are all there is to repaint."""
        top = self.scroll_offset.y
        self._keep_cursor_visible()
        if self.scroll_offset.y != top:
            self.refresh()
        else:
            self.refresh(*(Region(0, row - top + 1, self.size.width, 1) for row in (before, now) if row >= top))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tell which rows are visible now."""
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Scrolled(self))

    def on_resize(self) -> None:
        """The width decides which columns fit."""
        self._resize()
        self._keep_cursor_visible()
        self.post_message(self.Scrolled(self))

    def on_click(self, event: events.Click) -> None:
        """A heading sorts, a row takes the cursor."""
        if event.y > 0:
            self._move_to(self.scroll_offset.y + event.y - 1)
            return
        left = 1
        for column, width in self._layout():
            if left <= event.x < left + width:
                self.post_message(self.HeadPressed(self, column.name))
            left += width + self._gap

    def set_columns(self, columns: Sequence[Column[Item]]) -> None:
        """Show these columns, as far as they fit."""
        self._columns = columns
        self.refresh()

    def _row_style(self, item: Item, on_cursor: bool) -> Style:
        """What lies under a row's cells."""
        return self.part("table--cursor") if on_cursor else Style.null()

    def _sign_of(self, item: Item, on_cursor: bool) -> Piece:
        """What stands left of a row, and its component class."""
        return ("▌" if on_cursor else " ", "cell--mark")

    @property
    def _room(self) -> int:
        return max(0, self.scrollable_content_region.height - 1)

    @property
    def _gap(self) -> int:
        return 2 if self.size.width >= 110 else 1

    def _layout(self) -> Layout[Item]:
        """The columns that fit and their widths, worked out once per width: every line asks for them."""
        width = self.size.width
        known_for, layout = self._laid_out
        if known_for != (width, self._columns):
            layout = choose_columns(self._columns, width - 3, gap=self._gap)
            self._laid_out = ((width, self._columns), layout)
        return layout

    def _head(self, width: int) -> Strip:
        base = self.base + self.part("table--head")
        segments = [Segment(" ", base)]
        for column, cells in self._layout():
            is_sorted = column.name == self.sorted_by
            arrow = ("▼" if self.descending else "▲") if is_sorted else ""
            title = column.title + (f" {arrow}" if arrow and len(column.title) + 2 <= cells else arrow)
            style = base + self.part("table--head-sorted") if is_sorted else base
            [*fitted] = fit_pieces([(title, "")], cells, right=column.right)
            segments += [Segment(text, style) for text, _ in fitted]
            segments.append(Segment(" " * self._gap, base))
        return Strip(segments).adjust_cell_length(width, base)

    def _pieces(self, item: Item, layout: Layout[Item]) -> tuple[tuple[str, str], ...]:
        pieces: list[tuple[str, str]] = []
        gap = (" " * self._gap, "")
        for column, width in layout:
            pieces += fit_pieces(column.pieces(item, width), width, right=column.right)
            pieces.append(gap)
        return tuple(pieces)

    def _move_to(self, row: int) -> None:
        before = self._cursor_key
        self.cursor = max(0, min(row, len(self._rows) - 1))
        self._remember(before)

    def _remember(self, before: str | None = None) -> None:
        item = self.selected
        before = before or self._cursor_key
        self._cursor_key = None if item is None else self._key(item)
        if self._cursor_key != before:
            self.post_message(self.Moved(self, self._cursor_key))

    def _place_of(self, key: str | None) -> int | None:
        if key is None:
            return None
        return next((place for place, item in enumerate(self._rows) if self._key(item) == key), None)

    def _resize(self) -> None:
        self.virtual_size = Size(0, len(self._rows) + 1)

    def _keep_cursor_visible(self) -> None:
        """Scroll so that the cursor is below the headings and above the lower edge."""
        if self._room:
            self.scroll_to_region(Region(0, self.cursor, 1, 2), animate=False, force=True, immediate=True, x_axis=False)
