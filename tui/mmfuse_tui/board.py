"""A page of titled drawings, in as many columns as fit, scrolled like a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from mmfuse_tui.columns import fit_pieces
from mmfuse_tui.painted import Painted
from mmfuse_tui.plot import PLOT_STYLES
from mmfuse_tui.sketch import Line, width_of
from mmfuse_tui.table import CELL_STYLES

COLUMN_WIDTH = 58
"""Cells a column of drawings has at least where there is more than one."""
WIDEST_COLUMN = 120
"""Cells a column has at most: wider drawings are no better, and their text runs too far from left to right."""
_GAP = 3


@dataclass(frozen=True, eq=False)
class Block:
    """A titled drawing: ``draw`` gives its lines at a width."""

    title: str
    draw: Callable[[int], list[Line]]


class BoardView(ScrollView, Painted, can_focus=True):
    """Blocks, each below the shortest column so far; drawn when they are looked at, and again when they change."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"facts--title", "facts--problem", *PLOT_STYLES, *CELL_STYLES}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_down", "Down", show=False, tooltip="Scroll down", id="board.down"),
        Binding("up,k", "scroll_up", "Up", show=False, tooltip="Scroll up", id="board.up"),
        Binding("pagedown,ctrl+d", "page_down", "Page down", show=False, tooltip="A page down", id="board.page-down"),
        Binding("pageup,ctrl+u", "page_up", "Page up", show=False, tooltip="A page up", id="board.page-up"),
        Binding("home,g", "scroll_home", "Top", show=False, tooltip="To the top", id="board.first"),
        Binding("end,G", "scroll_end", "Bottom", show=False, tooltip="To the end", id="board.last"),
    ]

    def __init__(self, *, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self._blocks: tuple[Block, ...] = ()
        self._empty = empty
        self._lines: list[Line] | None = None
        self._drawn_width = self._drawn_height = -1

    def set_blocks(self, blocks: tuple[Block, ...]) -> None:
        """Show these blocks from now on."""
        self._blocks = blocks
        self._lines = None
        if self.is_on_screen:
            self._arrange()

    def on_mount(self) -> None:
        """A bar that comes takes a column, in which something stood."""
        self.watch(self, "show_vertical_scrollbar", self._arrange_later, init=False)

    def on_resize(self) -> None:
        """Another size, another drawing."""
        if self.size.height != self._drawn_height:
            self._lines = None
        self._arrange()

    def on_show(self) -> None:
        """What changed while nobody looked is drawn now."""
        self._arrange()

    def render_line(self, y: int) -> Strip:
        """One line from the scroll position on."""
        base, lines = self.base, self._lines or []
        index = self.scroll_offset.y + y
        line = lines[index] if index < len(lines) else ()
        segments = [Segment(text, base + self.part(part) if part else base) for text, part in line]
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _arrange_later(self) -> None:
        self.call_after_refresh(self._arrange)

    def _arrange(self) -> None:
        """Draw all blocks, unless this was done at this width already."""
        width = self.scrollable_content_region.width
        if width <= 0 or (self._lines is not None and width == self._drawn_width):
            return
        self._drawn_width, self._drawn_height = width, self.size.height
        empty: list[Line] = [(), (("  " + self._empty, "cell--dim"),)]
        self._lines = in_columns(self._blocks, width, height=self.size.height) if self._blocks else empty
        self.virtual_size = Size(0, len(self._lines))
        self.refresh()


def in_columns(blocks: tuple[Block, ...], width: int, *, height: int = 0) -> list[Line]:
    """The blocks drawn side by side where there is room, in reading order.

    In as few columns as show everything in ``height`` lines, so that drawings are as large as the page allows; where
    none does, in as many as there is room for.
    """
    most = max(1, min(len(blocks), (width + _GAP) // (COLUMN_WIDTH + _GAP)))
    for count in range(min(most, -(-width // WIDEST_COLUMN)), most):
        lines = _in_so_many(blocks, width, count)
        if len(lines) <= height:
            return lines
    return _in_so_many(blocks, width, most)


def _in_so_many(blocks: tuple[Block, ...], width: int, count: int) -> list[Line]:
    """Each block below the column that is shortest so far."""
    wide = (width - _GAP * (count - 1)) // count
    columns: list[list[Line]] = [[] for _ in range(count)]
    for block in blocks:
        column = min(columns, key=len)
        if column:
            column.append(())
        column += [((block.title, "facts--title"),)] if block.title else []
        column += [*(_cut(line, wide) for line in block.draw(wide))]
    return _beside(columns, wide)


def _beside(columns: list[list[Line]], wide: int) -> list[Line]:
    if len(columns) == 1:
        return columns[0]
    height = max(map(len, columns))
    lines: list[Line] = []
    for row in range(height):
        pieces: list[tuple[str, str]] = []
        for column in columns:
            line = column[row] if row < len(column) else ()
            pieces += [*line, (" " * (wide - width_of([line]) + _GAP), "")]
        lines.append(tuple(pieces))
    return lines


def _cut(line: Line, width: int) -> Line:
    """The line in at most ``width`` cells."""
    if width_of([line]) <= width:
        return line
    return tuple(fit_pieces(line, width))
