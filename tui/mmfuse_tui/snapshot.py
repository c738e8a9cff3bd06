"""What the reader hands to the screen: immutable, complete, and free of Textual and of the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfuse.architecture import Architecture
from mmfuse.report import TrialRecord
from mmfuse.task import Task
from mmfuse_tui.curves import ChartData
from mmfuse_tui.facts import Section

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord


@dataclass(frozen=True)
class StoreSnapshot:
    """All runs at one moment, newest first. ``problem`` is a sentence when the store cannot be read."""

    runs: tuple[RunRecord, ...] = ()
    read_only: bool = False
    problem: str = ""
    loaded: bool = True

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Runs by state."""
        return Counter(map(_state_of, self.runs))

    @cached_property
    def live(self) -> tuple[RunRecord, ...]:
        """Those that go on, in no order."""
        return tuple(run for run in self.runs if run.live)

    @cached_property
    def by_id(self) -> Mapping[str, RunRecord]:
        """Runs by id."""
        return {run.id: run for run in self.runs}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that results of runs hold, by name; walks through all runs."""
        return tuple(sorted({name for run in self.runs for name in run.metrics}))

    def learn_from(self, before: StoreSnapshot) -> None:
        """Take over what is derived from the runs of ``before``, corrected for the runs that are others now.

        A few of thousands of runs change from one snapshot to the next; walking through all of them each time is what
        a key would wait for. Nothing is taken over where runs came or went.
        """
        if len(before.runs) != len(self.runs):
            return
        changed = [(old, new) for old, new in zip(before.runs, self.runs, strict=True) if old is not new]
        if any(old.id != new.id for old, new in changed):
            return
        counts = Counter(before.counts)
        counts.subtract(_state_of(old) for old, _ in changed)
        counts.update(_state_of(new) for _, new in changed)
        by_id = dict(before.by_id) | {new.id: new for _, new in changed}
        live = [by_id[run.id] for run in before.live if by_id[run.id].live]
        live += [new for old, new in changed if new.live and not old.live]
        vars(self).update(counts=counts, by_id=by_id, live=tuple(live))


@dataclass(frozen=True, eq=False)
class RunSnapshot:
    """Everything the panels show of one run.

    ``problems`` are sentences about files that could not be read; ``processes`` names the worker's and supervisor's
    process ids for the dialogs that end them. ``notes`` are the journal's note rows; ``architecture`` is what was asked
    for or found, None while a search goes on; ``task`` is None for a dataset that is not registered here. ``spec`` and
    ``result`` are config.json and what exit.json came out with. ``hidden_log`` is the file whose beginning, so many
    bytes, is too long to be in ``log``.
    """

    id: str
    charts: tuple[ChartData, ...] = ()
    trials: tuple[TrialRecord, ...] = ()
    maximize: bool = True
    log: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    problems: tuple[str, ...] = ()
    processes: Mapping[str, int] = field(default_factory=dict)
    metric: str = ""
    notes: tuple[Mapping[str, Any], ...] = ()
    architecture: Architecture | None = None
    task: Task | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    hidden_log: tuple[Path, int] | None = None


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """One of several runs that are looked at together."""

    record: RunRecord
    run: RunSnapshot


def _state_of(run: RunRecord) -> str:
    return "damaged" if run.damaged else str(run.state)


@dataclass(frozen=True)
class Notice:
    """Something that happened while the user looked elsewhere; ``severity`` as Textual names it."""

    title: str
    message: str
    failed: bool = False


def notices(before: StoreSnapshot, after: StoreSnapshot) -> list[Notice]:
    """What ended between two snapshots: runs that were live and are not any more."""
    if not before.loaded:
        return []
    now = (after.by_id.get(run.id) for run in before.live)
    ended = [run for run in now if run is not None and not run.live]
    return [_notice(run) for run in sorted(ended, key=lambda run: run.created)]


def _notice(run: RunRecord) -> Notice:
    state = str(run.state)
    words = [run.label]
    if run.score is not None:
        words.append(f"{run.metric} {run.score:.4g}".strip())
    if run.reason and state != "finished":
        words.append(run.reason)
    return Notice(f"Run {state}", " · ".join(words), failed=state in ("crashed", "lost", "killed"))
