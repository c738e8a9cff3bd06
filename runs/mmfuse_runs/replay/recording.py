"""One ended run as a recording: what its folder held at any moment between its creation and its end."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmfuse.errors import BadSpec, StoreError
from mmfuse_runs.folder import RunFolder
from mmfuse_runs.journal import decode_row, encode_row
from mmfuse_runs.replay.cues import Cues, journal_cues, log_cues
from mmfuse_runs.replay.progress import Phase, search_phase, training_phase
from mmfuse_runs.states import LIVE, TERMINAL, State, first_record, observe, whole_record

JOURNALS = ("events.jsonl", "metrics.jsonl")
CONSTANT = ("config.json", "meta.json")
"""Files that are played as they are from the first moment on; nobody knows when a name or a tag was given."""
LAST = ("state.json", "launch.json", "exit.json", "progress.json")
"""Files that were replaced as the run went on: whole at the end, before that what follows from the rest."""

_DAMAGE = (StoreError, KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError)
"""What files that somebody cut, or wrote by hand, may lead to."""

Span = tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """What a run's folder held at one moment."""

    files: Mapping[str, bytes]
    """Small files, whole."""
    lengths: Mapping[str, int]
    """Journals and logs that were there: so many bytes from the beginning of what they became."""
    progress: Mapping[str, Any] | None
    """The report of a run that goes on, in recorded time."""


