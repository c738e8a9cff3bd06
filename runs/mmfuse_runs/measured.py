"""Which trials of a search can be held against each other."""

from __future__ import annotations

from collections.abc import Iterable

from mmfuse.report import TrialRecord

HELD_OUT, ENCODER = "choice", "encoder/"
"""The stage of trials that are measured on held-out rows, and the beginning of those that try an encoder alone."""


def measured_alike(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The trials among which there is a best one: whole models, measured on the rows searched by.

    Encoders that are tried alone answer another question, and often score higher than the first models made of them;
    only while there is nothing else do they count. A pruned trial's score is that of a shorter training.
    """
    known = [trial for trial in trials if trial.status != "pruned" and trial.architecture.stage != HELD_OUT]
    whole = [trial for trial in known if not trial.architecture.stage.startswith(ENCODER)]
    return whole if any(trial.score is not None for trial in whole) else known
