"""As many charts as fit side by side, drawn line by line and cached by size, data and page."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from mmfuse_tui.chart_view import PLAIN, ChartView
from mmfuse_tui.clean import wrap
from mmfuse_tui.curves import ChartData
from mmfuse_tui.plot import LABEL_WIDTH, PLOT_STYLES, Plot, make_plot

CHART_WIDTH, CHART_HEIGHT = 46, 10
"""Cells a chart needs before a second one is put beside or below it."""
_GAP = 2


class ChartGrid(Widget, can_focus=True):
    """Charts in reading order; the page keys show the others."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*PLOT_STYLES, "cell--dim"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l,right_square_bracket", "turn(1)", "Next charts", show=False, id="charts.next"),
        Binding("left,h,left_square_bracket", "turn(-1)", "Previous charts", show=False, id="charts.previous"),
        Binding("y", "log", "Log axis", show=False, tooltip="Logarithmic y axis, or linear", id="charts.log"),
        Binding("a", "smooth", "Smooth", show=False, tooltip="Smooth by 0.6, 0.9, 0.97, or not", id="charts.smooth"),
        Binding("X", "axis", "Time axis", show=False, tooltip="x: minutes, or steps", id="charts.axis"),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom in", show=False, tooltip="Half of the x axis", id="charts.in"),
        Binding("minus", "zoom(2.0)", "Zoom out", show=False, tooltip="Twice as much of the x axis", id="charts.out"),
        Binding("H,shift+left", "pan(-0.25)", "Pan left", show=False, tooltip="Earlier steps", id="charts.earlier"),
        Binding("L,shift+right", "pan(0.25)", "Pan right", show=False, tooltip="Later steps", id="charts.later"),
        Binding(
            "full_stop", "read(1)", "Read right", show=False, tooltip="Read values off; to the right", id="charts.read"
        ),
        Binding(
            "comma", "read(-1)", "Read left", show=False, tooltip="Read values off; to the left", id="charts.read-left"
        ),
        Binding(
            "e", "export", "Export", show=False, tooltip="Save all values of these charts as CSV", id="charts.export"
        ),
        Binding(
            "0", "plain", "Plain view", show=False, tooltip="No zoom, cursor, smoothing, log axis", id="charts.plain"
        ),
    ]

    class Exported(Message):
        """The user wants these charts as a file."""

        def __init__(self, charts: tuple[ChartData, ...]) -> None:
            super().__init__()
            self.charts = charts

    page: reactive[int] = reactive(0)
    view: reactive[ChartView] = reactive(PLAIN)

    def __init__(self, *, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self._charts: tuple[ChartData, ...] = ()
        self._empty = empty
        self._plots: dict[tuple[object, ...], Plot] = {}
        self._seen_as: dict[tuple[object, ...], ChartView] = {}
        self._lines: list[Strip] = []

    @property
    def charts(self) -> tuple[ChartData, ...]:
        """What is shown."""
        return self._charts

    def set_charts(self, charts: tuple[ChartData, ...], *, empty: str | None = None) -> None:
        """Show these charts, or the words where there are none; one whose version is known is not drawn again."""
        if empty is not None:
            self._empty = empty
        self._charts = charts
        self.page = min(self.page, max(0, self.pages - 1))
        self.refresh()

    @property
    def grid(self) -> tuple[int, int]:
        """Columns and rows of charts at this size: wide rather than high, and no more than there are."""
        columns = max(1, min(len(self._charts), (self.size.width + _GAP) // (CHART_WIDTH + _GAP)))
        rows = max(1, min(-(-len(self._charts) // columns), self.size.height // CHART_HEIGHT))
        return columns, rows

    @property
    def pages(self) -> int:
        """How many pages all charts take."""
        columns, rows = self.grid
        return max(1, -(-len(self._charts) // (columns * rows)))

    @property
    def metrics(self) -> tuple[str, ...]:
        """What the curves measure, chart by chart."""
        return tuple(dict.fromkeys(curve.name for chart in self._charts for curve in chart.curves))

    def show_metric(self, name: str) -> None:
        """Turn to the page whose charts show a metric."""
        columns, rows = self.grid
        for place, chart in enumerate(self._charts):
            if any(curve.name == name for curve in chart.curves):
                self.page = place // (columns * rows)
                return

    def action_turn(self, by: int) -> None:
        """Show the next or previous charts."""
        self.page = (self.page + by) % self.pages

    def action_export(self) -> None:
        """Hand the charts, on this page or not, to who writes files."""
        self.post_message(self.Exported(self._charts))

    def action_log(self) -> None:
        """Logarithmic y axis, or linear."""
        self.view = replace(self.view, log=not self.view.log)

    def action_smooth(self) -> None:
        """The next smoothing."""
        self.view = self.view.smoother()

    def action_axis(self) -> None:
        """Steps or minutes."""
        self.view = replace(self.view, x="step" if self.view.x == "time" else "time")

    def action_zoom(self, factor: float) -> None:
        """Show a smaller or larger part of the x axis."""
        self.view = self.view.zoomed(factor)

    def action_pan(self, by: float) -> None:
        """Show an earlier or later part."""
        self.view = self.view.panned(by)

    def action_read(self, by: int) -> None:
        """Move the cursor that values are read off at by a cell; the first time it appears in the middle."""
        columns, _ = self.grid
        cells = max(8, self.size.width // columns - LABEL_WIDTH - 2)
        place = self.view.cursor
        self.view = self.view.read_at(0.5 if place is None else place + by / cells)

    def action_plain(self) -> None:
        """The usual view."""
        self.view = PLAIN

    def on_click(self, event: events.Click) -> None:
        """Read values off where the chart was clicked, in every chart."""
        self.view = self.view.read_at(self._place_at(event.x))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in at the pointer."""
        self.view = self.view.zoomed(0.8, at=self._place_at(event.x))
        event.stop()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out at the pointer."""
        self.view = self.view.zoomed(1.25, at=self._place_at(event.x))
        event.stop()

    def _place_at(self, x: int) -> float:
        """The share of the x axis under a column of the widget."""
        columns, _ = self.grid
        widths = _shares(self.size.width - 1, columns, gap=_GAP)
        for width in widths:
            if x < width + _GAP:
                break
            x -= width + _GAP
        cells = max(1, width - LABEL_WIDTH - 2)
        return min(1.0, max(0.0, (x - LABEL_WIDTH - 1) / cells))

    def render_lines(self, crop: object) -> list[Strip]:
        """Draw the page once per repaint, then hand out its lines."""
        self._lines = self._draw()
        return super().render_lines(crop)  # type: ignore[arg-type]

    def render_line(self, y: int) -> Strip:
        """One line of the page."""
        return self._lines[y] if y < len(self._lines) else Strip.blank(self.size.width, self.rich_style)

    def _draw(self) -> list[Strip]:
        width, height = self.size
        if not self._charts:
            blank = Segment(" " * width, self.rich_style)
            dim = self.rich_style + self.get_component_rich_style("cell--dim", partial=True)
            said = [Segment(f"  {words}", dim) for words in wrap(self._empty, width - 4)]
            return [Strip([piece]).adjust_cell_length(width, self.rich_style) for piece in (blank, *said)][:height]
        columns, rows = self.grid
        first = self.page * columns * rows
        heights = _shares(height, rows, gap=1 if height >= rows * (CHART_HEIGHT + 1) else 0)
        lines: list[Strip] = []
        for nth, chart_height in enumerate(heights):
            start = first + nth * columns
            lines += self._draw_row(self._charts[start : start + columns], columns, chart_height)
            if nth < rows - 1 and len(lines) < height:
                lines.append(Strip.blank(width, self.rich_style))
        return lines

    def _draw_row(self, charts: tuple[ChartData, ...], columns: int, height: int) -> list[Strip]:
        widths = _shares(self.size.width - 1, columns, gap=_GAP)
        plots = [self._plot(chart, width, height) for chart, width in zip(charts, widths, strict=False)]
        base = self.rich_style
        styles = {name: base + self.get_component_rich_style(name, partial=True) for name in PLOT_STYLES}
        lines = []
        for row in range(height):
            segments: list[Segment] = []
            for plot in plots:
                segments += [Segment(text, styles.get(style, base)) for text, style in plot.rows[row]]
                segments.append(Segment(" " * _GAP, base))
            lines.append(Strip(segments).adjust_cell_length(self.size.width, base))
        return lines

    def _plot(self, chart: ChartData, width: int, height: int) -> Plot:
        """The drawn chart from the cache, which holds one drawing per chart title and size."""
        key = (chart.title, width, height)
        known = self._plots.get(key)
        if known is None or known.source is not chart or self._seen_as.get(key) != self.view:
            if known is None and len(self._plots) > 64:
                self._plots.clear()
            known = self._plots[key] = make_plot(chart, width, height, self.view)
            self._seen_as[key] = self.view
        return known


def _shares(length: int, parts: int, *, gap: int) -> list[int]:
    """``length`` cells divided into ``parts`` with gaps between them, the first ones taking what is left over."""
    room = length - gap * (parts - 1)
    return [room // parts + (nth < room % parts) for nth in range(parts)]
