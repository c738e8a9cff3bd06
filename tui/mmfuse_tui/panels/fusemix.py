"""A contrastive run: what is wrong with it, who finds whom, what the pairs bought, the common space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rich.cells import cell_len

from mmfuse_tui import wording
from mmfuse_tui.board import Block, BoardView
from mmfuse_tui.clean import clean, fit, wrap
from mmfuse_tui.curves import ChartData, Curve, make_curve
from mmfuse_tui.panels import Place
from mmfuse_tui.plot import chart_lines
from mmfuse_tui.sketch import Line
from mmfuse_tui.snapshot import RunSnapshot

TITLE = "FuseMix"
PLACE: Place = "main"
ORDER = 8
SPLITS = ("train", "val", "test")
FOUND = {
    "r1": "R@1",
    "r5": "R@5",
    "r10": "R@10",
    "median_rank": "median",
    "p1": "class P@1",
    "map_r": "class MAP@R",
}
"""Endings of metrics that tell how well one modality finds another, and their columns."""
RECALLS = ("r1", "r5", "r10")
"""Those of them that are drawn over the pairs seen."""
NEAR = 0.02
"""Share of its range within which the temperature is drawn beside the limit it is near to."""


def applies(run: RunSnapshot) -> bool:
    """Trainings and evaluations of FuseMix."""
    return run.architecture is not None and run.architecture.family == "fusemix"


def build() -> BoardView:
    """The page."""
    return BoardView(empty="nothing was measured yet")


def show(view: BoardView, run: RunSnapshot) -> None:
    """Bring every drawing up to date."""
    view.set_blocks(blocks_of(run) if applies(run) else ())


def blocks_of(run: RunSnapshot) -> tuple[Block, ...]:
    """The drawings there are of this run."""
    curves = _curves(run)
    blocks = [Block("Collapse alarms", partial(alarm_lines, run))]
    blocks += [
        Block(f"Retrieval · {split}", partial(retrieval_lines, run, split))
        for split in SPLITS
        if any(_direction(name, split) for name in curves)
    ]
    if recalls_of(run) and pairs_per_step(run):
        blocks.append(Block("Recall by pairs seen", partial(recall_lines, run)))
    if "train/temperature" in curves:
        blocks.append(Block("Temperature", partial(temperature_lines, run)))
    blocks += [
        Block(title, partial(course_lines, run, figure, below))
        for title, figure, below in (
            ("Uniformity", "uniformity", "lower is better: embeddings fill the sphere"),
            ("Modality gap", "modality_gap", "distance between the modalities' means; 0 to 2"),
            ("Effective rank", "effective_rank", f"of {_embed(run)}: directions that are used"),
        )
        if _courses(curves, figure)
    ]
    return tuple(blocks)


def alarm_lines(run: RunSnapshot, width: int) -> list[Line]:
    """Alarms that ring, then those that are over; training notes them, an evaluation has none."""
    ringing, over = alarms_of(run)
    lines: list[Line] = []
    for epoch, sentence in ringing.values():
        lines += [((words, "plot--alarm"),) for words in wrap(f"▲ since epoch {epoch}: {sentence}", width)]
    for name, (first, last) in over.items():
        lines += [((words, "plot--label"),) for words in wrap(f"  {name}: over, epoch {first} to {last}", width)]
    return lines if ringing else [(("  none rings", "cell--dim"),), *lines]


def alarms_of(run: RunSnapshot) -> tuple[dict[str, tuple[int, str]], dict[str, tuple[int, int]]]:
    """By name the alarms that ring (epoch and sentence), and those that are over (first and last epoch).

    A resumed attempt looks for itself, so what an earlier one left ringing is over when the next one has begun.
    """
    ringing: dict[str, tuple[int, str]] = {}
    over: dict[str, tuple[int, int]] = {}
    for message, facts in _told(run):
        name, epoch = clean(str(facts.get("alarm", "?"))), facts.get("epoch")
        epoch = epoch if isinstance(epoch, int) else 0
        if message == "contrastive training":
            over |= {each: (since, since) for each, (since, _) in ringing.items()}
            ringing.clear()
        elif message == "collapse alarm":
            ringing[name] = (epoch, clean(str(facts.get("sentence", name))))
            over.pop(name, None)
        elif name in ringing:
            over[name] = (ringing.pop(name)[0], epoch)
    return ringing, over


def retrieval_lines(run: RunSnapshot, split: str, width: int) -> list[Line]:
    """A row per direction with its latest recalls, and where there are intervals another with those."""
    rows: dict[str, dict[str, float]] = {}
    for name, curve in _curves(run).items():
        told = _direction(name, split)
        if told is not None:
            rows.setdefault(told[0], {})[told[1]] = float(curve.values[-1])
    columns = [ending for ending in FOUND if any(ending in row for row in rows.values())]
    names = {key: clean(key).replace("_to_", " → ") for key in rows}
    wide = min(max(map(cell_len, names.values())), max(12, width - 15 * len(columns)))
    head = "".join(fit(FOUND[ending], 15, right=True) for ending in columns)
    lines: list[Line] = [((fit("", wide) + head, "plot--label"),)]
    intervals = run.result.get("intervals") or {}
    for key, row in rows.items():
        words = "".join(fit(_figure(ending, row.get(ending)), 15, right=True) for ending in columns)
        lines.append(((fit(names[key], wide), "plot--label"), (words, "cell--strong")))
        ranges = [_interval(intervals.get(f"{split}/{key}_{ending}")) for ending in columns]
        if any(ranges):
            below = "".join(fit(found, 15, right=True) for found in ranges)
            lines.append(((fit("  95 %", wide), "plot--label"), (below, "plot--label")))
    return lines


def recall_lines(run: RunSnapshot, width: int) -> list[Line]:
    """What the training pairs bought: recalls on validation pairs, over the pairs that were contrasted by then."""
    recalls = recalls_of(run)
    seen = pairs_per_step(run)
    curves = [replace(curve, name=name, steps=curve.steps * seen) for name, curve in recalls.items()]
    lines = chart_lines(ChartData("recall", tuple(curves), "pairs", True, _version(curves)), width, 9)
    last = max(float(curve.steps[-1]) for curve in curves)
    told = [facts.get("pairs") for message, facts in _told(run) if message == "contrastive training"]
    there = told[-1] if told and isinstance(told[-1], int) and told[-1] > 0 else None
    words = f"{wording.count(last)} pairs seen" + (
        f": {wording.count(there)} pairs, {last / there:.3g} times" if there else ""
    )
    return [*lines, ((words, "plot--label"),)]


def recalls_of(run: RunSnapshot) -> dict[str, Curve]:
    """The recalls of every validation, each the mean over the directions, by their column; none before two of them."""
    import numpy as np

    found: dict[str, list[Curve]] = {}
    for name, curve in _curves(run).items():
        told = _direction(name, "val")
        if told is not None and told[1] in RECALLS:
            found.setdefault(told[1], []).append(curve)
    means = {}
    for ending in (each for each in RECALLS if each in found):
        first, *others = found[ending]
        # Of a very long run curves are thinned, each where it bends: then there is nothing to average.
        if len(first.steps) > 1 and all(np.array_equal(first.steps, other.steps) for other in others):
            mean = np.mean([curve.values for curve in found[ending]], axis=0)
            means[FOUND[ending]] = make_curve(FOUND[ending], first.steps, mean)
    return means


def pairs_per_step(run: RunSnapshot) -> int:
    """Pairs that a step draws: blending halves draws two batches for one; 0 where no training told."""
    told = [facts.get("batch_size") for message, facts in _told(run) if message == "contrastive training"]
    batch = told[-1] if told and isinstance(told[-1], int) else 0
    halves = run.architecture is not None and run.architecture.params.get("blend") == "halves"
    return batch * (2 if halves else 1)


def temperature_lines(run: RunSnapshot, width: int) -> list[Line]:
    """Its course, beside the limit it is near to, and in words where it stands between both."""
    curve = _curves(run)["train/temperature"]
    low, high = _limits(run)
    now = float(curve.values[-1])
    curves = [curve]
    for name, limit in (("least", low), ("most", high)):
        if limit is not None and abs(now - limit) <= NEAR * ((high or 1.0) - (low or 0.0)):
            curves.append(make_curve(name, [curve.steps[0], curve.steps[-1]], [limit, limit]))
    lines = chart_lines(ChartData("temperature", tuple(curves), version=_version(curves)), width, 8)
    if low is None or high is None:
        return lines
    at_limit = now <= low * 1.001 or now >= high * 0.999
    words = f"{wording.number(now)} " + ("at its limit" if at_limit else "between its limits")
    return [*lines, ((f"{words}, {low:g} and {high:g}", "plot--alarm" if at_limit else "plot--label"),)]


def course_lines(run: RunSnapshot, figure: str, below: str, width: int) -> list[Line]:
    """A figure of every modality over the steps, or as words where it was measured once; what it means below."""
    courses = _courses(_curves(run), figure)
    if all(len(curve.values) < 2 for curve in courses):
        lines: list[Line] = [
            ((f"  {clean(curve.name)} ", "plot--label"), (wording.number(float(curve.values[-1])), "cell--strong"))
            for curve in courses
        ]
    else:
        lines = chart_lines(ChartData(figure.replace("_", " "), courses, version=_version(courses)), width, 8)
    return [*lines, ((below, "plot--label"),)]


def _told(run: RunSnapshot) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """The notes of `mmfuse.training.contrastive`, oldest first."""
    for note in run.notes:
        message, facts = note.get("message"), note.get("facts")
        if message in ("contrastive training", "collapse alarm", "collapse alarm over") and isinstance(facts, Mapping):
            yield str(message), facts


def _curves(run: RunSnapshot) -> dict[str, Curve]:
    """Everything measured, by the metric's full name."""
    return {curve.name: curve for chart in run.charts for curve in chart.curves if len(curve.values)}


