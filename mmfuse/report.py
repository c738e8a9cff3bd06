"""How the library tells what happens, without knowing who listens.

A run manager journals it, a notebook prints it, a test collects it. Metric names are ``split/metric``
(``train/loss``, ``val/accuracy``, ``test/f1_macro``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mmfuse.architecture import Architecture

TrialStatus = Literal["running", "done", "failed", "pruned", "skipped"]


@dataclass(frozen=True)
class TrialRecord:
    """One candidate of a search: what it is, and how it went so far.

    ``score`` is None until the trial is done (a pruned trial keeps the score of its last rung). ``epochs`` and
    ``steps`` count what was really trained; ``reason`` says why a trial failed, was pruned or skipped.
    """

    number: int
    architecture: Architecture
    seed: int
    status: TrialStatus = "running"
    score: float | None = None
    parameters: int | None = None
    macs: int | None = None
    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for a journal."""
        record = {name: value for name, value in vars(self).items() if name not in ("architecture", "metrics")}
        return record | {
            "key": self.architecture.key,
            "architecture": self.architecture.to_json(),
            "metrics": dict(self.metrics),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TrialRecord:
        """The record that `to_json` wrote; keys it does not know are ignored (newer writers)."""
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        return cls(**known | {"architecture": Architecture.from_json(record["architecture"])})


class Reporter(Protocol):
    """The seam between the library and whoever keeps the numbers."""

    def metrics(
        self, values: Mapping[str, float], *, step: int, epoch: int | None = None, trial: int | None = None
    ) -> None:
        """Numbers measured at ``step`` (optimiser steps so far), of the run or of one of its trials."""

    def resumed(self, step: int) -> None:
        """Full training goes on after ``step``: what an earlier attempt reported of later steps is void."""

    def trial(self, record: TrialRecord) -> None:
        """A trial began (status ``running``) or ended (any other status)."""

    def progress(self, done: float, total: float, *, what: str) -> None:
        """``done`` of ``total`` units of work are finished; ``what`` names the present activity."""

    def note(self, message: str, **facts: Any) -> None:
        """Something worth keeping that is not a number; ``facts`` are JSON values."""

    def flush(self) -> None:
        """Make what was reported safe: a checkpoint is about to be written that stands on it."""


class NullReporter:
    """Listens and forgets."""

    def metrics(
        self, values: Mapping[str, float], *, step: int, epoch: int | None = None, trial: int | None = None
    ) -> None:
        """Forget the numbers."""

    def resumed(self, step: int) -> None:
        """Forget where training goes on."""

    def trial(self, record: TrialRecord) -> None:
        """Forget the trial."""

    def progress(self, done: float, total: float, *, what: str) -> None:
        """Forget the progress."""

    def note(self, message: str, **facts: Any) -> None:
        """Forget the note."""

    def flush(self) -> None:
        """Nothing was kept."""
