"""A chart as rows of text with roles: axes, legend, curves, marks. Knows no widget and no colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from mmfuse_tui import wording
from mmfuse_tui.axes import RESOLUTION, padded, power_labels, tick_labels, ticks
from mmfuse_tui.braille import EMPTY, Canvas, Window, draw, shade
from mmfuse_tui.chart_view import PLAIN, ChartView, arranged, logarithmic
from mmfuse_tui.clean import clean, fit
from mmfuse_tui.curves import between
from mmfuse_tui.sketch import Line

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
        measured = columns >= 4 and any(len(curve.values) for curve in seen.curves)
        words = fit(_why_blank(view) if measured else "", width)
        blank = [((words, "plot--label"),), *(((" " * width, ""),) for _ in range(height - 2))][: height - 1]
        return Plot(chart, (_legend(seen, width, view.words(), None), *blank))
    at = None if view.cursor is None else window.x_low + view.cursor * (window.x_high - window.x_low)
    canvas = draw([(curve.steps, curve.values) for curve in drawn.curves if not curve.scattered], window)
    cells = _cells(drawn, canvas, window)
    if at is not None:
        _draw_cursor(cells, window, at)
    labels = _y_labels(window, log=view.log)
    body = tuple(_body_row(labels[row], cells[row]) for row in range(rows))
    rows_drawn = (_legend(seen, width, view.words(), at), *body, *_x_axis(window, drawn, axis_rows))
    return Plot(chart, rows_drawn, canvas, window)


def chart_lines(chart: ChartData, width: int, rows: int) -> list[Line]:
    """A chart as lines of a drawing."""
    return [tuple(row) for row in make_plot(chart, width, rows).rows]


def _why_blank(view: ChartView) -> str:
    """What a chart without a single place for its curves says instead."""
    number = "positive number, and a logarithmic axis has no place for others" if view.log else "number"
    return f"  no {number} here"


def _scaled(chart: ChartData) -> ChartData:
    """The chart with logarithms for values."""

    def scaled(curve: Curve) -> Curve:
        band = None if curve.band is None else (logarithmic(curve.band[0]), logarithmic(curve.band[1]))
        return replace(curve, values=logarithmic(curve.values), band=band)

    return replace(chart, curves=tuple(map(scaled, chart.curves)))


def _window(chart: ChartData, columns: int, rows: int, span: tuple[float, float]) -> Window | None:
    """The window that shows every sample within ``span`` of the x axis; None while there is no finite one."""
    import numpy as np

    steps = [curve.steps for curve in chart.curves if len(curve.steps)]
    if not steps:
        return None
    first, last = chart.reach or (min(float(x[0]) for x in steps), max(float(x[-1]) for x in steps))
    x_low, x_high = (first, last) if span == (0.0, 1.0) else (first + share * (last - first) for share in span)
    shown = [_values_between(curve, x_low, x_high) for curve in chart.curves]
    finite = [values[np.isfinite(values)] for values in shown]
    finite = [values for values in finite if len(values)]
    if not finite:
        return None
    y_low, y_high = padded(min(float(y.min()) for y in finite), max(float(y.max()) for y in finite))
    if not x_high > x_low:
        x_high = x_low + max(1.0, abs(x_low) * RESOLUTION)
    return Window(columns, rows, x_low, x_high, y_low, y_high)


def _values_between(curve: Curve, low: float, high: float) -> Any:
    """The values that are drawn there; of a line also those at the edges, of a band its limits."""
    import numpy as np

    if curve.scattered:
        return curve.values[(curve.steps >= low) & (curve.steps <= high)]
    lines = (curve.values, *(curve.band or ()))
    return np.concatenate([between(curve.steps, values, low, high)[1] for values in lines])


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
        if curve.band is not None and len(curve.steps):
            _shade(cells, shade(curve.steps, *curve.band, window), style_of(place))
    for place, curve in zip(places, chart.curves, strict=True):
        if curve.scattered and not curve.signed:
            _scatter(cells, curve, window, place)
    has_shadows = any(curve.shadow for curve in chart.curves)
    for place, curve in zip(places, chart.curves, strict=True):
        if curve.shadow is has_shadows and not curve.scattered:
            _mark_best(cells, curve, window, chart.maximize)  # the best is one that was measured, not a smoothed one
        if not curve.shadow and not curve.scattered:
            _mark_last(cells, curve, window, place)
    for place, curve in zip(places, chart.curves, strict=True):
        if curve.signed:  # over everything else: these signs are all that is seen of what they stand for
            _scatter(cells, curve, window, place)
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


def _shade(cells: list[list[Run]], band: Canvas, style: str) -> None:
    """A band where no line is."""
    for row, line in enumerate(cells):
        for column, character in enumerate(band.text(row)):
            if character != EMPTY and line[column][0] == EMPTY:
                line[column] = (character, style)


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
    tries = (
        ticks(window.y_low, window.y_high, at_most=most) for most in range(max(1, window.rows // 3), 2 * window.rows)
    )
    marks = next((marks for marks in tries if len(marks) > 1), ())  # one label alone is no scale
    marks = marks or ticks(window.y_low, window.y_high, at_most=1)
    names = power_labels(marks) if log else tick_labels(marks, width=LABEL_WIDTH)
    for mark, label in zip(marks, names, strict=True):
        labels[round(float(window.dot_rows(mark))) // 4] = fit(label, LABEL_WIDTH).strip()
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
    title = clean(chart.title) + words + ("" if at is None else f" @ {_place(at, chart)}")
    pieces: list[Run] = [(fit(title, min(width, cell_len(title))), "plot--title")]
    room = width - cell_len(pieces[0][0])
    entries = [
        _legend_entry(curve, index, chart, at)
        for index, curve in enumerate(curve for curve in chart.curves if not curve.shadow)
    ]
    for place, entry in enumerate(entries):
        more = f" +{len(entries) - place - 1}" if place < len(entries) - 1 else ""
        for kept in (entry, entry[:3], entry[:2]):
            needed = sum(cell_len(text) for text, _ in kept)
            if needed + cell_len(more) <= room:
                break
        else:
            missing = fit(f" +{len(entries) - place}", room)
            return (*pieces, (missing, "plot--label"))
        pieces += kept
        room -= needed
    return (*pieces, (" " * room, ""))


def _place(at: float, chart: ChartData) -> str:
    """A place on the x axis in words; of many steps all digits, since one of them is looked for."""
    return f"{at:.0f}" if chart.x_whole and 1_000 <= abs(at) < 1e15 else wording.number(at)


def _legend_entry(curve: Curve, index: int, chart: ChartData, at: float | None) -> Sequence[Run]:
    name = clean(_name_in(chart, curve))
    dotted = curve.scattered and not curve.signed
    entry = [(f"  {_DOT if dotted else mark_of(index)} ", style_of(index)), (name, "plot--label")]
    if not len(curve.values) or not curve.valued:
        return entry
    if at is not None:
        return [*entry, (f" {wording.number(value_at(curve, at))}", "plot--value")]
    entry.append((f" {wording.number(float(curve.values[-1]))}", "plot--value"))
    best = _best(curve, chart.maximize)
    if best is not None:
        entry.append((f" {'max' if chart.maximize else 'min'} {wording.number(best)}", "plot--label"))
    return entry


def _name_in(chart: ChartData, curve: Curve) -> str:
    """``train`` for ``train/loss`` in a chart of losses; the whole name where the title does not say the rest."""
    first, _, rest = curve.name.partition("/")
    return first if rest and rest in chart.title else curve.name


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
