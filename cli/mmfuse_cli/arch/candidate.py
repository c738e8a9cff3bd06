"""An architecture as `mmfuse arch` asks about it: with the run it comes from and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse.errors import MmfuseError
from mmfuse_cli import complete

if TYPE_CHECKING:
    from mmfuse.architecture import Architecture
    from mmfuse.task import Task
    from mmfuse_runs.folder import RunFolder
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore

Source = Annotated[
    str,
    typer.Argument(
        help="A run, for what it found or trained, or RUN:TRIAL.",
        autocompletion=complete.architectures,
        metavar="RUN[:TRIAL]",
    ),
]


@dataclass(frozen=True)
class Candidate:
    """An architecture, where it stands, and its score, parameters and MACs as far as they were measured there."""

    architecture: Architecture
    folder: RunFolder
    record: RunRecord
    trial: int | None = None
    score: float | None = None
    parameters: int | None = None
    macs: int | None = None

    @property
    def name(self) -> str:
        """How it is named on a command line."""
        return self.record.id if self.trial is None else f"{self.record.id}:{self.trial}"

    @cached_property
    def choices(self) -> Mapping[str, str]:
        """The decisions that make it, as words."""
        from mmfuse_tui.families import choices_of

        return choices_of(self.architecture)

    @cached_property
    def task(self) -> Task | None:
        """What it is for; None for a dataset that is not here."""
        from mmfuse.spec import task_of  # here, because it loads pydantic, and Tab waits for this module

        with suppress(MmfuseError):
            spec = self.folder.spec()
            return task_of(str(spec.get("dataset", "")), spec.get("data"))
        return None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; ``architecture`` is what `mmfuse.architecture.Architecture.from_json` takes."""
        return {
            "run": self.record.id,
            "trial": self.trial,
            "key": self.architecture.key,
            "architecture": self.architecture.to_json(),
            "choices": dict(self.choices),
            "score": self.score,
            "metric": self.record.metric,
            "parameters": self.parameters,
            "macs": self.macs,
        }


def candidate_at(store: RunStore, source: str) -> Candidate:
    """What ``source`` (``RUN`` or ``RUN:TRIAL``) names.

    Raises:
        UnknownName: no such run or trial.
        BadSpec: the run has found nothing yet.
    """
    from mmfuse_runs.origin import architecture_at

    folder, number, architecture = architecture_at(store, source)
    record = store.record(folder.id)
    if not number:
        score, parameters, macs = record.score, record.parameters, record.macs
        return Candidate(architecture, folder, record, None, score, parameters, macs)
    trial = next(trial for trial in folder.trials() if str(trial.number) == number)
    return Candidate(architecture, folder, record, trial.number, trial.score, trial.parameters, trial.macs)
