"""What a follower sees of a run at one moment, read at the cost of a few `stat` calls while nothing changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmfuse.report import TrialRecord

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore


@dataclass(frozen=True)
class Glimpse:
    """A run at one moment: its record, its trials by number and the scores to draw, oldest first."""

    record: RunRecord
    trials: Sequence[TrialRecord] = ()
    scores: Sequence[float] = ()
    score_name: str = ""

    @property
    def best(self) -> TrialRecord | None:
        """The best trial of the last stage that has scores; scores of different stages answer different questions."""
        scored = [trial for trial in self.trials if trial.score is not None]
        stage = scored[-1].architecture.stage if scored else ""
        direction = 1 if self.record.maximize else -1
        rivals = (trial for trial in scored if trial.architecture.stage == stage)
        return max(rivals, key=lambda trial: direction * (trial.score or 0.0), default=None)


class Watcher:
    """Looks at one run again and again."""

    def __init__(self, store: RunStore, run_id: str) -> None:
        self._store = store
        self._folder = store.folder(run_id)
        self._metrics = self._folder.metrics()
        self._events_size = -1
        self._trials: Sequence[TrialRecord] = ()

    def look(self) -> Glimpse:
        """The run now."""
        record = self._store.record(self._folder.id)
        self._read_trials()
        self._metrics.poll()
        name, scores = self._curve(record.metric)
        return Glimpse(record, self._trials, scores, name)

    def _read_trials(self) -> None:
        path = self._folder.path / "events.jsonl"
        size = path.stat().st_size if path.exists() else 0
        if size != self._events_size:
            self._events_size = size
            self._trials = self._folder.trials()

    def _curve(self, metric: str) -> tuple[str, Sequence[float]]:
        """The validation score of full training once there is one; before that, the scores of the trials."""
        names = self._metrics.names()
        validation = [name for name in names if name.startswith("val/") and name != "val/loss"]
        for name in (metric, *validation, "val/loss", "train/loss"):
            if name in names:
                return name, self._metrics.series(name)[1]
        return "trials", [trial.score for trial in self._trials if trial.score is not None]
