"""As many charts as fit side by side, drawn line by line and cached by size, data and page."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from mmfuse_tui.curves import ChartData
from mmfuse_tui.plot import PLOT_STYLES, Plot, make_plot

CHART_WIDTH, CHART_HEIGHT = 46, 10
"""Cells a chart needs before a second one is put beside or below it."""
_GAP = 2


class ChartGrid(Widget, can_focus=True):
    """Charts in reading order; the page keys show the others."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*PLOT_STYLES, "cell--dim"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l,right_square_bracket", "turn(1)", "Next charts", show=False, id="charts.next"),
        Binding("left,h,left_square_bracket", "turn(-1)", "Previous charts", show=False, id="charts.previous"),
    ]

    page: reactive[int] = reactive(0)

    def __init__(self, *, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self._charts: tuple[ChartData, ...] = ()
        self._empty = empty
        self._plots: dict[tuple[object, ...], Plot] = {}
        self._lines: list[Strip] = []

    @property
    def charts(self) -> tuple[ChartData, ...]:
        """What is shown."""
        return self._charts

    def set_charts(self, charts: tuple[ChartData, ...]) -> None:
        """Show these charts; one whose version is known is not drawn again."""
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

    def action_turn(self, by: int) -> None:
        """Show the next or previous charts."""
        self.page = (self.page + by) % self.pages

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
            words = Segment(
                f"  {self._empty}", self.rich_style + self.get_component_rich_style("cell--dim", partial=True)
            )
            return [Strip([blank]), Strip([words]).adjust_cell_length(width, self.rich_style)]
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
        if known is None or known.source is not chart:
            if known is None and len(self._plots) > 64:
                self._plots.clear()
            known = self._plots[key] = make_plot(chart, width, height)
        return known


def _shares(length: int, parts: int, *, gap: int) -> list[int]:
    """``length`` cells divided into ``parts`` with gaps between them, the first ones taking what is left over."""
    room = length - gap * (parts - 1)
    return [room // parts + (nth < room % parts) for nth in range(parts)]
