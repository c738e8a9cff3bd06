"""Small tables for the terminal: columns fit the width by leaving, in a stated order.

Not Rich's: importing that would double the time of `mmfuse runs ls`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.cells import cell_len

from mmfuse_cli.render import colourful, paint
from mmfuse_tui.clean import clean
from mmfuse_tui.clean import fit as fit_wide

GAP = "  "


@dataclass(frozen=True)
class Column:
    """A column: its key in the rows, its title, and when it leaves.

    Of the columns with ``leaves`` above 0 the one with the highest leaves first when the table is too wide; the
    others stay. ``colours`` maps the first word of a cell to a colour.
    """

    key: str
    title: str
    right: bool = False
    leaves: int = 0
    colours: Mapping[str, str] | None = None


class Row(Protocol):
    """A row: any mapping will do."""

    def get(self, key: str, default: str, /) -> str:
        """The cell of a column."""


def draw(columns: Sequence[Column], rows: Sequence[Row], *, width: int | None = None) -> list[str]:
    """The lines of a table, title first; ``width`` is the space there is (None: as wide as it needs)."""
    shown = _staying(columns, rows, width)
    _squeeze(shown, width)
    title = GAP.join(_fit(each.column.title, each.width, right=each.column.right) for each in shown)
    painted = [_painted(each) for each in shown]
    lines = (GAP.join(cells[number] for cells in painted) for number in range(len(rows)))
    return [paint(title.rstrip(), "bold"), *(line.rstrip() for line in lines)]


@dataclass
class _Filled:
    """A column with its cells and the width it gets."""

    column: Column
    cells: Sequence[str]
    width: int


def _staying(columns: Sequence[Column], rows: Sequence[Row], width: int | None) -> list[_Filled]:
    """The columns that stay: first those that must, then the others for as long as there is room.

    Cells of columns beyond that are never worked out. A column without a single filled cell stays away.
    """
    staying: list[_Filled] = []
    for column in sorted(columns, key=lambda column: column.leaves):
        cells = [clean(row.get(column.key, "")) for row in rows]
        if rows and not any(cells):
            continue
        filled = _Filled(column, cells, max(map(_cells, (column.title, *cells))))
        if column.leaves and width is not None and _needed([*staying, filled]) > width:
            break
        staying.append(filled)
    return sorted(staying, key=lambda each: columns.index(each.column))


def _cells(text: str) -> int:
    """Terminal cells ``text`` takes; nearly always it is plain ASCII, where that is its length."""
    return len(text) if text.isascii() else cell_len(text)


def _fit(text: str, width: int, *, right: bool) -> str:
    if len(text) > width or not text.isascii():
        return fit_wide(text, width, right=right)
    return text.rjust(width) if right else text.ljust(width)


def _painted(filled: _Filled) -> list[str]:
    """The column's cells at their width, coloured by their first word where colours are shown."""
    column = filled.column
    fitted = [_fit(text, filled.width, right=column.right) for text in filled.cells]
    if not column.colours or not colourful(sys.stdout):
        return fitted
    colours = [column.colours.get(text.partition(" ")[0], "") for text in filled.cells]
    return [paint(text, colour) for text, colour in zip(fitted, colours, strict=True)]


def _needed(columns: Sequence[_Filled]) -> int:
    return sum(each.width for each in columns) + len(GAP) * (len(columns) - 1)


def _squeeze(columns: Sequence[_Filled], width: int | None) -> None:
    """Shorten the widest columns until the table fits, never below eight cells."""
    while width is not None and columns and _needed(columns) > width:
        widest = max(columns, key=lambda each: each.width)
        if widest.width <= 8:
            return
        widest.width -= 1
