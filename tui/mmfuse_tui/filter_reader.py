"""What a filter asks of runs that their records do not hold: what curves reached, and settings.

Both are in the folders of runs, so they are read in the reader's thread, a little at each look, newest runs first, and
only as far as the filter needs: ``state:running best(val/f1)>0.9`` opens no folder of a run that has ended. What was
read is kept until the run changes. The screen decides by these answers alone; a run without them is not shown yet.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mmfuse.errors import unknown_name
from mmfuse_runs.fields import Folders, RunView
from mmfuse_runs.query import Query

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.tail import MetricsTable
    from mmfuse_tui.snapshot import StoreSnapshot

Answers = Mapping[str, Any]
"""Values of one run by the names of fields; None where it has none."""

LOOK_SECONDS = 0.05
"""Longest time per look that goes into reading for the filter."""
TELL_SECONDS = 0.5
"""Pause between two messages while there is more to read: each of them filters the table again."""
LIVE_SECONDS = 1.0
"""How often runs that go on are looked at for new numbers."""
AGAIN_SECONDS = 30.0
"""How often every run is asked again: by then it may be older than a filter says, which then wants to know more."""
MOST_FIELDS = 16
"""Fields that are kept; who asks for more of them begins anew."""


class Answered(RunView):
    """A run as the screen knows it; it opens nothing. ``complete``: every field that was asked for has an answer."""

    def __init__(self, record: RunRecord, *, now: float, answers: Answers) -> None:
        super().__init__(record, now=now)
        self._answers = answers
        self.complete = True

    def recall(self, field: str, read: object) -> Any:
        """What was read of the field; None while nothing was."""
        self.complete = self.complete and field in self._answers
        return self._answers.get(field)


def is_meant(query: Query, record: RunRecord, *, now: float, answers: Answers) -> bool:
    """Whether the filter means the run, as far as is known."""
    view = Answered(record, now=now, answers=answers)
    return query.accepts(view) and view.complete


class Found(NamedTuple):
    """What was read by run, how many runs are still to be read, and a sentence about a setting that no run has."""

    answers: dict[str, Answers]
    unread: int
    slip: str


class FilterReader:
    """Reads for one filter after the other; `ask` may be called from any thread, `look` belongs to the reader's."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._asked: Query | None = None
        self._query: Query | None = None
        self._store: StoreSnapshot | None = None
        self._todo: dict[str, None] = {}
        self._seen: dict[str, RunRecord] = {}
        self._answers: dict[str, dict[str, Any]] = {}
        self._told: dict[str, Answers] = {}
        self._curves: dict[str, MetricsTable] = {}
        self._fields: set[str] = set()
        self._settings: set[str] = set()
        self._touched: set[str] = set()
        self._last: Found | None = None
        self._live_at = self._tell_at = self._again_at = 0.0

    @property
    def unread(self) -> int:
        """Runs that are still to be read."""
        return len(self._todo)

    def ask(self, query: Query | None) -> None:
        """The filter whose answers are wanted from now on; None for none."""
        self._asked = query

    def look(self, store: StoreSnapshot) -> Found | None:
        """Read for a moment; what was found, when it is time to tell of it."""
        now = time.monotonic()
        if self._asked is not self._query:
            self._begin(self._asked)
        if self._query is None:
            return None
        self._plan(store, now)
        while self._todo and time.monotonic() < now + LOOK_SECONDS:
            run_id = next(iter(self._todo))
            del self._todo[run_id]
            if run_id in store.by_id:
                self._read(store.by_id[run_id], self._query)
        return None if self._todo and now < self._tell_at else self._found(now)

    def _begin(self, query: Query | None) -> None:
        """Another filter: every run is asked again, and told of at once."""
        self._query, self._last = query, None
        self._todo.clear()
        self._curves.clear()
        self._tell_at = self._again_at = 0.0
        self._fields |= {field.name for field in query.fields if field.in_folder} if query else set()
        if len(self._fields) > MOST_FIELDS:
            self._answers.clear()
            self._fields.clear()

    def _plan(self, store: StoreSnapshot, now: float) -> None:
        """Decide which runs to read: all of them now and then, else those that changed."""
        if now >= self._again_at:
            self._again_at = now + AGAIN_SECONDS
            self._todo = dict.fromkeys(run.id for run in store.runs)
        elif store is not self._store:
            self._todo.update(dict.fromkeys(run.id for run in store.runs if self._seen.get(run.id) is not run))
        self._store = store
        if now >= self._live_at:
            self._live_at = now + LIVE_SECONDS
            self._follow()

    def _follow(self) -> None:
        """Runs that go on and have new numbers are asked again; the curves of those that ended are let go."""
        for run_id, curves in list(self._curves.items()):
            if curves.poll():
                self._answers.pop(run_id, None)
                self._todo[run_id] = None
            if not self._seen[run_id].live:
                del self._curves[run_id]

    def _read(self, run: RunRecord, query: Query) -> None:
        """Ask the filter of one run; what it needs is read on the way."""
        self._touched.add(run.id)
        before, self._seen[run.id] = self._seen.get(run.id), run
        if before is not None and (before.state, before.attempt, before.ended) != (run.state, run.attempt, run.ended):
            self._answers.pop(run.id, None)
        view = RunView(run, now=time.time(), folders=self._folders, known=self._answers.setdefault(run.id, {}))
        if run.id in self._curves:
            view.curves = self._curves[run.id]
        query.accepts(view)
        if run.live and view.was_read("curves") and view.curves is not None:
            self._curves[run.id] = view.curves
        if view.was_read("settings"):
            self._settings.update(view.settings)

    def _found(self, now: float) -> Found | None:
        """What is new; None where nothing is."""
        self._tell_at = now + TELL_SECONDS
        touched = {run_id: dict(self._answers.get(run_id, {})) for run_id in self._touched}
        news: dict[str, Answers] = {run: new for run, new in touched.items() if new != self._told.get(run, {})}
        self._touched.clear()
        self._told.update(news)
        found = Found(news, len(self._todo), self._slip())
        before, self._last = self._last, found
        return found if news or before is None or found[1:] != before[1:] else None

    def _slip(self) -> str:
        """A setting that none of the runs has is a slip, and would quietly find nothing."""
        if self._query is None or self._todo or not self._settings:
            return ""
        names = (field.setting for field in self._query.fields if field.setting not in {"", *self._settings})
        errors = (unknown_name("setting of these runs", name, self._settings) for name in names)
        return next((f"{error.message}; {error.hint}" for error in errors), "")
