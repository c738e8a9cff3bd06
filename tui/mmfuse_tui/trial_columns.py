"""The trials of a search as table rows: ranked within their question, the running one first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmfuse.report import TrialRecord
from mmfuse_runs.records import architecture_label
from mmfuse_tui import wording
from mmfuse_tui.clean import clean
from mmfuse_tui.columns import Column, Piece
from mmfuse_tui.states import look_of_state


@dataclass(frozen=True)
class RankedTrial:
    """A trial and its place among those that answer the same question; None while it has no score."""

    trial: TrialRecord
    rank: int | None
    maximize: bool = True


def rank_trials(trials: Sequence[TrialRecord], *, maximize: bool) -> tuple[RankedTrial, ...]:
    """Newest question first; within it the running trials, then the scored ones best first, then the rest.

    Pruned trials stand behind the other scored ones: their score is that of a shorter training.
    """
    stages = {trial.architecture.stage: nth for nth, trial in enumerate(trials)}
    sign = -1 if maximize else 1
    ranked = []
    for stage in sorted(stages, key=stages.__getitem__, reverse=True):
        members = [trial for trial in trials if trial.architecture.stage == stage]
        scored = sorted(
            (trial for trial in members if _is_scored(trial)),
            key=lambda trial: (trial.status == "pruned", sign * (trial.score or 0.0), trial.number),
        )
        others = [trial for trial in members if not _is_scored(trial)]
        ranked += [RankedTrial(trial, None, maximize) for trial in others if trial.status == "running"]
        ranked += [RankedTrial(trial, place, maximize) for place, trial in enumerate(scored, start=1)]
        ranked += [RankedTrial(trial, None, maximize) for trial in others if trial.status != "running"]
    return tuple(ranked)


def trial_columns() -> tuple[Column[RankedTrial], ...]:
    """All columns in the order shown."""
    return (
        Column("rank", "Rank", _rank, 4, 1, right=True),
        Column("number", "#", lambda row, _: [(str(row.trial.number), "cell--dim")], 4, 5, right=True),
        Column(
            "stage",
            "Question",
            lambda row, _: [(clean(row.trial.architecture.stage) or "-", "")],
            12,
            3,
            wish=16,
            most=18,
        ),
        Column(
            "what", "Candidate", lambda row, _: [(candidate_words(row.trial), "cell--strong")], 12, 0, wish=20, most=48
        ),
        Column("score", "Score", _score, 8, 0, right=True),
        Column("params", "Params", lambda row, _: [(wording.count(row.trial.parameters), "")], 6, 4, right=True),
        Column("time", "Time", lambda row, _: [(_seconds(row.trial), "cell--dim")], 6, 6, right=True),
        Column("status", "Status", _status, 9, 2, most=30),
    )


def _is_scored(trial: TrialRecord) -> bool:
    return trial.status in ("done", "pruned") and trial.score is not None and trial.score == trial.score


def _rank(row: RankedTrial, width: int) -> list[Piece]:
    if row.rank is None:
        return [("", "")]
    return [("★ " if row.rank == 1 else "", "cell--accent"), (str(row.rank), "cell--strong" if row.rank == 1 else "")]


def _score(row: RankedTrial, width: int) -> list[Piece]:
    if row.trial.score is None:
        return [("-", "cell--dim")]
    return [(wording.number(row.trial.score), ""), (" ↑" if row.maximize else " ↓", "cell--dim")]


def _status(row: RankedTrial, width: int) -> list[Piece]:
    look = look_of_state(row.trial.status)
    reason = f"  {clean(row.trial.reason)}" if row.trial.reason else ""
    return [(f"{look.glyph} {look.word}", look.style), (reason, "cell--dim")]


def _seconds(trial: TrialRecord) -> str:
    return (
        ""
        if trial.status == "running"
        else f"{trial.seconds:.1f}s"
        if trial.seconds < 60
        else wording.span(trial.seconds)
    )


def candidate_words(trial: TrialRecord) -> str:
    """The answer that the candidate gives to its question; the whole architecture where there is no single one."""
    params, stage = trial.architecture.params, trial.architecture.stage
    part = params.get("encoder" if stage.startswith("encoder/") else stage)
    answer = part.get("block") if isinstance(part, Mapping) else part
    return clean(str(answer or "")) or clean(architecture_label(trial.architecture.to_json())) or trial.architecture.key
