"""Boxes and wires on a grid of characters: what diagrams are drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from rich.cells import cell_len

from mmfuse_tui.clean import fit

Piece = tuple[str, str]
"""Text and the component class that colours it ("" for none)."""
Line = tuple[Piece, ...]
Point = tuple[int, int]

BOX_HEIGHT = 3
_NORTH, _EAST, _SOUTH, _WEST = 1, 2, 4, 8
_WIRES = " │─└││┌├─┘─┴┐┤┬┼"
"""The character for every set of directions that wires leave a cell in; loose ends reach over the whole cell."""


class Sketch:
    """A drawing that grows to the right and downwards; x and y count cells from the upper left corner."""

    def __init__(self) -> None:
        self._cells: dict[Point, Piece] = {}
        self._wires: dict[Point, int] = {}

    def text(self, x: int, y: int, words: str, style: str = "") -> None:
        """Words from (x, y) to the right, over whatever is there."""
        for character in words:
            self._cells[x, y] = (character, style)
            x += 1
            if cell_len(character) == 2:
                self._cells[x, y] = ("", style)
                x += 1

    def box(self, x: int, y: int, width: int, title: str, words: str = "", *, style: str = "plot--title") -> None:
        """A frame three rows high with its title in the upper edge and ``words`` inside."""
        name = fit(title, min(cell_len(title), width - 4))
        self.text(x, y, "╭ " + " " * cell_len(name) + " " + "─" * (width - cell_len(name) - 4) + "╮", "plot--axis")
        self.text(x + 2, y, name, style)
        self.text(x, y + 1, "│" + " " * (width - 2) + "│", "plot--axis")
        self.text(x + 2, y + 1, fit(words, width - 4), "plot--label")
        self.text(x, y + 2, "╰" + "─" * (width - 2) + "╯", "plot--axis")

    def wire(self, *points: Point) -> None:
        """A line along horizontal and vertical pieces; where wires meet they join."""
        for (x, y), (to_x, to_y) in pairwise(points):
            step = ((to_x > x) - (to_x < x), (to_y > y) - (to_y < y))
            out, back = _DIRECTIONS[step]
            while (x, y) != (to_x, to_y):
                self._wires[x, y] = self._wires.get((x, y), 0) | out
                x, y = x + step[0], y + step[1]
                self._wires[x, y] = self._wires.get((x, y), 0) | back

    def lines(self) -> list[Line]:
        """The drawing, row by row; text lies over wires."""
        cells = {point: (_WIRES[ways], "plot--axis") for point, ways in self._wires.items()} | self._cells
        height = max((y for _, y in cells), default=-1) + 1
        return [_line([cells.get((x, y), (" ", "")) for x in range(_row_width(cells, y))]) for y in range(height)]


_DIRECTIONS = {
    (0, 0): (0, 0),
    (1, 0): (_EAST, _WEST),
    (-1, 0): (_WEST, _EAST),
    (0, 1): (_SOUTH, _NORTH),
    (0, -1): (_NORTH, _SOUTH),
}


def width_of(lines: Sequence[Line]) -> int:
    """Cells of the widest line."""
    return max((sum(cell_len(text) for text, _ in line) for line in lines), default=0)


def plain(lines: Sequence[Line]) -> str:
    """The drawing without colours."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def _row_width(cells: dict[Point, Piece], row: int) -> int:
    return max((x for x, y in cells if y == row), default=-1) + 1


def _line(cells: list[Piece]) -> Line:
    return tuple(
        ("".join(character for character, _ in run), style) for style, run in groupby(cells, key=lambda cell: cell[1])
    )
