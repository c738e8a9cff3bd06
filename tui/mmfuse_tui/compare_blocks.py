"""What is drawn of several runs at once: results, curves, options that differ, seeds, cost, architectures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rich.cells import cell_len

from mmfuse_runs.comparison import SeedGroup, differing, flattened, is_number, pareto_front, ranked, seed_groups
from mmfuse_runs.measured import measured_alike
from mmfuse_runs.records import RunRecord
from mmfuse_tui import wording
from mmfuse_tui.board import Block
from mmfuse_tui.charts import staircase
from mmfuse_tui.clean import clean, fit
from mmfuse_tui.curves import ChartData, Curve, group_names, make_curve
from mmfuse_tui.families import draw_architecture
from mmfuse_tui.plot import chart_lines, mark_of, style_of
from mmfuse_tui.sketch import Line, Piece
from mmfuse_tui.snapshot import ComparedRun

COSTS = {
    "parameters": "parameters",
    "macs": "multiply-accumulates",
    "latency_ms": "latency in ms",
    "seconds": "seconds of work",
}
"""What a score may be paid with: key and words."""
CHART_ROWS, PARETO_ROWS = 12, 13
MOST_CHARTS = 4


@dataclass(frozen=True, eq=False)
class Comparison:
    """The runs that may be compared, in the order asked for, and why they may not be ranked (empty where they may)."""

    runs: tuple[ComparedRun, ...]
    obstacle: str = ""

    @property
    def records(self) -> list[RunRecord]:
        """Their records."""
        return [compared.record for compared in self.runs]


def blocks_of(comparison: Comparison, *, cost: str) -> tuple[Block, ...]:
    """Every drawing, the most telling first."""
    runs = comparison.runs
    blocks = [Block("Results", partial(result_lines, comparison))]
    blocks += [Block("", partial(chart_lines, chart, rows=CHART_ROWS)) for chart in overlaid(runs)[:MOST_CHARTS]]
    seeds = over_seeds(comparison)
    if seeds is not None:
        blocks.append(Block("", partial(chart_lines, seeds, rows=CHART_ROWS)))
    blocks.append(Block("Options that differ", partial(difference_lines, runs)))
    if not comparison.obstacle:
        blocks.append(Block(f"Score and cost · {COSTS[cost]}", partial(pareto_lines, comparison, cost)))
        blocks.append(Block("Over seeds", partial(seed_lines, comparison)))
    for index, compared in enumerate(runs):
        architecture = compared.run.architecture
        if architecture is not None:
            title = f"{mark_of(index)} {clean(compared.record.label)} · {architecture.key}"
            blocks.append(Block(title, partial(draw_architecture, architecture)))
    return tuple(blocks)


def result_lines(comparison: Comparison, width: int) -> list[Line]:
    """A line per run, best first where they may be ranked."""
    signs = {record.id: index for index, record in enumerate(comparison.records)}
    records = comparison.records if comparison.obstacle else ranked(comparison.records)
    name_width = min(max((cell_len(clean(record.label)) for record in records), default=4), max(10, width - 48))
    head = "    " + fit("run", name_width) + "    score  params    MACs    time  state"
    lines: list[Line] = [((head, "plot--label"),)]
    for place, record in enumerate(records, start=1):
        index = signs[record.id]
        rank = f"{place:>2}" if not comparison.obstacle and is_number(record.score) else "  "
        costs = (wording.count(record.parameters), wording.count(record.macs), wording.span(record.seconds))
        lines.append(
            (
                (f"{rank}", "cell--strong"),
                (f"{mark_of(index)} ", style_of(index)),
                (fit(clean(record.label), name_width), ""),
                (f" {wording.number(record.score):>8}", "cell--strong"),
                ("".join(f" {cost:>7}" for cost in costs), ""),
                (f"  {record.state}", "plot--label"),
            )
        )
    return lines


def overlaid(runs: Sequence[ComparedRun]) -> list[ChartData]:
    """One chart per metric that two runs or more have, the primary one first; for searches the best score by trial."""
    charts = []
    if sum(bool(compared.run.trials) for compared in runs) > 1:
        charts.append(_best_by_trial(runs))
    series = {index: _series(compared) for index, compared in enumerate(runs)}
    counts: dict[str, int] = {}
    for names in series.values():
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    first = next((compared.record.metric for compared in runs if compared.record.metric), "")
    shared = [
        name for _, names in group_names([n for n, count in counts.items() if count > 1], first=first) for name in names
    ]
    for name in sorted(shared, key=lambda name: (name != first, not name.startswith("val/"))):
        curves = tuple(_nameless(series[index].get(name)) for index in range(len(runs)))
        version = tuple(curve.points for curve in curves)
        charts.append(ChartData(name, curves, "step", None, version))
    return charts


def over_seeds(comparison: Comparison) -> ChartData | None:
    """The mean of each experiment that ran with several seeds, in the band between its lowest and highest run.

    The metric is the one the runs are judged by. Between the steps at which a run measured it is taken as a straight
    line, and the band ends where the first of them does.
    """
    by_id = {compared.record.id: compared for compared in comparison.runs}
    metric = next((record.metric for record in comparison.records if record.metric), "")
    curves = []
    for group in seed_groups((compared.record, compared.run.spec) for compared in comparison.runs):
        found = [_series(by_id[run.id]).get(metric) for run in group.runs]
        members = [curve for curve in found if curve is not None and len(curve.steps)]
        if len(members) > 1 and max(curve.steps[0] for curve in members) < min(curve.steps[-1] for curve in members):
            run = group.runs[0]
            curves.append(_banded(f"{len(members)} seeds of {run.subject} {run.architecture}".strip(), members))
    version = tuple(curve.points for curve in curves)
    return ChartData(f"{metric}, mean and range over seeds", tuple(curves), "step", None, version) if curves else None


def _banded(name: str, members: Sequence[Curve]) -> Curve:
    import numpy as np

    first, last = max(curve.steps[0] for curve in members), min(curve.steps[-1] for curve in members)
    steps = np.unique(np.concatenate([curve.steps for curve in members]))
    steps = steps[(steps >= first) & (steps <= last)]
    values = np.stack([np.interp(steps, curve.steps, curve.values) for curve in members])
    with np.errstate(invalid="ignore"):  # infinities of both signs have no mean: NaN, and shown as that
        curve = make_curve(name, steps, values.mean(axis=0))
    low, high = (np.interp(curve.steps, steps, edge) for edge in (values.min(axis=0), values.max(axis=0)))
    return replace(curve, band=(low, high))


def difference_lines(runs: Sequence[ComparedRun], width: int) -> list[Line]:
    """A row per option on which the runs differ, a column per run."""
    rows = differing([flattened(compared.run.spec) for compared in runs])
    if not rows:
        words = "the runs asked for the same" if len(runs) > 1 else "there is no second run to compare with"
        return [((f"  {words}", "cell--dim"),)]
    name_width = min(max(cell_len(clean(name)) for name in rows), max(10, width // 3))
    cell = max(4, (width - name_width) // len(runs) - 1)
    lines: list[Line] = [_marked_columns(len(runs), name_width, cell)]
    for name, values in rows.items():
        cells: list[Piece] = [(f" {fit(_shown(value), cell)}", "") for value in values]
        lines.append(((fit(clean(name), name_width), "plot--label"), *cells))
    return lines


def seed_lines(comparison: Comparison, width: int) -> list[Line]:
    """Mean, deviation and interval of every experiment that was run with more than one seed."""
    groups = seed_groups((compared.record, compared.run.spec) for compared in comparison.runs)
    several = [group for group in groups if len(group.runs) > 1 and group.spread is not None]
    if not several:
        return [(("  no two finished runs differ in nothing but their seed", "cell--dim"),)]
    signs = {record.id: index for index, record in enumerate(comparison.records)}
    lines: list[Line] = [(("95 % interval of the mean: bootstrap, percentiles of 2000 samples", "plot--label"),)]
    for group in several:
        lines += _seed_group_lines(group, signs)
    return lines


def pareto_lines(comparison: Comparison, cost: str, width: int) -> list[Line]:
    """Scores over a cost; runs on the front are those that no other beats in both."""
    points = [(compared.record.score, cost_of(compared, cost)) for compared in comparison.runs]
    maximize = any(record.maximize for record in comparison.records)
    front = pareto_front(points, maximize=maximize)
    if not front:
        return [((f"  no run has both a score and {COSTS[cost]}; the key m takes another cost", "cell--dim"),)]
    curves = [_point(score, price) for score, price in points]
    if len(front) > 1:
        line = [points[place] for place in front]
        curves.append(
            make_curve("front", [price or 0 for _, price in line], [score or 0 for score, _ in line], valued=False)
        )
    chart = ChartData("score", tuple(curves), _short(cost), None, x_whole=False)
    lines = chart_lines(chart, width, PARETO_ROWS)
    for place in front:
        score, price = points[place]
        label = clean(comparison.records[place].label)
        words = f"{wording.number(score)} for {wording.count(price) if (price or 0) >= 1000 else wording.number(price)}"
        lines.append(((f"{mark_of(place)} ", style_of(place)), (f"{words}  ", "cell--strong"), (label, "plot--label")))
    return lines


def cost_of(compared: ComparedRun, cost: str) -> float | None:
    """What the run's score was paid with; None where that was not measured."""
    value = compared.run.result.get(cost, getattr(compared.record, cost, None))
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _best_by_trial(runs: Sequence[ComparedRun]) -> ChartData:
    curves = []
    for compared in runs:
        alike = [trial for trial in measured_alike(compared.run.trials) if trial.score is not None]
        numbers, scores = [float(trial.number) for trial in alike], [trial.score or 0.0 for trial in alike]
        steps, best = staircase(numbers, scores, maximize=compared.record.maximize)
        curves.append(make_curve("", steps, best))
    return ChartData("best score by trial", tuple(curves), "trial", None, tuple(curve.points for curve in curves))


