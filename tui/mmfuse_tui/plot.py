"""A chart as rows of text with roles: axes, legend, curves, marks. Knows no widget and no colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from mmfuse_tui import wording
from mmfuse_tui.axes import padded, tick_labels, ticks
from mmfuse_tui.braille import EMPTY, Canvas, Window, draw
from mmfuse_tui.chart_view import PLAIN, ChartView, arranged, logarithmic
from mmfuse_tui.clean import clean, fit

if TYPE_CHECKING:
    from mmfuse_tui.curves import ChartData, Curve

MARKS = "●◆▲■★✚▼◇○□"
"""Sign of each curve, at its last point and in the legend: curves are told apart without colour too."""
SERIES_STYLES = tuple(f"series--{index}" for index in range(6))
"""Colours go round after six; with their signs, ten curves are told apart."""
PLOT_STYLES = frozenset({*SERIES_STYLES, "plot--title", "plot--axis", "plot--label", "plot--value", "plot--alarm"})
"""Component classes a widget that draws plots has to list."""

LABEL_WIDTH = 7
"""Cells of the y axis's labels; the frame stands behind them."""
_NAN, _ABOVE, _BELOW, _DOT, _BEST = "×", "▴", "▾", "•", "☆"

Run = tuple[str, str]
"""A piece of a row: text, and the component class that colours it ("" for none)."""


@dataclass(frozen=True, eq=False)
class Plot:
    """A drawn chart: ``rows`` of runs, and the canvas and window behind its curves (None when nothing fits)."""

    source: ChartData
    rows: tuple[tuple[Run, ...], ...]
    canvas: Canvas | None = None
    window: Window | None = None


def make_plot(chart: ChartData, width: int, height: int, view: ChartView = PLAIN) -> Plot:
    """``chart`` in ``width`` x ``height`` cells, looked at as ``view`` says.

    Row 0 holds title and legend, the last two the x axis, the rest the curves; with fewer than five rows the axis line
    goes, with fewer than three everything but the legend.
    """
    if width < 1 or height < 1:
        return Plot(chart, ())
    seen = arranged(chart, view)
    axis_rows = 2 if height >= 5 else 1
    columns, rows = width - LABEL_WIDTH - 1, height - 1 - axis_rows
    drawn = _scaled(seen) if view.log else seen
    window = _window(drawn, columns, rows, view.span) if columns >= 4 and rows >= 1 else None
    if window is None:
        blank = ((" " * width, ""),)
        return Plot(chart, (_legend(seen, width, view.words(), None), *(blank,) * (height - 1)))
    at = None if view.cursor is None else window.x_low + view.cursor * (window.x_high - window.x_low)
    canvas = draw([(curve.steps, curve.values) for curve in drawn.curves if not curve.scattered], window)
    cells = _cells(drawn, canvas, window)
    if at is not None:
        _draw_cursor(cells, window, at)
    labels = _y_labels(window, log=view.log)
    body = tuple(_body_row(labels[row], cells[row]) for row in range(rows))
    rows_drawn = (_legend(seen, width, view.words(), at), *body, *_x_axis(window, drawn, axis_rows))
    return Plot(chart, rows_drawn, canvas, window)


def _scaled(chart: ChartData) -> ChartData:
    """The chart with logarithms for values."""
    return replace(chart, curves=tuple(replace(curve, values=logarithmic(curve.values)) for curve in chart.curves))


def _window(chart: ChartData, columns: int, rows: int, span: tuple[float, float]) -> Window | None:
    """The window that shows every sample within ``span`` of the x axis; None while there is no finite one."""
    import numpy as np

    steps = [curve.steps for curve in chart.curves if len(curve.steps)]
    if not steps:
        return None
    first, last = min(float(x[0]) for x in steps), max(float(x[-1]) for x in steps)
    x_low, x_high = (first, last) if span == (0.0, 1.0) else (first + share * (last - first) for share in span)
    shown = [curve.values[(curve.steps >= x_low) & (curve.steps <= x_high)] for curve in chart.curves]
    finite = [values[np.isfinite(values)] for values in shown]
    finite = [values for values in finite if len(values)]
    if not finite:
        return None
    y_low, y_high = padded(min(float(y.min()) for y in finite), max(float(y.max()) for y in finite))
    return Window(columns, rows, x_low, x_high if x_high > x_low else x_low + 1, y_low, y_high)


