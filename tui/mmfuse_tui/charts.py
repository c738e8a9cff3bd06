"""Which charts a run has, from its metrics and trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mmfuse.report import TrialRecord
from mmfuse_runs.measured import measured_alike
from mmfuse_tui.curves import ChartData, Curve, group_names, make_curve

if TYPE_CHECKING:
    from mmfuse_runs.tail import MetricsTable

ASCENDING = (
    "accuracy",
    "f1",
    "auc",
    "auroc",
    "precision",
    "recall",
    "map",
    "correlation",
    "r2",
    "r_mean",
    "_r1",
    "_r5",
    "p1",
)
"""Words in the names of metrics that are better when higher."""
DESCENDING = ("loss", "error", "mae", "mse", "perplexity", "median_rank", "alignment", "uniformity")
"""Words in the names of metrics that are better when lower."""


def run_charts(
    table: MetricsTable, trials: Sequence[TrialRecord], *, metric: str, maximize: bool
) -> tuple[ChartData, ...]:
    """The search's scores first, then a chart per measured thing, the run's own metric leading.

    While a search has no metrics of its own the charts are those of its newest trial.
    """
    charts = [score_chart(trials, metric=metric, maximize=maximize)] if trials else []
    trial = None
    if not table.names() and table.trials():
        trial = table.trials()[-1]
    for group, names in group_names(table.names(trial), first=metric):
        curves = tuple(_measured(table, name, trial) for name in names)
        title = group if trial is None else f"{group} of trial {trial}"
        version = (-1 if trial is None else trial, *(curve.points for curve in curves))
        charts.append(ChartData(title, curves, "step", _direction(group), version))
    return tuple(_on_one_axis(charts))


def _on_one_axis(charts: Sequence[ChartData]) -> Iterator[ChartData]:
    """The charts over steps with the same reach, so that the cursor reads all of them off at one step."""
    measured = [curve for chart in charts if chart.x_label == "step" for curve in chart.curves if len(curve.steps)]
    if not measured:
        yield from charts
        return
    reach = min(float(curve.steps[0]) for curve in measured), max(float(curve.steps[-1]) for curve in measured)
    times = [curve.times for curve in measured if curve.times is not None]
    spent = (min(float(t.min()) for t in times), max(float(t.max()) for t in times)) if times else None
    for chart in charts:
        yield replace(chart, reach=reach, time_reach=spent) if chart.x_label == "step" else chart


def _measured(table: MetricsTable, name: str, trial: int | None) -> Curve:
    steps, values, times = table.points(name, trial)
    return make_curve(name, steps, values, times=times)


def score_chart(trials: Sequence[TrialRecord], *, metric: str, maximize: bool) -> ChartData:
    """A search's course: all scores, and the best so far of those measured alike; a failed trial is no number."""
    ended = [trial for trial in trials if trial.status not in ("running", "skipped")]
    numbers = [float(trial.number) for trial in ended]
    scores = [float("nan") if trial.score is None else trial.score for trial in ended]
    alike = [trial for trial in measured_alike(ended) if trial.score is not None]
    steps, best = staircase(
        [float(trial.number) for trial in alike], [trial.score or 0.0 for trial in alike], maximize=maximize
    )
    curves = (make_curve("trial", numbers, scores, scattered=True), make_curve("best", steps, best))
    return ChartData(f"{metric or 'score'} by trial", curves, "trial", maximize, (len(trials), len(ended)))


def staircase(numbers: Sequence[float], scores: Sequence[float], *, maximize: bool) -> tuple[list[float], list[float]]:
    """The best score so far as a line of steps."""
    steps: list[float] = []
    best: list[float] = []
    for number, score in zip(numbers, scores, strict=True):
        if score != score:
            continue
        reached = score if not best else max(best[-1], score) if maximize else min(best[-1], score)
        if best and reached != best[-1]:
            steps.append(number)
            best.append(best[-1])
        steps.append(number)
        best.append(reached)
    return steps, best


def _direction(group: str) -> bool | None:
    """Whether up is good; None for things that are neither, such as a learning rate."""
    if any(word in group for word in DESCENDING):
        return False
    return True if any(word in group for word in ASCENDING) else None
