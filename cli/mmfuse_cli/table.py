"""Small tables for the terminal: columns fit the width by leaving, in a stated order.

Not Rich's: importing that would double the time of `mmfuse runs ls`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


def draw(columns: Sequence[Column], rows: Sequence[Mapping[str, str]], *, width: int | None = None) -> list[str]:
    """The lines of a table, title first; ``width`` is the space there is (None: as wide as it needs)."""
    cells = {column.key: [clean(row.get(column.key, "")) for row in rows] for column in columns}
    widths = {column.key: max(map(_cells, (column.title, *cells[column.key]))) for column in columns}
    shown = _fitting([column for column in columns if any(cells[column.key]) or not rows], widths, width)
    _squeeze(shown, widths, width)
    title = GAP.join(_fit(column.title, widths[column.key], right=column.right) for column in shown)
    drawn = [_painted(column, cells[column.key], widths[column.key]) for column in shown]
    return [paint(title.rstrip(), "bold"), *(GAP.join(line).rstrip() for line in zip(*drawn, strict=True))]


def _cells(text: str) -> int:
    """Terminal cells ``text`` takes; nearly always it is plain ASCII, where that is its length."""
    return len(text) if text.isascii() else cell_len(text)


def _fit(text: str, width: int, *, right: bool) -> str:
    if len(text) > width or not text.isascii():
        return fit_wide(text, width, right=right)
    return text.rjust(width) if right else text.ljust(width)


def _painted(column: Column, texts: Sequence[str], width: int) -> list[str]:
    """The column's cells at their width, coloured by their first word where colours are shown."""
    fitted = [_fit(text, width, right=column.right) for text in texts]
    if not column.colours or not colourful(sys.stdout):
        return fitted
    colours = [column.colours.get(text.partition(" ")[0], "") for text in texts]
    return [paint(text, colour) for text, colour in zip(fitted, colours, strict=True)]


def _needed(columns: Sequence[Column], widths: Mapping[str, int]) -> int:
    return sum(widths[column.key] for column in columns) + len(GAP) * (len(columns) - 1)


def _fitting(columns: Sequence[Column], widths: Mapping[str, int], width: int | None) -> list[Column]:
    """The columns that stay."""
    shown = list(columns)
    for column in sorted(columns, key=lambda column: -column.leaves):
        if width is None or _needed(shown, widths) <= width or not column.leaves:
            break
        shown.remove(column)
    return shown


def _squeeze(columns: Sequence[Column], widths: dict[str, int], width: int | None) -> None:
    """Shorten the widest columns until the table fits, never below eight cells."""
    while width is not None and columns and _needed(columns, widths) > width:
        widest = max(columns, key=lambda column: widths[column.key])
        if widths[widest.key] <= 8:
            return
        widths[widest.key] -= 1
