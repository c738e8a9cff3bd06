"""The worker's `Reporter`: metrics and events into the run's journals, progress into one small file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmfuse.report import TrialRecord
from mmfuse_runs.journal import JournalWriter

PROGRESS_SECONDS = 0.5
PROGRESS_BURST = 32
"""Reports that may follow each other at once after a pause: trials that are trained side by side end together, and the
count that is told last stands until the next of them ends, perhaps an hour later."""


class _Work:
    """Something that is counted up to a total: where and when the count began, and how far it is."""

    def __init__(self, first: float, total: float, began: float) -> None:
        self.first = self.done = first
        self.total = total
        self.began = began

    def goes_on(self, done: float, total: float) -> bool:
        """Whether a report is of the same count."""
        return total == self.total and done >= self.done


class RunReporter:
    """Writes what the library reports into the folder of one run; the only writer of these files."""

    def __init__(self, folder: Path, *, run_id: str, attempt: int) -> None:
        self.folder = folder
        self.attempt = attempt
        self._metrics = JournalWriter(folder / "metrics.jsonl")
        self._events = JournalWriter(folder / "events.jsonl")
        self._header = {"v": 1, "run": run_id, "attempt": attempt, "t0": time.time()}
        self._phase = ""
        self._work = _Work(0.0, 0.0, time.time())
        self._progress_due = 0.0
        self._metric, self._maximize = "", True
        self._best: float | None = None
        self._metrics.append(self._header | {"resume_step": None})
        self._event("attempt", pid=os.getpid())

    def resumed(self, step: int) -> None:
        """Append a header that voids what earlier attempts wrote of steps after ``step``."""
        self._metrics.append(self._header | {"resume_step": step})

    def metrics(
        self, values: Mapping[str, float], *, step: int, epoch: int | None = None, trial: int | None = None
    ) -> None:
        """Append one row to the metrics journal; a new best score of the run's own training is noted as well."""
        self._metrics.append({"s": step, "e": epoch, "t": time.time(), "n": trial, "m": dict(values)})
        if trial is None and self._metric in values:
            self._note_best(values[self._metric], step)

    def trial(self, record: TrialRecord) -> None:
        """Append the trial to the events journal; an ended trial is on disk when this returns."""
        self._event("trial", trial=record.to_json())
        if record.status != "running":
            self._metrics.flush()
            self._events.flush()

    def progress(self, done: float, total: float, *, what: str) -> None:
        """Replace progress.json, twice a second on average unless the work is done or of another kind.

        The pace is that since the count began anew, with another total or from below: the stages of a search count on.
        """
        now = time.time()
        phase = what.partition("/")[0]
        is_news = phase != self._phase or not self._work.goes_on(done, total)
        if not self._work.goes_on(done, total):
            self._work = _Work(done, total, now)
        self._phase, self._work.done = phase, done
        due = max(self._progress_due, now - PROGRESS_BURST * PROGRESS_SECONDS)
        if now < due and done < total and not is_news:
            return
        self._progress_due = due + PROGRESS_SECONDS
        pace = {"started": self._work.began, "first": self._work.first}
        record = {"done": done, "total": total, "what": what, "at": now, **pace}
        temporary = self.folder / f"progress.json.{os.getpid()}.tmp"
        try:
            temporary.write_text(json.dumps(record))
            temporary.replace(self.folder / "progress.json")
        except OSError:
            # A full disk must not end a training over a progress bar; the next report tries again.
            temporary.unlink(missing_ok=True)

    def note(self, message: str, **facts: Any) -> None:
        """Append a note to the events journal."""
        if message == "dataset":
            self._metric, self._maximize = facts["metric"], facts["maximize"]
        self._event("note", message=message, facts=facts)

    def flush(self) -> None:
        """Put everything reported on the disk: a checkpoint that stands on it is about to be written."""
        self._metrics.sync()
        self._events.sync()

    def close(self) -> None:
        """Flush and close both journals."""
        self._metrics.close()
        self._events.close()

    def _note_best(self, score: float, step: int) -> None:
        """For whoever lists live runs: reading a few notes is quicker than a journal of metrics."""
        if self._best is None or (score > self._best if self._maximize else score < self._best):
            self._best = score
            self.note("best", score=score, step=step)

    def _event(self, kind: str, **fields: Any) -> None:
        self._events.append({"v": 1, "ev": kind, "t": time.time(), "attempt": self.attempt, **fields})
        self._events.flush()