def _series(compared: ComparedRun) -> Mapping[str, Curve]:
    """The run's own metrics by name; those of single trials are not comparable."""
    charts = (chart for chart in compared.run.charts if chart.x_label == "step" and " of trial " not in chart.title)
    return {curve.name: curve for chart in charts for curve in chart.curves}


def _nameless(curve: Curve | None) -> Curve:
    """The curve under its sign alone: which run has which sign stands in the results."""
    if curve is None:
        return make_curve("", [], [])
    return Curve("", curve.steps, curve.values, curve.points)


def _point(score: float | None, price: float | None) -> Curve:
    known = is_number(score) and is_number(price)
    x, y = ([price or 0.0], [score or 0.0]) if known else ([], [])
    return make_curve("", x, y, scattered=True, valued=False, signed=True)


def _seed_group_lines(group: SeedGroup, signs: Mapping[str, int]) -> list[Line]:
    spread = group.spread
    assert spread is not None
    marks: list[Piece] = [(mark_of(signs[run.id]), style_of(signs[run.id])) for run in group.runs]
    words = f"  {wording.number(spread.mean)}"
    if spread.sd is not None:
        words += f" ± {wording.number(spread.sd, digits=2)}"
        words += f"   [{wording.number(spread.low)}, {wording.number(spread.high)}]"
    seeds = ", ".join(map(str, group.seeds))
    run = group.runs[0]
    what = clean(f"{run.subject} {run.architecture}")
    return [(*marks, (words, "cell--strong"), (f"   {len(spread.values)} seeds: {seeds}   {what}", "plot--label"))]


def _marked_columns(count: int, name_width: int, cell: int) -> Line:
    signs: list[Piece] = [(f" {fit(mark_of(index), cell)}", style_of(index)) for index in range(count)]
    return ((" " * name_width, ""), *signs)


def _short(cost: str) -> str:
    return {"parameters": "params", "macs": "MACs", "latency_ms": "ms", "seconds": "seconds"}[cost]


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return wording.number(value)
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
