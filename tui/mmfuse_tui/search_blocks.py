"""Drawings about any search: its questions, its best so far beside what it has to beat, its standings, its choices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len

from mmfuse.report import TrialRecord
from mmfuse_runs.comparison import is_number
from mmfuse_runs.measured import measured_alike
from mmfuse_tui import wording
from mmfuse_tui.charts import staircase
from mmfuse_tui.clean import clean, fit, wrap
from mmfuse_tui.curves import ChartData, make_curve
from mmfuse_tui.importance import FORMULA, Importance, Table, importances, trial_tables
from mmfuse_tui.plot import chart_lines
from mmfuse_tui.search_story import Question, arms, late_fusion_score, questions, searched, standings
from mmfuse_tui.sketch import Line, Piece
from mmfuse_tui.snapshot import RunSnapshot
from mmfuse_tui.trial_columns import candidate_words

CHART_ROWS = 11
"""Height of a chart among other drawings."""
SHOWN_CHOICES = 12
"""Choices listed by importance: beyond these, shares are close to nothing."""


def incumbent_lines(run: RunSnapshot, width: int) -> list[Line]:
    """The best score so far of the search and of its random control, by trainings each has spent; late fusion level."""
    stairs = _stairs(run)
    if not stairs:
        return [(("  no trial is scored yet", "cell--dim"),)]
    late = late_fusion_score(run)
    if late is not None:
        longest = max(steps[-1] for steps, _ in stairs.values())
        stairs["late fusion"] = ([1.0, longest], [late, late])
    worst = _worst_shown([best[-1] for _, best in stairs.values()], maximize=run.maximize)
    curves = []
    for name, (steps, best) in stairs.items():
        kept = [nth for nth, value in enumerate(best) if (value >= worst if run.maximize else value <= worst)]
        curves.append(make_curve(name, [steps[nth] for nth in kept], [best[nth] for nth in kept]))
    title = f"best {run.metric.partition('/')[2] or 'score'}"
    return chart_lines(ChartData(title, tuple(curves), "trained"), width, CHART_ROWS)


def question_lines(run: RunSnapshot, width: int) -> list[Line]:
    """One line per question: how far it is, what leads, and what a guided search said of it."""
    rows = questions(run)
    if not rows:
        return [(("  nothing was asked yet", "cell--dim"),)]
    guided = width >= 52 and any(row.temperature is not None for row in rows)
    name_width = min(max(cell_len(clean(row.name)) for row in rows), max(8, width // 3))
    head = fit("question", name_width) + "  trials  best   "
    head += f" {'T':>5} {'from':>5} {'ρ':>6} " if guided else ""
    lines: list[Line] = [((head + " leader", "plot--label"),)]
    return lines + [_question_line(row, name_width, guided) for row in rows]


def standing_lines(run: RunSnapshot, width: int) -> list[Line]:
    """The search beside each baseline: trainings, the score searched by, mean and deviation on held-out data."""
    told = standings(run) or {}
    rows = [row for row in told.get("rows") or () if isinstance(row, Mapping)]
    lines: list[Line] = [((fit("", 18) + "  trained  searched  held out", "plot--label"),)]
    best = [row["held_out"] for row in rows if is_number(row.get("held_out"))]
    top = (max(best) if run.maximize else min(best)) if best else None
    for row in rows:
        leads = top is not None and row.get("held_out") == top
        held = wording.number(row.get("held_out"))
        if row.get("held_out_std") is not None:
            held += f" ± {wording.number(row['held_out_std'], digits=2)}"
        words = f"{row.get('trainings', '')!s:>7}  {wording.number(row.get('score')):>8}  {held:<17}"
        name = ("★ " if leads else "  ") + clean(str(row.get("name", "")))
        lines.append(
            (
                (fit(name, 18), "cell--strong" if leads else ""),
                (f"  {words}", "cell--strong" if leads else ""),
                (f" {clean(str(row.get('chain', '')))}", "plot--label"),
            )
        )
    lines += [_not_trained(row) for row in told.get("not_trained") or () if isinstance(row, Mapping)]
    return lines


def importance_lines(table: Table, width: int, *, maximize: bool) -> list[Line]:
    """Choices by the share of variance they explain, with their best and worst value."""
    found = importances(table, maximize=maximize)
    if not found:
        return [(("  every candidate so far is the same in its choices", "cell--dim"),)]
    name_width = min(max(cell_len(item.name) for item in found), max(10, width // 3))
    bar_width = max(6, min(18, width - name_width - 42))
    lines = [_importance_line(item, name_width, bar_width) for item in found[:SHOWN_CHOICES]]
    if len(found) > SHOWN_CHOICES:
        lines.append(((f"  and {len(found) - SHOWN_CHOICES} more that explain less", "plot--label"),))
    told = FORMULA if any(item.share is not None for item in found) else "every value was tried once: no variance yet"
    return lines + [((words, "plot--label"),) for words in wrap(f"{len(table.scores)} trials; {told}", width)]


def tables_of(run: RunSnapshot) -> list[Table]:
    """The tables worth ranking choices in: more than one trial, and something differs."""
    return [table for table in trial_tables(searched(run)) if len(table.scores) > 1 and table.names]


def _stairs(run: RunSnapshot) -> dict[str, tuple[list[float], list[float]]]:
    """Per arm, the best score so far over the trainings spent."""
    stairs = {}
    for name, trials in arms(run).items():
        alike = set(map(id, measured_alike(trials)))
        scores = [_score_of(trial) if id(trial) in alike else math.nan for trial in trials if _ended(trial)]
        steps, best = staircase([float(nth + 1) for nth in range(len(scores))], scores, maximize=run.maximize)
        if steps:
            stairs[name] = (steps, best)
    return stairs


def _score_of(trial: TrialRecord) -> float:
    return math.nan if trial.score is None else trial.score


def _worst_shown(finals: list[float], *, maximize: bool) -> float:
    """Where the axis ends: first scores lie far below, and would press what is compared into one line."""
    low, high = min(finals), max(finals)
    room = 3 * (high - low) if high > low else math.inf
    return low - room if maximize else high + room


def _ended(trial: TrialRecord) -> bool:
    return trial.status not in ("running", "skipped")


def _question_line(row: Question, name_width: int, guided: bool) -> Line:
    share = row.done / row.asked if row.asked else 0.0
    style = "cell--accent" if share < 1 else ""
    pieces: list[Piece] = [
        (fit(clean(row.name), name_width), style),
        (f"  {row.done:>3}/{row.asked:<3}", style),
        (f" {wording.number(row.best.score if row.best else None):<7}", "cell--strong"),
    ]
    if guided:
        temperature = "" if row.temperature is None else f"{row.temperature:.2f}"
        candidates = "" if row.candidates is None else str(row.candidates)
        correlation = "" if row.rank_correlation is None else f"{row.rank_correlation:+.2f}"
        pieces.append((f" {temperature:>5} {candidates:>5} {correlation:>6} ", ""))
    leader = candidate_words(row.best) if row.best else ""
    failed = f" ✗ {row.failed} failed" if row.failed else ""
    return (*pieces, (f" {leader}", "plot--label"), (failed, "plot--alarm"))


def _importance_line(item: Importance, name_width: int, bar_width: int) -> Line:
    best, worst = item.levels[0], item.levels[-1]
    filled, rest = wording.bar(item.share or 0.0, bar_width)
    share = " once each" if item.share is None else f"{item.share:6.0%}"
    return (
        (fit(item.name, name_width) + " ", ""),
        *(((filled, "cell--bar"), (rest, "cell--track")) if item.share is not None else ((" " * bar_width, ""),)),
        (f"{share} ", "cell--strong"),
        (f" {best.value} {wording.number(best.mean)}", ""),
        (f" … {worst.value} {wording.number(worst.mean)}", "plot--label"),
    )


def _not_trained(row: Mapping[str, Any]) -> Line:
    words = f"  not trained: {clean(str(row.get('preset', '')))}, {row.get('trainings', '?')} trainings"
    return ((words, "plot--label"),)
