"""Curves outside the dashboard: drawn with characters in the terminal, or saved as a picture."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfuse.errors import BadSpec, MmfuseError, unknown_name
from mmfuse_cli.render import out_painted, paint, say, width
from mmfuse_tui.clean import clean
from mmfuse_tui.curves import ChartData

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore
    from mmfuse_tui.curves import Curve

SCORE = "score"
"""Name of the chart of a search's trials, beside the metrics that runs wrote down."""
HEIGHT = 16
"""Lines of a chart in the terminal."""
PICTURES = (".svg", ".png", ".pdf")

COLOURS = ("#0072b2", "#e69f00", "#cc79a7", "#009e73", "#56b4e9", "#d55e00", "#000000")
"""Of curves in pictures: told apart with every kind of colour vision (Okabe and Ito)."""
_SERIES = ("cyan", "yellow", "magenta", "green", "blue", "red")
ROLE_COLOURS = {
    **{f"series--{index}": colour for index, colour in enumerate(_SERIES)},
    "plot--title": "bold",
    "plot--axis": "dim",
    "plot--label": "dim",
    "plot--value": "bold",
    "plot--alarm": "red",
}


def show_plots(
    store: RunStore, records: Sequence[RunRecord], metrics: Sequence[str] | None, picture: Path | None
) -> None:
    """Draw ``metrics`` of ``records`` (without any, the one the first was judged by), or save them as ``picture``."""
    named = list(metrics or ()) or [next((record.metric for record in records if record.metric), SCORE)]
    charts = [chart_of(store, records, metric) for metric in named]
    for chart in charts:
        without = len(records) - len(chart.curves)
        if len(records) > 1 and without > 0:
            say(f"{without} of {len(records)} runs {'has' if without == 1 else 'have'} no {chart.title}")
    if picture is not None:
        save_picture(charts, picture)
        say(f"saved {picture}")
        return
    for chart in charts:
        out_painted(drawn(chart, width=width()))


def curves_of(store: RunStore, records: Sequence[RunRecord], metrics: Sequence[str]) -> dict[str, Any]:
    """The curves of ``metrics`` as they would be drawn, for ``--json``."""
    return {
        metric: [
            {"name": curve.name, "steps": curve.steps.tolist(), "values": curve.values.tolist()}
            for curve in chart_of(store, records, metric).curves
        ]
        for metric in metrics
    }


def chart_of(store: RunStore, records: Sequence[RunRecord], metric: str) -> ChartData:
    """One metric of all ``records`` that have it, a curve each; ``score`` is the best one so far of a search by trial.

    Raises:
        UnknownName: when none of them has it.
    """
    from mmfuse_tui.charts import score_chart
    from mmfuse_tui.curves import make_curve

    alone = len(records) == 1
    names = _distinct_labels(records)
    curves: list[Curve] = []
    known, maximize = {SCORE}, None
    for record in records:
        folder = store.folder(record.id)
        if metric == SCORE:
            trials = folder.trials()
            drawn = score_chart(trials, metric=record.metric, maximize=record.maximize).curves if trials else ()
            curves += drawn if alone else [make_curve(names[record.id], each.steps, each.values) for each in drawn[1:]]
            maximize = record.maximize
            continue
        table = folder.metrics()
        known |= set(table.names())
        if metric in table.names():
            curves.append(make_curve(metric if alone else names[record.id], *table.series(metric)))
            maximize = record.maximize if metric == record.metric else maximize
    if not curves:
        raise unknown_name("metric", metric, known)
    return ChartData(metric, tuple(curves), "trial" if metric == SCORE else "step", maximize)


def _distinct_labels(records: Sequence[RunRecord]) -> dict[str, str]:
    """What each run is called among the others: its name, with the end of its id where several have the same."""
    often = Counter(record.label for record in records)
    return {
        record.id: record.label if often[record.label] == 1 else f"{record.label} {record.id.rpartition('-')[2]}"
        for record in records
    }


def drawn(chart: ChartData, *, width: int, height: int = HEIGHT) -> list[str]:
    """The chart's lines for the terminal, coloured where that is wanted."""
    from mmfuse_tui.plot import make_plot

    plot = make_plot(chart, width, height)
    return ["".join(paint(text, ROLE_COLOURS.get(role, "")) for text, role in row).rstrip() for row in plot.rows]


def save_picture(charts: Sequence[ChartData], path: Path) -> None:
    """Write ``charts``, one below the other, as the kind of picture that the file's ending names.

    Raises:
        BadSpec: for another ending.
        MmfuseError: when matplotlib is not installed, or the file cannot be written.
    """
    if path.suffix.lower() not in PICTURES:
        raise BadSpec(f"no kind of picture ends in '{path.suffix}'", f"one of {', '.join(PICTURES)}")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MmfuseError("pictures need matplotlib", "pip install 'mmfuse[plot]'") from error
    figure = Figure(figsize=(8, 3.6 * len(charts)), layout="constrained")
    for axes, chart in zip(figure.subplots(len(charts), squeeze=False)[:, 0], charts, strict=True):
        for curve, colour in zip(chart.curves, cycle(COLOURS)):
            _plot_curve(axes, curve, colour)
        axes.set(title=clean(chart.title), xlabel=chart.x_label)
        axes.grid(alpha=0.3)
        for text in (axes.title, *axes.legend().get_texts()):
            text.set_parse_math(False)  # names are no formulas, whatever dollars are in them
    try:
        with warnings.catch_warnings(action="ignore"):  # of scripts that the font does not have
            figure.savefig(path, dpi=150)
    except OSError as error:
        raise MmfuseError(f"{path} cannot be written: {error.strerror}", "name a file in a folder of yours") from error


def _plot_curve(axes: Any, curve: Curve, colour: str) -> None:
    """One curve, with a dot at its end (it may have but one point) and a cross wherever it is no number."""
    import numpy as np

    name = f" {clean(curve.name)}"  # matplotlib leaves out names that begin with an underscore
    style: dict[str, Any] = {"linestyle": "none"} if curve.scattered else {"markevery": [-1]}
    finite = np.isfinite(curve.values)
    ends = np.flatnonzero(finite)
    if len(ends) and not curve.scattered:
        style["markevery"] = [int(ends[-1])]
    axes.plot(curve.steps, np.where(finite, curve.values, np.nan), label=name, color=colour, marker=".", **style)
    odd = curve.steps[~finite]
    if len(odd):
        below = axes.get_xaxis_transform()
        axes.plot(odd, np.full(len(odd), 0.02), "x", transform=below, color=colour, label="_no number")