class Recording:
    """A run that has ended. Times are Unix seconds as they were recorded.

    Raises:
        StoreError: a file that every run must have cannot be read.
        BadSpec: the run still goes on, or nobody wrote down when it did what.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        try:
            self._state = whole_record(folder.state())
            state_file = folder.path / "state.json"
            live = observe(self._state, state_file.stat().st_mtime).state in LIVE
            self._history = sorted(self._state["history"], key=lambda step: float(step["at"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"state.json of run {folder.id} is damaged: {error}", "mmfuse doctor") from error
        self.id = _plain_name(str(self._state["run"])) or folder.id
        if live:
            raise BadSpec(f"run {self.id} still goes on, and only what has ended can be played", "mmfuse tui")
        if not self._history:
            raise BadSpec(f"run {self.id} has no history to be played", f"mmfuse runs show {self.id}")
        self.changed_ns = state_file.stat().st_mtime_ns

    @property
    def start(self) -> float:
        """When it was created."""
        return float(self._history[0]["at"])

    @cached_property
    def end(self) -> float:
        """When it had ended: from here on everything is as the folder holds it."""
        told = float(self._history[-1]["at"])
        if self._history[-1]["state"] in TERMINAL:
            return told
        # It was cut off without a word: what it wrote last is the last that is known.
        return max([told, *(cues.last for cues in self._journal_cues.values() if cues.last is not None)])

    @cached_property
    def spans(self) -> list[Span]:
        """Its creation, then when it went on: a stretch per attempt, without the time that it waited in line."""
        spans = [(self.start, self.start)]
        began: float | None = None
        for step in self._history:
            works = step["state"] in LIVE - {State.QUEUED}
            if works and began is None:
                began = float(step["at"])
            elif not works and began is not None:
                spans.append((began, float(step["at"])))
                began = None
        return spans if began is None else [*spans, (began, self.end)]

    def at(self, moment: float) -> Scene:
        """What the folder held at ``moment``, which is not before `start`."""
        names = CONSTANT if moment < self.end else (*CONSTANT, *LAST)
        files = {name: data for name in names if (data := self._small(name)) is not None}
        if moment >= self.end:
            return Scene(files, {name: self._size(name) for name in self._growing}, None)
        passed = [step for step in self._history if step["at"] <= moment]
        files["state.json"] = _json(self._state_after(passed))
        with suppress(*_DAMAGE):  # what cannot be read is not there, before it is there as it is
            files["launch.json"] = _json(self._launched_by(moment))
        with suppress(*_DAMAGE):
            if self._has_spoken(passed):
                files["exit.json"] = self._small("exit.json") or b""
        lengths = {name: length for name, cues in self._growing.items() if (length := cues.length_at(moment))}
        works = passed[-1]["state"] in LIVE - {State.QUEUED}
        return Scene(files, lengths, self._progress(moment) if works else None)

    def content(self, name: str, begin: int, end: int) -> bytes:
        """Bytes of a journal or log."""
        if name in self._rebuilt:
            return self._rebuilt[name][begin:end]
        with (self.folder.path / name).open("rb") as file:
            file.seek(begin)
            return file.read(end - begin)

    @cached_property
    def _rebuilt(self) -> dict[str, bytes]:
        """Rows of a journal that is there as its sealed copy only."""
        path = self.folder.path
        if (path / "metrics.jsonl").exists() or not (path / "sealed.h5").exists():
            return {}
        from mmfuse_runs.seal import unseal

        with suppress(StoreError):
            table = unseal(self.folder)
            if table is not None:
                return {"metrics.jsonl": b"".join(map(encode_row, table.rows()))}
        return {}

    @cached_property
    def _growing(self) -> dict[str, Cues]:
        """Journals and logs, with the times at which they had which length."""
        logs = {path.name: log_cues(path, **self._attempt_of(path)) for path in self.folder.log_paths()}
        return self._journal_cues | logs

    @cached_property
    def _journal_cues(self) -> dict[str, Cues]:
        there = [name for name in JOURNALS if name in self._rebuilt or (self.folder.path / name).is_file()]
        return {name: journal_cues(self._lines(name)) for name in there}

    @cached_property
    def _phases(self) -> tuple[Phase, Phase]:
        """Search and training, whichever there was; neither where what is needed for that cannot be read."""
        with suppress(*_DAMAGE):
            last, spec = self.folder.progress() or {}, self.folder.spec()
            events, rows = (filter(None, map(decode_row, self._lines(name))) for name in JOURNALS)
            epochs = (spec.get("fit") or {}).get("epochs")
            return search_phase(events, last), training_phase(rows, epochs=epochs if isinstance(epochs, int) else None)
        return search_phase((), {}), training_phase((), epochs=None)

    def _lines(self, name: str) -> Iterator[bytes]:
        """A journal line by line, as it is or as it was rebuilt."""
        if name in self._rebuilt:
            yield from io.BytesIO(self._rebuilt[name])
            return
        with suppress(FileNotFoundError), (self.folder.path / name).open("rb") as file:
            yield from file

    def _size(self, name: str) -> int:
        return len(self._rebuilt[name]) if name in self._rebuilt else (self.folder.path / name).stat().st_size

    def _small(self, name: str) -> bytes | None:
        try:
            return (self.folder.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def _state_after(self, passed: list[Mapping[str, Any]]) -> dict[str, Any]:
        """The record of that moment; no process stands behind it."""
        last = passed[-1]
        known = {"state": last["state"], "attempt": last.get("attempt", 1), "since": last["at"]}
        told = {"history": passed, "reason": last.get("reason", "")}
        return first_record(self._state["run"], at=self.start) | known | told

    def _launched_by(self, moment: float) -> dict[str, Any]:
        record = self.folder.launch()
        return record | {"attempts": [each for each in record["attempts"] if float(each.get("at", 0)) <= moment]}

    def _has_spoken(self, passed: list[Mapping[str, Any]]) -> bool:
        """Whether the attempt that left ``exit.json`` had ended."""
        spoke = (self.folder.exit() or {}).get("attempt")
        return any(step["state"] in TERMINAL and step.get("attempt", 1) == spoke for step in passed)

    def _attempt_of(self, log: Path) -> dict[str, float]:
        """When the attempt that wrote this log began and ended."""
        number = log.name.split(".")[1]
        steps = [float(step["at"]) for step in self._history if str(step.get("attempt", 1)) == number]
        last = self._history[-1].get("attempt", 1)
        ended = self.end if str(last) == number or not steps else max(steps)
        return {"began": min(steps, default=self.start), "ended": ended}

    def _progress(self, moment: float) -> dict[str, Any] | None:
        search, training = self._phases
        return training.at(moment) or search.at(moment)


def _plain_name(text: str) -> str:
    """The text if it can name a folder."""
    return "" if not text or text.startswith(".") or "/" in text or "\0" in text else text


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, indent=1).encode() + b"\n"
