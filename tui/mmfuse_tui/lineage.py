"""Which candidate of a search came from which: a tree from what was asked first down to what won.

Nobody wrote descent down; it follows from the candidates themselves. What a step makes of which candidates is a matter
of the family (see `mmfuse_tui.families`): MFAS changes or appends one layer of an earlier chain, MixMAS fuses the
encoders that it had chosen, then fixes the function. Random networks descend from nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len

from mmfuse.architecture import Architecture
from mmfuse.report import TrialRecord
from mmfuse_runs.comparison import is_number
from mmfuse_tui import wording
from mmfuse_tui.clean import clean, fit
from mmfuse_tui.families import choices_of, parents_of
from mmfuse_tui.search_story import CHOICE_STAGE, CONTROL_STAGE
from mmfuse_tui.sketch import Line
from mmfuse_tui.trial_columns import candidate_words

SHOWN = 16
"""Candidates drawn among other drawings: the way to the winner, then the best of the others."""
_SCORE_WIDTH = 8


@dataclass(frozen=True)
class Candidate:
    """What was asked at one stage, by its first trial; ``score`` is the mean over its trials, None before there is one.

    ``parents`` are the first trials of those it came from: none for what a search begins with, one of each modality for
    a fusion of encoders.
    """

    trial: int
    trials: tuple[int, ...]
    architecture: Architecture
    words: str
    score: float | None
    parents: tuple[int, ...]

    @property
    def stage(self) -> str:
        """The question that it answers."""
        return self.architecture.stage

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "trial": self.trial,
            "trials": list(self.trials),
            "parents": list(self.parents),
            "stage": self.stage,
            "key": self.architecture.key,
            "candidate": self.words,
            "score": self.score,
        }


def lineage_of(trials: Iterable[TrialRecord], *, maximize: bool) -> list[Candidate]:
    """The search's own candidates in the order they were asked.

    Left out are the random networks beside a search, and its comparison on held-out data, which asks nothing new.
    """
    by_stage = asked_by(trials)
    found: list[Candidate] = []
    for of_stage in by_stage.values():
        earlier = sorted(found, key=lambda candidate: _badness(candidate, maximize=maximize))
        asked: dict[str, list[TrialRecord]] = {}
        for trial in of_stage:
            asked.setdefault(trial.architecture.key, []).append(trial)
        found += [_candidate(repeats, earlier) for repeats in asked.values()]
    return found


def asked_by(trials: Iterable[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """The trials that are the search's own, by stage, in the order they were asked."""
    stages: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        stages.setdefault(trial.architecture.stage, []).append(trial)
    stages.pop(CHOICE_STAGE, None)
    own = {stage: asked for stage, asked in stages.items() if stage != CONTROL_STAGE}
    return own or stages


def winning_path(candidates: Sequence[Candidate], winner: Architecture | None, *, maximize: bool) -> list[Candidate]:
    """The winner and all that it came from, in the order they were asked; nothing while nothing has a score.

    ``winner`` is what the search found; while it goes on, the best of the stage asked last that has a score leads.
    """
    known = {candidate.trial: candidate for candidate in candidates}
    scored = [candidate for candidate in candidates if candidate.score is not None]
    ends = _those_that_are(candidates, winner) if winner is not None else []
    if not ends and scored:
        rivals = [candidate for candidate in scored if candidate.architecture.family == scored[-1].architecture.family]
        ends = [min(rivals, key=lambda candidate: _badness(candidate, maximize=maximize))]
    path: set[int] = set()
    reached = [ends[-1].trial] if ends else []
    while reached:
        trial = reached.pop()
        path.add(trial)
        reached += known[trial].parents
    return [known[trial] for trial in sorted(path)]


def lineage_lines(
    candidates: Sequence[Candidate],
    winner: Architecture | None,
    width: int,
    *,
    maximize: bool,
    shown: int | None = SHOWN,
) -> list[Line]:
    """The tree, each candidate below the one that it came from last; the way to the winner is marked with stars.

    With ``shown`` only as many candidates are drawn, and what is left out is counted where it would stand.
    """
    path = winning_path(candidates, winner, maximize=maximize)
    tree = _Tree(candidates, path, maximize=maximize, shown=len(candidates) if shown is None else shown)
    rows = list(tree.rows(None, ""))
    wide = min(max((cell_len(row.branch + row.words) for row in rows), default=0), max(12, width - _SCORE_WIDTH - 18))
    return [row.line(wide) for row in rows]