def _cells(chart: ChartData, canvas: Canvas, window: Window) -> list[list[Run]]:
    """Every cell of the canvas as (character, style), marks laid over the braille."""
    places = _places_in_legend(chart)
    styles = [_style_in(curve, place) for curve, place in zip(chart.curves, places, strict=True) if not curve.scattered]
    styles.append("")
    cells = [
        [(character, styles[owner]) for character, owner in zip(canvas.text(row), canvas.owner[row], strict=True)]
        for row in range(window.rows)
    ]
    for place, curve in zip(places, chart.curves, strict=True):
        if curve.scattered:
            _scatter(cells, curve, window, place)
    has_shadows = any(curve.shadow for curve in chart.curves)
    for place, curve in zip(places, chart.curves, strict=True):
        if curve.shadow is has_shadows and not curve.scattered:
            _mark_best(cells, curve, window, chart.maximize)  # the best is one that was measured, not a smoothed one
        if not curve.shadow and not curve.scattered:
            _mark_last(cells, curve, window, place)
    for curve in chart.curves:
        _mark_alarms(cells, curve, window)
    return cells


def _places_in_legend(chart: ChartData) -> list[int]:
    """The place of each curve in the legend; a shadow has that of its curve, which decides sign and colour."""
    shadows = sum(curve.shadow for curve in chart.curves)
    return [index if curve.shadow else index - shadows for index, curve in enumerate(chart.curves)]


def _style_in(curve: Curve, place: int) -> str:
    return "plot--axis" if curve.shadow else style_of(place)


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
    """Values that are no numbers, on the frame at their step: NaN and -infinity below, infinity above.

    Where a curve's last point is there already they go a row further in: neither may hide the other.
    """
    import numpy as np

    odd = np.flatnonzero(~np.isfinite(curve.values) & _within(curve, window))
    columns = np.rint(window.dot_columns(curve.steps[odd])).astype(int) // 2
    for value, column in zip(curve.values[odd], columns, strict=True):
        sign = _NAN if math.isnan(value) else _ABOVE if value > 0 else _BELOW
        edge, further = (0, 1) if sign == _ABOVE else (-1, -2)
        is_taken = cells[edge][column][0] in MARKS and window.rows > 1
        cells[further if is_taken else edge][column] = (sign, "plot--alarm")


def _within(curve: Curve, window: Window) -> Any:
    """Which samples lie in the part of the x axis that is shown."""
    return (curve.steps >= window.x_low) & (curve.steps <= window.x_high)


def _mark_best(cells: list[list[Run]], curve: Curve, window: Window, maximize: bool | None) -> None:
    """A star at the best value shown, the first where several are equal."""
    import numpy as np

    usable = np.isfinite(curve.values) & _within(curve, window)
    if maximize is None or not usable.any():
        return
    worst = -np.inf if maximize else np.inf
    values = np.where(usable, curve.values, worst)
    row, column = _cell_of(curve, window, int(values.argmax() if maximize else values.argmin()))
    cells[row][column] = (_BEST, "plot--value")


def _cell_of(curve: Curve, window: Window, place: int) -> tuple[int, int]:
    """Row and column of the cell that shows one sample."""
    column = round(float(window.dot_columns(curve.steps[place]))) // 2
    return round(float(window.dot_rows(curve.values[place]))) // 4, column


def _draw_cursor(cells: list[list[Run]], window: Window, at: float) -> None:
    """A vertical line where nothing else is drawn."""
    column = round(float(window.dot_columns(at))) // 2
    for row in cells:
        if row[column][0] == EMPTY:
            row[column] = ("┊", "plot--label")


def _mark_last(cells: list[list[Run]], curve: Curve, window: Window, index: int) -> None:
    import numpy as np

    usable = np.flatnonzero(np.isfinite(curve.values) & _within(curve, window))
    if len(usable):
        row, column = _cell_of(curve, window, int(usable[-1]))
        cells[row][column] = (mark_of(index), style_of(index))


