"""The surrogate of a guided search (MFAS): what it expected, what was measured, and how it is drawn from."""

from __future__ import annotations

from functools import partial

from mmfuse_tui.board import Block, BoardView
from mmfuse_tui.curves import ChartData, make_curve
from mmfuse_tui.panels import Place
from mmfuse_tui.plot import chart_lines
from mmfuse_tui.search_story import guesses, notes_called, questions, spearman
from mmfuse_tui.sketch import Line
from mmfuse_tui.snapshot import RunSnapshot

TITLE = "Surrogate"
PLACE: Place = "main"
ORDER = 6
ROWS = 13


def applies(run: RunSnapshot) -> bool:
    """Only searches that are guided by predictions."""
    return bool(notes_called(run, "search step"))


def build() -> BoardView:
    """The page."""
    return BoardView(empty="nothing was predicted yet")


def show(view: BoardView, run: RunSnapshot) -> None:
    """Bring every drawing up to date."""
    view.set_blocks(
        (
            Block("Predicted and measured", partial(scatter_lines, run)),
            Block("Step by step", partial(step_lines, run)),
        )
    )


def scatter_lines(run: RunSnapshot, width: int) -> list[Line]:
    """A dot per candidate: what the surrogate said before it was trained, and its score; on the line both agree."""
    pairs = guesses(run)
    if not pairs:
        return [
            (("  the surrogate has not predicted anything yet: its first step trains every single layer", "cell--dim"),)
        ]
    groups: dict[str, list[tuple[float, float]]] = {}
    for guess in pairs:
        groups.setdefault(guess.group, []).append((guess.predicted, guess.measured))
    values = [value for guess in pairs for value in (guess.predicted, guess.measured)]
    ends = [min(values), max(values)]
    curves = [make_curve("as predicted", ends, ends, valued=False)]
    curves += [
        make_curve(name, *zip(*sorted(group), strict=True), scattered=True, valued=False)
        for name, group in groups.items()
    ]
    chart = ChartData("measured", tuple(curves), "guess", None, (len(pairs),), x_whole=False)
    return [*chart_lines(chart, width, ROWS), ((_summary(run), "plot--value"),)]


def step_lines(run: RunSnapshot, width: int) -> list[Line]:
    """Two small charts over the steps: how well candidates were ranked, and how boldly they were drawn."""
    steps = [(float(nth), question) for nth, question in enumerate(questions(run), start=1)]
    ranked = [(nth, step.rank_correlation) for nth, step in steps if step.rank_correlation is not None]
    heated = [(nth, step.temperature) for nth, step in steps if step.temperature is not None]
    lines: list[Line] = []
    for name, points in (("rank correlation", ranked), ("temperature", heated)):
        if len(points) > 1:
            curve = make_curve(name, [nth for nth, _ in points], [value for _, value in points])
            lines += chart_lines(ChartData(name, (curve,), "step"), width, 8)
    return lines or [(("  after the second step", "cell--dim"),)]


def _summary(run: RunSnapshot) -> str:
    pairs = guesses(run)
    correlation = spearman([pair.predicted for pair in pairs], [pair.measured for pair in pairs])
    error = sum(abs(pair.predicted - pair.measured) for pair in pairs) / len(pairs)
    told = "no rank correlation yet" if correlation is None else f"rank correlation {correlation:+.2f}"
    return f"{told} · mean error {error:.3g} · {len(pairs)} candidates"
