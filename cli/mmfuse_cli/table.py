"""Small tables for the terminal: columns fit the width by leaving, in a stated order.

Not Rich's: importing that would double the time of `mmfuse runs ls`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from mmfuse_cli.render import paint
from mmfuse_tui.clean import clean, fit

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
    cells = [{column.key: clean(row.get(column.key, "")) for column in columns} for row in rows]
    widths = {column.key: _widest(column, cells) for column in columns}
    shown = _fitting(columns, widths, width)
    _squeeze(shown, widths, width)
    title = GAP.join(fit(column.title, widths[column.key], right=column.right) for column in shown)
    return [paint(title.rstrip(), "bold"), *(_line(shown, row, widths) for row in cells)]


def _widest(column: Column, cells: Sequence[Mapping[str, str]]) -> int:
    return max([cell_len(column.title), *(cell_len(row[column.key]) for row in cells)])


def _needed(columns: Sequence[Column], widths: Mapping[str, int]) -> int:
    return sum(widths[column.key] for column in columns) + len(GAP) * (len(columns) - 1)


def _fitting(columns: Sequence[Column], widths: Mapping[str, int], width: int | None) -> list[Column]:
    """The columns that stay."""
    shown = [column for column in columns if widths[column.key]]
    for column in sorted(shown, key=lambda column: -column.leaves):
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


def _line(columns: Sequence[Column], row: Mapping[str, str], widths: Mapping[str, int]) -> str:
    parts = []
    for column in columns:
        text = fit(row[column.key], widths[column.key], right=column.right)
        first = row[column.key].partition(" ")[0]
        parts.append(paint(text, (column.colours or {}).get(first, "")))
    return GAP.join(parts).rstrip()