def _places(curve: Curve, window: Window) -> Any:
    """Cell (row, column) of every finite sample. Shape: (P, 2) int."""
    import numpy as np

    finite = np.isfinite(curve.values) & _within(curve, window)
    columns = np.rint(window.dot_columns(curve.steps[finite])).astype(int) // 2
    rows = np.rint(window.dot_rows(curve.values[finite])).astype(int) // 4
    return np.stack([rows, columns], axis=1)


def _body_row(label: str, cells: list[Run]) -> tuple[Run, ...]:
    joined = [
        ("".join(character for character, _ in run).replace(EMPTY, " "), style)
        for style, run in groupby(cells, key=lambda cell: cell[1])
    ]
    frame = "┤" if label else "│"
    return ((label.rjust(LABEL_WIDTH), "plot--label"), (frame, "plot--axis"), *joined)


def _y_labels(window: Window, *, log: bool) -> list[str]:
    """One label per row, empty where no tick falls."""
    labels = [""] * window.rows
    marks = ticks(window.y_low, window.y_high, at_most=max(1, window.rows // 3))
    names = _powers(marks) if log else tick_labels(marks)
    for mark, label in zip(marks, names, strict=True):
        labels[round(float(window.dot_rows(mark))) // 4] = fit(label, LABEL_WIDTH).strip()
    return labels


def _powers(exponents: Sequence[float]) -> tuple[str, ...]:
    """Labels of a logarithmic axis, with as many digits as tell them apart."""
    labels: tuple[str, ...] = ()
    for digits in (2, 3, 4, 5, 6):
        labels = tuple(wording.number(10.0**exponent, digits=digits) for exponent in exponents)
        if len(set(labels)) == len(labels):
            break
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
    gutter = " " * LABEL_WIDTH
    below = ((fit(chart.x_label, LABEL_WIDTH, right=True) + " ", "plot--label"), ("".join(text), "plot--label"))
    return [((gutter + "└" + "".join(line), "plot--axis"),), below][2 - rows :]


def _legend(chart: ChartData, width: int, words: str, at: float | None) -> tuple[Run, ...]:
    """Title, then each curve's sign, name and values, as long as there is room; padded to ``width``.

    Values are the last and the best one, or with a cursor the one at it.
    """
    title = clean(chart.title) + words + ("" if at is None else f" @ {wording.number(at)}")
    pieces: list[Run] = [(fit(title, min(width, cell_len(title))), "plot--title")]
    room = width - cell_len(pieces[0][0])
    for index, curve in enumerate(curve for curve in chart.curves if not curve.shadow):
        entry = _legend_entry(curve, index, chart.maximize, at)
        needed = sum(cell_len(text) for text, _ in entry)
        if needed > room:
            entry = entry[:3]
            needed = sum(cell_len(text) for text, _ in entry)
        if needed > room:
            break
        pieces += entry
        room -= needed
    return (*pieces, (" " * room, ""))


def _legend_entry(curve: Curve, index: int, maximize: bool | None, at: float | None) -> Sequence[Run]:
    name = clean(curve.name.partition("/")[0] or curve.name)
    dotted = curve.scattered and not curve.signed
    entry = [(f"  {_DOT if dotted else mark_of(index)} ", style_of(index)), (name, "plot--label")]
    if not len(curve.values) or not curve.valued:
        return entry
    if at is not None:
        return [*entry, (f" {wording.number(value_at(curve, at))}", "plot--value")]
    entry.append((f" {wording.number(float(curve.values[-1]))}", "plot--value"))
    best = _best(curve, maximize)
    if best is not None:
        entry.append((f" {'max' if maximize else 'min'} {wording.number(best)}", "plot--label"))
    return entry


def value_at(curve: Curve, at: float) -> float:
    """The value whose step is nearest to ``at``."""
    import numpy as np

    return float(curve.values[int(np.abs(curve.steps - at).argmin())])


def _best(curve: Curve, maximize: bool | None) -> float | None:
    import numpy as np

    finite = curve.values[np.isfinite(curve.values)]
    if maximize is None or not len(finite) or curve.scattered:
        return None
    return float(finite.max() if maximize else finite.min())
