"""How far a run was at any time: ``progress.json`` keeps the last report only, so journals are counted again.

A search counts the trials that had ended, a training its steps. What left no rows (a pass through backbones, an
evaluation) has no progress here.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Phase(NamedTuple):
    """One kind of work: when it was how far, and what it was doing then. ``done`` never falls."""

    times: array[float]
    done: array[int]
    words: list[str]
    total: int

    def at(self, moment: float) -> dict[str, Any] | None:
        """The report of that time, as ``progress.json`` holds it; None before the first."""
        passed = bisect_right(self.times, moment)
        if not passed:
            return None
        return {
            "done": self.done[passed - 1],
            "total": self.total,
            "what": self.words[passed - 1],
            "at": self.times[passed - 1],
            "started": self.times[0],
            "first": self.done[0],
        }


def search_phase(events: Iterable[Mapping[str, Any]], last: Mapping[str, Any]) -> Phase:
    """Trials as they ended, of as many as there were in the end.

    ``last`` is the last report: of a search that was cut off, it tells which part of it was done.
    """
    times, words, ended = array("d"), list[str](), set[Any]()
    for event in events:
        trial = event.get("trial")
        if isinstance(trial, Mapping) and trial.get("status") != "running" and trial.get("number") not in ended:
            ended.add(trial.get("number"))
            times.append(float(event["t"]))
            words.append(str((trial.get("architecture") or {}).get("stage") or "search"))
    share = float(last["done"]) / float(last["total"]) if last.get("what") in words and last["total"] else 1.0
    return Phase(times, array("q", range(1, len(times) + 1)), words, round(len(times) / (share or 1.0)))


def training_phase(rows: Iterable[Mapping[str, Any]], *, epochs: int | None) -> Phase:
    """Steps of the run's own training, of as many as its ``epochs`` would have been."""
    times, done, reached, seen = array("d"), array("q"), array("q"), 0
    for row in rows:
        if "m" in row and row.get("n") is None and isinstance(row.get("e"), int):
            times.append(float(row["t"]))
            done.append(max(int(row["s"]), done[-1] if done else 0))
            reached.append(row["e"])
            seen = max(seen, row["e"])
    planned = max(epochs or 0, seen)
    total = round(done[-1] / seen * planned) if seen else 0
    return Phase(times, done, [f"train/epoch {epoch} of {planned}" for epoch in reached], total)