def _direction(metric: str, split: str) -> tuple[str, str] | None:
    """Direction and kind of a metric of retrieval: ``image_to_text`` and ``r1``; None for any other metric."""
    prefix, _, name = metric.partition("/")
    if prefix != split or "_to_" not in name:
        return None
    for ending in FOUND:
        if name.endswith(f"_{ending}"):
            return name.removesuffix(f"_{ending}"), ending
    return None


def _courses(curves: Mapping[str, Curve], figure: str) -> tuple[Curve, ...]:
    """The curves of a figure, by modality where there is one of each; of validation, else of the split measured."""
    for split in ("val", "test", "train"):
        start = f"{split}/{figure}"
        found = {name.removeprefix(start).strip("_"): curve for name, curve in curves.items() if name.startswith(start)}
        if found:
            return tuple(replace(curve, name=name or split) for name, curve in found.items())
    return ()


def _version(curves: Sequence[Curve]) -> tuple[int, ...]:
    return tuple(curve.points for curve in curves)


def _limits(run: RunSnapshot) -> tuple[float | None, float | None]:
    limits = run.architecture.params.get("temperature_range") if run.architecture is not None else None
    return (float(limits[0]), float(limits[1])) if limits is not None and _are_two_numbers(limits) else (None, None)


def _embed(run: RunSnapshot) -> str:
    return str(run.architecture.params.get("embed", "?")) if run.architecture is not None else "?"


def _figure(ending: str, value: float | None) -> str:
    """Shares in per cent, ranks as they are."""
    if value is None:
        return ""
    return wording.number(value) if ending == "median_rank" else f"{100 * value:.1f} %"


def _interval(found: Any) -> str:
    return f"{100 * found[0]:.1f} to {100 * found[1]:.1f}" if _are_two_numbers(found) else ""


def _are_two_numbers(found: Any) -> bool:
    return isinstance(found, Sequence) and [type(value) for value in found] in ([float, float], [int, float])
