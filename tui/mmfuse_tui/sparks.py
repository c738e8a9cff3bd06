"""The course of a run in a dozen values, for the table: read in well under a millisecond however long the run is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from mmfuse.report import TrialRecord
from mmfuse_runs.measured import measured_alike
from mmfuse_runs.samples import metric_samples

if TYPE_CHECKING:
    from mmfuse_runs.folder import RunFolder
    from mmfuse_runs.records import RunRecord

POINTS = 12
"""Values of a sparkline: the width of its column."""


def journal_of(folder: RunFolder, run: RunRecord) -> Path:
    """The file that a run's sparkline is drawn from."""
    return folder.path / ("events.jsonl" if run.kind == "search" else "metrics.jsonl")


def spark(folder: RunFolder, run: RunRecord) -> tuple[float, ...]:
    """The course of a run in `POINTS` values or fewer: its best score so far by trial, or its metric by step."""
    if run.kind == "search":
        return _resample(_best_so_far(folder.trials(), maximize=run.maximize))
    return metric_samples(journal_of(folder, run), run.metric, points=POINTS) if run.metric else ()


def _best_so_far(trials: Sequence[TrialRecord], *, maximize: bool) -> list[float]:
    scores = (trial.score for trial in measured_alike(trials) if trial.score is not None)
    return list(accumulate(scores, max if maximize else min))


def _resample(values: Sequence[float]) -> tuple[float, ...]:
    """`POINTS` of the values, evenly spaced and always with the last."""
    if len(values) <= POINTS:
        return tuple(values)
    return tuple(values[round((index + 1) * len(values) / POINTS) - 1] for index in range(POINTS))
