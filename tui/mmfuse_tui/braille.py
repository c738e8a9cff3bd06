"""Curves as braille: two by four dots in every cell, one vertical span per dot column.

The drawing is exact where it matters: the dot of every sample is lit, lit columns are joined along the straight line
between neighbouring samples, also those that lie outside of the window, and nothing else is lit. Samples that are not
numbers break the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmfuse_tui.curves import between

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EMPTY = "\N{BRAILLE PATTERN BLANK}"
_DOT_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of the dot at (row, column) of a cell, from the Unicode block's definition."""


@dataclass(frozen=True)
class Window:
    """The part of the plane a canvas shows, and how many cells show it."""

    columns: int
    rows: int
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def dot_columns(self, x: Any) -> Any:
        """Dot column of each x, unrounded: 0 is the middle of the first, ``2 * columns - 1`` that of the last."""
        return (x - self.x_low) * ((2 * self.columns - 1) / (self.x_high - self.x_low))

    def dot_rows(self, y: Any) -> Any:
        """Dot row of each y from the top, unrounded; ``y_high`` is row 0."""
        return (self.y_high - y) * ((4 * self.rows - 1) / (self.y_high - self.y_low))


@dataclass(frozen=True, eq=False)
class Canvas:
    """What was drawn: per cell the braille character's bits and the index of the topmost curve, -1 for none.

    Shape: bits (rows, columns) uint8, owner (rows, columns) int16.
    """

    bits: Any
    owner: Any

    def text(self, row: int) -> str:
        """One row of cells as braille characters."""
        codes: bytes = (self.bits[row].astype("<u4") + 0x2800).tobytes()
        return codes.decode("utf-32-le")


def draw(series: Sequence[tuple[Floats, Floats]], window: Window) -> Canvas:
    """All series on one canvas; the later one owns a cell that two of them cross."""
    import numpy as np

    bits = np.zeros((window.rows, window.columns), dtype=np.uint8)
    owner = np.full((window.rows, window.columns), -1, dtype=np.int16)
    for index, (x, y) in enumerate(series):
        drawn = _pack(_dots(x, y, window))
        bits |= drawn
        owner[drawn > 0] = index
    return Canvas(bits, owner)


def shade(x: Floats, low: Floats, high: Floats, window: Window) -> Canvas:
    """A band: both its edges, and between them every other dot, so that a line in it stands out."""
    import numpy as np

    height, width = 4 * window.rows, 2 * window.columns
    at = window.x_low + np.arange(width) * ((window.x_high - window.x_low) / (width - 1))
    top, bottom = (np.rint(window.dot_rows(np.interp(at, x, edge))) for edge in (high, low))
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    inside = (rows >= top) & (rows <= bottom) & (at >= x[0]) & (at <= x[-1])
    bits = _pack(inside & (((rows + columns) % 2 == 0) | (rows == top) | (rows == bottom)))
    return Canvas(bits, np.where(bits > 0, 0, -1))


def _dots(x: Floats, y: Floats, window: Window) -> Any:
    """Lit dots of one series. Shape: (P,), (P,) -> (4 * rows, 2 * columns) bool."""
    import numpy as np

    height, width = 4 * window.rows, 2 * window.columns
    x, y = between(x, y, window.x_low, window.x_high)
    shown = np.isfinite(y)
    piece = np.cumsum(~shown)
    if not shown.any():
        return np.zeros((height, width), dtype=bool)
    column = np.rint(window.dot_columns(x[shown])).astype(np.int64).clip(0, width - 1)
    row = window.dot_rows(y[shown])
    high, low = _spans(column, row, piece[shown], width)
    rows = np.arange(height)[:, None]
    return (rows >= np.rint(high)) & (rows <= np.rint(low))


def _spans(column: Any, row: Any, piece: Any, width: int) -> tuple[Any, Any]:
    """Per dot column the topmost and lowest row touched; an untouched column has an empty span.

    Within a column the span covers its samples. Two neighbouring columns of samples are joined by a straight line, of
    which every column in between, and each of the two, takes its share up to the boundary with the next column.
    """
    import numpy as np

    starts = np.flatnonzero(np.diff(column, prepend=-1))
    ends = np.append(starts[1:], len(column)) - 1
    occupied = column[starts]
    high, low = np.full(width, np.inf), np.full(width, -np.inf)
    high[occupied] = np.minimum.reduceat(row, starts)
    low[occupied] = np.maximum.reduceat(row, starts)
    boundary = np.arange(width - 1) + 0.5
    left = np.searchsorted(occupied, boundary) - 1
    inside = (left >= 0) & (left < len(occupied) - 1)
    left = left[inside]
    boundary = boundary[inside]
    joined = piece[ends[left]] == piece[starts[left + 1]]
    left, boundary = left[joined], boundary[joined]
    share = (boundary - occupied[left]) / (occupied[left + 1] - occupied[left])
    crossing = row[ends[left]] * (1 - share) + row[starts[left + 1]] * share
    before = boundary.astype(np.int64)
    for touched in (before, before + 1):
        high[touched] = np.minimum(high[touched], crossing)
        low[touched] = np.maximum(low[touched], crossing)
    return high, low


def _pack(dots: Any) -> Any:
    """Dots to braille bits. Shape: (4R, 2C) bool -> (R, C) uint8."""
    import numpy as np

    height, width = dots.shape
    cells = dots.reshape(height // 4, 4, width // 2, 2)
    bits = np.zeros((height // 4, width // 2), dtype=np.uint8)
    for row, pair in enumerate(_DOT_BITS):
        for column, bit in enumerate(pair):
            bits |= cells[:, row, :, column].astype(np.uint8) * np.uint8(bit)
    return bits
