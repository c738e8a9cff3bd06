"""Reads one run for the panels, again and again, taking only what changed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfuse.architecture import Architecture
from mmfuse.errors import BadSpec, MmfuseError, StoreError
from mmfuse.report import TrialRecord
from mmfuse.task import Task
from mmfuse_runs.folder import RunFolder
from mmfuse_tui.charts import run_charts
from mmfuse_tui.curves import ChartData
from mmfuse_tui.facts import Section, sections_of
from mmfuse_tui.log_tail import LogTail
from mmfuse_tui.snapshot import RunSnapshot

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

Signature = tuple[int, ...] | None


class RunReader:
    """Follows one run's folder; a folder that is damaged or vanishes becomes a sentence in the snapshot."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._table = folder.metrics()
        self._log = LogTail()
        self._events: Signature = None
        self._trials: tuple[TrialRecord, ...] = ()
        self._notes: list[Mapping[str, Any]] = []
        self._charts: tuple[ChartData, ...] = ()
        self._sections: tuple[Section, ...] | None = None
        self._problems: tuple[str, ...] = ()
        self._architecture: Architecture | None = None
        self._spec: Mapping[str, Any] = {}
        self._result: Mapping[str, Any] = {}
        self._task: Task | None = None
        self._has_task = False
        self._looked = False

    @property
    def complete(self) -> bool:
        """Whether the last snapshot held all there is; another look is due where it did not."""
        return self._has_task

    def poll(self, run: RunRecord | None) -> RunSnapshot | None:
        """A new snapshot, or None when nothing changed since the last one. ``run`` is its record in the listing."""
        changed = [
            self._poll_numbers(run),
            self._log.poll(self.folder.log_paths()),
            self._poll_facts(run),
            self._poll_task(run),
        ]
        if not any(changed):
            return None
        return RunSnapshot(
            self.folder.id,
            self._charts,
            self._trials,
            run.maximize if run else True,
            self._log.lines(),
            self._sections or (),
            self._problems,
            processes_of(self._state),
            run.metric if run else "",
            tuple(self._notes),
            self._architecture,
            self._task,
            self._spec,
            self._result,
            self._log.hidden,
        )

    def _poll_numbers(self, run: RunRecord | None) -> bool:
        """Metrics and trials; on the first call also when there are none yet."""
        events = signature(self.folder.path / "events.jsonl")
        new_events = events != self._events
        if new_events:
            self._events = events
            self._trials = tuple(self.folder.trials())
            self._notes = [event for event in self.folder.events() if event.get("ev") == "note"]
        if not (self._table.poll() or new_events or (not self._charts and self._sections is None)):
            return False
        self._charts = run_charts(
            self._table, self._trials, metric=run.metric if run else "", maximize=run.maximize if run else True
        )
        return True

    def _poll_facts(self, run: RunRecord | None) -> bool:
        problems: list[str] = []
        spec = self._spec = _read(self.folder.spec, problems)
        self._state = _read(self.folder.state, problems)
        outcome = _read(self.folder.exit, problems)
        self._architecture = architecture_of(spec, outcome, self._notes)
        self._result = outcome.get("result") or {}
        sections = sections_of(
            run,
            spec=spec,
            launch=_read(self.folder.launch, problems),
            state=self._state,
            outcome=outcome,
            notes=self._notes,
        )
        found = (sections, tuple(dict.fromkeys(problems)))
        if found == (self._sections, self._problems):
            return False
        self._sections, self._problems = found
        return True

    def _poll_task(self, run: RunRecord | None) -> bool:
        """The dataset's task, which only diagrams need.

        Option models take as long to load as everything that the first paint shows, so the curves do not wait for them.
        """
        is_first, self._looked = not self._looked, True
        if run is None or self._has_task or (is_first and "mmfuse.spec" not in sys.modules):
            return False
        self._has_task = True
        self._task = _task_of(self._spec)
        return self._task is not None


def architecture_of(
    spec: Mapping[str, Any], outcome: Mapping[str, Any], notes: Iterable[Mapping[str, Any]]
) -> Architecture | None:
    """What a run is about: its result's architecture, else the one its search found, else the one it trains."""
    found = [note.get("facts") for note in notes if note.get("message") == "found"]
    records = [outcome.get("result"), *reversed(found)]
    records = [record.get("architecture") for record in records if isinstance(record, Mapping)]
    for record in (*records, spec if "family" in spec else None):
        with suppress(BadSpec):
            if isinstance(record, Mapping):
                return Architecture.from_json({"params": {}, **record})
    return None


def signature(path: Path) -> Signature:
    """What changes when a file does; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _read(read: Any, problems: list[str]) -> Mapping[str, Any]:
    try:
        return read() or {}
    except StoreError as error:
        problems.append(error.message)
        return {}


def processes_of(state: Mapping[str, Any]) -> dict[str, int]:
    """Process ids of worker and supervisor, as far as state.json names them."""
    found = {}
    for role in ("worker", "supervisor"):
        identity = state.get(role)
        if isinstance(identity, Mapping) and isinstance(identity.get("pid"), int):
            found[role] = identity["pid"]
    return found


def _task_of(spec: Mapping[str, Any]) -> Task | None:
    """The task of the spec's dataset, with its options where they are still known; None for an unknown dataset."""
    from mmfuse.spec import task_of

    for data in (spec.get("data"), None):
        with suppress(MmfuseError, KeyError, TypeError):
            return task_of(spec["dataset"], data)
    return None
