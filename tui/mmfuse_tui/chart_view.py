"""How charts are looked at: axes, smoothing, the part that is shown, and where values are read off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from mmfuse_tui.curves import ChartData, Curve

if TYPE_CHECKING:
    from mmfuse_tui.curves import Floats

SMOOTHINGS = (0.0, 0.6, 0.9, 0.97)
"""Weights of the past that the key goes through; 0 shows what was measured."""
CLOSEST = 1 / 256
"""Smallest share of the x axis that can be zoomed to."""


@dataclass(frozen=True)
class ChartView:
    """A way to look. ``span`` is the part of the x axis shown and ``cursor`` a place within it, both as shares."""

    log: bool = False
    smoothing: float = 0.0
    x: Literal["step", "time"] = "step"
    span: tuple[float, float] = (0.0, 1.0)
    cursor: float | None = None

    def words(self) -> str:
        """What is unusual about this view, for a chart's title."""
        words = ["log"] if self.log else []
        words += [f"smoothed {self.smoothing:g}"] if self.smoothing else []
        words += [f"{1 / (self.span[1] - self.span[0]):.0f}x"] if self.span != (0.0, 1.0) else []
        return "".join(f" · {word}" for word in words)

    def smoother(self) -> ChartView:
        """With the next smoothing."""
        return replace(self, smoothing=SMOOTHINGS[(SMOOTHINGS.index(self.smoothing) + 1) % len(SMOOTHINGS)])

    def zoomed(self, factor: float, *, at: float | None = None) -> ChartView:
        """With a part ``factor`` times as wide, around the cursor, the place ``at``, or the end: news comes there."""
        low, high = self.span
        width = min(1.0, max(CLOSEST, (high - low) * factor))
        place = at if at is not None else self.cursor if self.cursor is not None else 1.0
        start = low + place * (high - low - width)
        start = min(1.0 - width, max(0.0, start))
        return replace(self, span=(start, start + width) if width < 1.0 else (0.0, 1.0))

    def panned(self, by: float) -> ChartView:
        """With the part moved by a share of its own width."""
        low, high = self.span
        start = min(1.0 - (high - low), max(0.0, low + by * (high - low)))
        return replace(self, span=(start, start + high - low))

    def read_at(self, place: float | None) -> ChartView:
        """With the cursor at a place of the part shown, or without it."""
        return replace(self, cursor=None if place is None else min(1.0, max(0.0, place)))


PLAIN = ChartView()


def arranged(chart: ChartData, view: ChartView) -> ChartData:
    """The chart with the x axis asked for and smoothed curves, each over the shadow of what was measured."""
    timed = view.x == "time" and any(curve.times is not None for curve in chart.curves)
    began = _beginning(chart) if timed else 0.0
    curves = [_on_time(curve, began) for curve in chart.curves] if timed else list(chart.curves)
    if view.smoothing:
        shadows = [replace(curve, shadow=True) for curve in curves if not curve.scattered]
        curves = [*shadows, *(_smoothed(curve, view.smoothing) for curve in curves)]
    label = "minutes" if timed else chart.x_label
    reach = chart.reach
    if timed:
        reach = None if chart.time_reach is None else (0.0, (chart.time_reach[1] - began) / 60.0)
    return replace(chart, curves=tuple(curves), x_label=label, x_whole=chart.x_whole and not timed, reach=reach)


def logarithmic(values: Floats) -> Any:
    """Decadic logarithms; what has none, zero and below, becomes minus infinity and is marked at the lower edge."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isnan(values), np.nan, np.where(values > 0, np.log10(np.abs(values)), -np.inf))


def _beginning(chart: ChartData) -> float:
    """When the first value of any curve was measured: what came a minute later stands a minute further right."""
    if chart.time_reach is not None:
        return chart.time_reach[0]
    return min(float(curve.times[0]) for curve in chart.curves if curve.times is not None and len(curve.times))


def _on_time(curve: Curve, began: float) -> Curve:
    """The curve over minutes since ``began``, where its times are known."""
    if curve.times is None or not len(curve.times):
        return curve
    import numpy as np

    minutes = (curve.times - began) / 60.0
    return replace(curve, steps=np.maximum.accumulate(minutes))


def _smoothed(curve: Curve, weight: float) -> Curve:
    """Exponential moving average without the pull of its start (Adam's correction); what is no number stays."""
    if curve.scattered:
        return curve
    values = curve.values.copy()
    mean, known = 0.0, 0
    for place, value in enumerate(values.tolist()):
        if abs(value) < float("inf"):
            known += 1
            mean = weight * mean + (1 - weight) * value
            values[place] = mean / (1 - weight**known)
    return replace(curve, values=values)