@dataclass(frozen=True)
class _Row:
    branch: str
    words: str
    score: float | None
    said: str
    """What stands dimmed behind the score."""
    wins: bool = False

    def line(self, wide: int) -> Line:
        room = max(0, wide - cell_len(self.branch))
        score = wording.number(self.score).rjust(_SCORE_WIDTH) if self.words else ""
        style = "cell--accent" if self.wins else ""
        return (
            (self.branch, "plot--axis"),
            (fit(self.words, room) if self.words else "", style),
            (f" {score}", "cell--strong" if self.wins else ""),
            (f"  {self.said}", "plot--label"),
        )


class _Tree:
    """Candidates by the parent below which each is drawn, and which of them are."""

    def __init__(
        self, candidates: Sequence[Candidate], path: Sequence[Candidate], *, maximize: bool, shown: int
    ) -> None:
        self._known = {candidate.trial: candidate for candidate in candidates}
        self._path = {candidate.trial for candidate in path}
        self._maximize = maximize
        self._below: dict[int | None, list[Candidate]] = {}
        for candidate in candidates:
            self._below.setdefault(max(candidate.parents, default=None), []).append(candidate)
        self._shown = set(self._path)
        for candidate in sorted(candidates, key=self._badness):
            if len(self._shown) >= shown:
                break
            self._show(candidate.trial)

    def rows(self, parent: int | None, branch: str) -> Iterable[_Row]:
        """What stands below ``parent``: stars first, then the best."""
        children = sorted(self._below.get(parent, ()), key=lambda child: (not self._wins(child), self._badness(child)))
        drawn = [child for child in children if child.trial in self._shown]
        hidden = [child for child in children if child.trial not in self._shown]
        for nth, child in enumerate(drawn):
            is_last = nth == len(drawn) - 1 and not hidden
            fork = "" if parent is None else "└─ " if is_last else "├─ "
            wins = self._wins(child)
            yield _Row(branch + fork, ("★ " if wins else "") + child.words, child.score, self._said(child), wins)
            yield from self.rows(child.trial, branch + ("" if parent is None else "   " if is_last else "│  "))
        if hidden:
            scores = [child.score for child in hidden if child.score is not None]
            best = f", best {wording.number((max if self._maximize else min)(scores))}" if scores else ""
            yield _Row(branch + ("" if parent is None else "└─ "), "", None, f"… {len(hidden)} more{best}")

    def _said(self, child: Candidate) -> str:
        """The question, and the other parents of one that has several."""
        others = [self._known[trial] for trial in child.parents if trial != max(child.parents)]
        told = "".join(f", with {other.words} ({clean(other.stage)})" for other in others)
        return clean(child.stage) + told

    def _show(self, trial: int) -> None:
        """Draw it, and everything above it."""
        above: int | None = trial
        while above is not None and above not in self._shown:
            self._shown.add(above)
            above = max(self._known[above].parents, default=None)

    def _wins(self, candidate: Candidate) -> bool:
        return candidate.trial in self._path

    def _badness(self, candidate: Candidate) -> tuple[bool, float, int]:
        return _badness(candidate, maximize=self._maximize)


def _candidate(repeats: Sequence[TrialRecord], earlier: Sequence[Candidate]) -> Candidate:
    scores = [trial.score for trial in repeats if trial.status == "done" and is_number(trial.score)]
    first = repeats[0]
    places = parents_of(first.architecture, [candidate.architecture for candidate in earlier])
    return Candidate(
        first.number,
        tuple(trial.number for trial in repeats),
        first.architecture,
        candidate_words(first),
        statistics.fmean(score for score in scores if score is not None) if scores else None,
        tuple(sorted(earlier[place].trial for place in places)),
    )


def _those_that_are(candidates: Sequence[Candidate], winner: Architecture) -> list[Candidate]:
    """The candidates with this architecture; what was trained in full may be wider, but has the same choices."""
    same = [candidate for candidate in candidates if candidate.architecture == winner]
    choices = choices_of(winner)
    alike = [candidate for candidate in candidates if candidate.architecture.family == winner.family]
    return same or [candidate for candidate in alike if choices_of(candidate.architecture) == choices]


def _badness(candidate: Candidate, *, maximize: bool) -> tuple[bool, float, int]:
    """Best first, then in the order asked; what has no score last."""
    score = candidate.score
    return (score is None, (-score if maximize else score) if score is not None else 0.0, candidate.trial)
