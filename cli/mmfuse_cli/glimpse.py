"""What a follower sees of a run at one moment, read at the cost of a few `stat` calls while nothing changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmfuse.report import TrialRecord

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore
    from mmfuse_tui.curves import ChartData


@dataclass(frozen=True)
class Glimpse:
    """A run at one moment: its record, its trials by number, the scores to draw, oldest first, and whole charts.

    ``warnings`` are what this attempt noted in a sentence, such as a collapse alarm, oldest first.
    """

    record: RunRecord
    trials: Sequence[TrialRecord] = ()
    scores: Sequence[float] = ()
    score_name: str = ""
    charts: Sequence[ChartData] = ()
    warnings: Sequence[str] = ()

    @property
    def best(self) -> TrialRecord | None:
        """The best trial of the last stage that has scores; scores of different stages answer different questions.

        So do those of trials that were pruned, which were trained for less.
        """
        scored = [trial for trial in self.trials if trial.status == "done" and trial.score is not None]
        stage = scored[-1].architecture.stage if scored else ""
        direction = 1 if self.record.maximize else -1
        rivals = (trial for trial in scored if trial.architecture.stage == stage)
        return max(rivals, key=lambda trial: direction * (trial.score or 0.0), default=None)


class Watcher:
    """Looks at one run again and again; ``drawn`` are the metrics that are watched as charts."""

    def __init__(self, store: RunStore, run_id: str, *, drawn: Sequence[str] = ()) -> None:
        self._drawn = drawn
        self._charts: Sequence[ChartData] = ()
        self._store = store
        self._folder = store.folder(run_id)
        self._metrics = self._folder.metrics()
        self._events_size = -1
        self._trials: Sequence[TrialRecord] = ()
        self._warnings: Sequence[tuple[int, str]] = ()

    def look(self) -> Glimpse:
        """The run now."""
        record = self._store.record(self._folder.id)
        news = self._read_events()
        news |= self._metrics.poll()
        if self._drawn and (news or not self._charts):
            self._charts = [chart for metric in self._drawn if (chart := self._chart(metric, record))]
        name, scores = self._curve(record.metric)
        warnings = [sentence for attempt, sentence in self._warnings if attempt == record.attempt]
        return Glimpse(record, self._trials, scores, name, self._charts, warnings)

    def _read_events(self) -> bool:
        """Read trials and warnings if there may be news; whether there may."""
        path = self._folder.path / "events.jsonl"
        size = path.stat().st_size if path.exists() else 0
        if size == self._events_size:
            return False
        self._events_size = size
        self._trials = self._folder.trials()
        self._warnings = [found for event in self._folder.events() if (found := _warning(event)) is not None]
        return True

    def _chart(self, metric: str, record: RunRecord) -> ChartData | None:
        """The chart of a metric, or of the score by trial; None before there is a point."""
        from mmfuse_tui.charts import score_chart
        from mmfuse_tui.curves import ChartData, make_curve

        if metric == "score" and self._trials:
            return score_chart(self._trials, metric=record.metric, maximize=record.maximize)
        if metric not in self._metrics.names():
            return None
        return ChartData(metric, (make_curve(metric, *self._metrics.series(metric)),))

    def _curve(self, metric: str) -> tuple[str, Sequence[float]]:
        """The validation score of full training once there is one; before that, the scores of the trials."""
        names = self._metrics.names()
        validation = [name for name in names if name.startswith("val/") and name != "val/loss"]
        for name in (metric, *validation, "val/loss", "train/loss"):
            if name in names:
                return name, self._metrics.series(name)[1]
        return "trials", [trial.score for trial in self._trials if trial.status == "done" and trial.score is not None]


def _warning(event: Mapping[str, Any]) -> tuple[int, str] | None:
    """Attempt and words of a note that holds a sentence; None for everything else."""
    facts = event.get("facts") if event.get("ev") == "note" else None
    if not isinstance(facts, Mapping) or not isinstance(facts.get("sentence"), str):
        return None
    return int(event.get("attempt", 0)), f"{event.get('message', '')}: {facts['sentence']}"
