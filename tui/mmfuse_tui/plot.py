"""A chart as rows of text with roles: axes, legend, curves, marks. Knows no widget and no colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from mmfuse_tui import wording
from mmfuse_tui.axes import padded, tick_labels, ticks
from mmfuse_tui.braille import EMPTY, Canvas, Window, draw
from mmfuse_tui.clean import clean, fit

if TYPE_CHECKING:
    from mmfuse_tui.curves import ChartData, Curve

MARKS = "●◆▲■★✚▼◇○□"
"""Sign of each curve, at its last point and in the legend: curves are told apart without colour too."""
SERIES_STYLES = tuple(f"series--{index}" for index in range(6))
"""Colours go round after six; with their signs, ten curves are told apart."""
PLOT_STYLES = frozenset({*SERIES_STYLES, "plot--title", "plot--axis", "plot--label", "plot--value", "plot--alarm"})
"""Component classes a widget that draws plots has to list."""

_LABEL_WIDTH = 7
_NAN, _ABOVE, _BELOW, _DOT = "×", "▴", "▾", "•"

Run = tuple[str, str]
"""A piece of a row: text, and the component class that colours it ("" for none)."""


@dataclass(frozen=True, eq=False)
class Plot:
    """A drawn chart: ``rows`` of runs, and the canvas and window behind its curves (None when nothing fits)."""

    source: ChartData
    rows: tuple[tuple[Run, ...], ...]
    canvas: Canvas | None = None
    window: Window | None = None


def make_plot(chart: ChartData, width: int, height: int) -> Plot:
    """``chart`` in ``width`` x ``height`` cells.

    Row 0 holds title and legend, the last two the x axis, the rest the curves; with fewer than five rows the axis line
    goes, with fewer than three everything but the legend.
    """
    if width < 1 or height < 1:
        return Plot(chart, ())
    legend = _legend(chart, width)
    axis_rows = 2 if height >= 5 else 1
    columns, rows = width - _LABEL_WIDTH - 1, height - 1 - axis_rows
    window = _window(chart, columns, rows) if columns >= 4 and rows >= 1 else None
    if window is None:
        blank = ((" " * width, ""),)
        return Plot(chart, (legend, *(blank,) * (height - 1)))
    canvas = draw([(curve.steps, curve.values) for curve in chart.curves if not curve.scattered], window)
    cells = _cells(chart, canvas, window)
    labels = _y_labels(window)
    body = tuple(_body_row(labels[row], cells[row]) for row in range(rows))
    return Plot(chart, (legend, *body, *_x_axis(window, chart, axis_rows)), canvas, window)


def _window(chart: ChartData, columns: int, rows: int) -> Window | None:
    """The window that shows every sample of every curve; None while there is no finite one."""
    import numpy as np

    steps = [curve.steps for curve in chart.curves if len(curve.steps)]
    finite = [curve.values[np.isfinite(curve.values)] for curve in chart.curves]
    finite = [values for values in finite if len(values)]
    if not steps or not finite:
        return None
    x_low, x_high = min(float(x[0]) for x in steps), max(float(x[-1]) for x in steps)
    y_low, y_high = padded(min(float(y.min()) for y in finite), max(float(y.max()) for y in finite))
    return Window(columns, rows, x_low, x_high if x_high > x_low else x_low + 1, y_low, y_high)


def _cells(chart: ChartData, canvas: Canvas, window: Window) -> list[list[Run]]:
    """Every cell of the canvas as (character, style), marks laid over the braille."""
    styles = [*(style_of(index) for index, curve in enumerate(chart.curves) if not curve.scattered), ""]
    cells = [
        [(character, styles[owner]) for character, owner in zip(canvas.text(row), canvas.owner[row], strict=True)]
        for row in range(window.rows)
    ]
    for index, curve in enumerate(chart.curves):
        if curve.scattered:
            _scatter(cells, curve, window, index)
        _mark_alarms(cells, curve, window)
    for index, curve in enumerate(chart.curves):
        _mark_last(cells, curve, window, index)
    return cells


def style_of(index: int) -> str:
    """Component class of the curve at ``index``."""
    return SERIES_STYLES[index % len(SERIES_STYLES)]


def mark_of(index: int) -> str:
    """Sign of the curve at ``index``."""
    return MARKS[index % len(MARKS)]


def _scatter(cells: list[list[Run]], curve: Curve, window: Window, index: int) -> None:
    sign = mark_of(index) if curve.signed else _DOT
    for row, column in _places(curve, window):
        cells[row][column] = (sign, style_of(index))


def _mark_alarms(cells: list[list[Run]], curve: Curve, window: Window) -> None:
    """Values that are no numbers, on the frame at their step: NaN and -infinity below, infinity above."""
    import numpy as np

    odd = np.flatnonzero(~np.isfinite(curve.values))
    columns = np.rint(window.dot_columns(curve.steps[odd])).astype(int) // 2
    for value, column in zip(curve.values[odd], columns, strict=True):
        sign = _NAN if math.isnan(value) else _ABOVE if value > 0 else _BELOW
        cells[0 if sign == _ABOVE else -1][int(column)] = (sign, "plot--alarm")


def _mark_last(cells: list[list[Run]], curve: Curve, window: Window, index: int) -> None:
    places = _places(curve, window)
    if len(places) and not curve.scattered:
        row, column = places[-1]
        cells[row][column] = (mark_of(index), style_of(index))


def _places(curve: Curve, window: Window) -> Any:
    """Cell (row, column) of every finite sample. Shape: (P, 2) int."""
    import numpy as np

    finite = np.isfinite(curve.values)
    columns = np.rint(window.dot_columns(curve.steps[finite])).astype(int) // 2
    rows = np.rint(window.dot_rows(curve.values[finite])).astype(int) // 4
    return np.stack([rows, columns], axis=1)


def _body_row(label: str, cells: list[Run]) -> tuple[Run, ...]:
    joined = [
        ("".join(character for character, _ in run).replace(EMPTY, " "), style)
        for style, run in groupby(cells, key=lambda cell: cell[1])
    ]
    frame = "┤" if label else "│"
    return ((label.rjust(_LABEL_WIDTH), "plot--label"), (frame, "plot--axis"), *joined)


def _y_labels(window: Window) -> list[str]:
    """One label per row, empty where no tick falls."""
    labels = [""] * window.rows
    marks = ticks(window.y_low, window.y_high, at_most=max(1, window.rows // 3))
    for mark, label in zip(marks, tick_labels(marks), strict=True):
        labels[round(float(window.dot_rows(mark))) // 4] = fit(label, _LABEL_WIDTH).strip()
    return labels


def _x_axis(window: Window, chart: ChartData, rows: int) -> list[tuple[Run, ...]]:
    room = max(1, min(window.columns // 10, 10))
    every = ticks(window.x_low, window.x_high, at_most=room)
    marks = [mark for mark in every if mark == int(mark) or not chart.x_whole]
    line, text = ["─"] * window.columns, [" "] * window.columns
    for mark, name in zip(marks, tick_labels(marks), strict=True):
        column = round(float(window.dot_columns(mark))) // 2
        start = min(max(0, column - len(name) // 2), window.columns - len(name))
        if start < 0 or "".join(text[max(0, start - 1) : start + len(name) + 1]).strip():
            continue
        line[column] = "┬"
        text[start : start + len(name)] = name
    gutter = " " * _LABEL_WIDTH
    below = ((fit(chart.x_label, _LABEL_WIDTH, right=True) + " ", "plot--label"), ("".join(text), "plot--label"))
    return [((gutter + "└" + "".join(line), "plot--axis"),), below][2 - rows :]


def _legend(chart: ChartData, width: int) -> tuple[Run, ...]:
    """Title, then each curve's sign, name, last value and best one, as long as there is room; padded to ``width``."""
    pieces: list[Run] = [(fit(clean(chart.title), min(width, cell_len(clean(chart.title)))), "plot--title")]
    room = width - cell_len(pieces[0][0])
    for index, curve in enumerate(chart.curves):
        entry = _legend_entry(curve, index, chart.maximize)
        needed = sum(cell_len(text) for text, _ in entry)
        if needed > room:
            entry = entry[:3]
            needed = sum(cell_len(text) for text, _ in entry)
        if needed > room:
            break
        pieces += entry
        room -= needed
    return (*pieces, (" " * room, ""))


def _legend_entry(curve: Curve, index: int, maximize: bool | None) -> Sequence[Run]:
    name = clean(curve.name.partition("/")[0] or curve.name)
    entry = [
        (f"  {_DOT if curve.scattered and not curve.signed else mark_of(index)} ", style_of(index)),
        (name, "plot--label"),
    ]
    if not len(curve.values) or not curve.valued:
        return entry
    entry.append((f" {wording.number(float(curve.values[-1]))}", "plot--value"))
    best = _best(curve, maximize)
    if best is not None:
        entry.append((f" {'max' if maximize else 'min'} {wording.number(best)}", "plot--label"))
    return entry


def _best(curve: Curve, maximize: bool | None) -> float | None:
    import numpy as np

    finite = curve.values[np.isfinite(curve.values)]
    if maximize is None or not len(finite) or curve.scattered:
        return None
    return float(finite.max() if maximize else finite.min())
