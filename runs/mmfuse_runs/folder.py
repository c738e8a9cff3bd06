"""One run's folder: its files, each read with a clear sentence where it is missing, damaged or too new."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmfuse.errors import MmfuseError, StoreError
from mmfuse.report import TrialRecord
from mmfuse_runs.journal import JournalReader, decode_row
from mmfuse_runs.nonfinite import unspell
from mmfuse_runs.result import KINDS, NUMBER
from mmfuse_runs.tail import MetricsTable

FORMAT = 1
"""Format number of the JSON files of a run folder; a newer one is refused."""


_EXIT_KINDS: Mapping[str, tuple[type, ...]] = {
    "attempt": (int,),
    "result": (dict,),
    "error": (dict,),
    "exit_code": (int,),
}
"""What ``exit.json`` may hold besides null."""


class RunFolder:
    """The files of one run; every call reads the disk."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @property
    def id(self) -> str:
        """The run's id: the folder's name."""
        return self.path.name

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def spec(self) -> dict[str, Any]:
        """``config.json``: what was asked.

        Raises:
            StoreError: missing, damaged or of a newer format; so do the other readers.
        """
        return self._read("config.json")

    def launch(self) -> dict[str, Any]:
        """``launch.json``: how each attempt was started; no attempts before the first start."""
        record = self._read("launch.json", {"format": FORMAT, "attempts": []})
        attempts = record.get("attempts")
        if not isinstance(attempts, list) or not all(isinstance(attempt, dict) for attempt in attempts):
            raise StoreError(
                f"launch.json of run {self.id} is damaged: it lists no attempts",
                f"to go on without it: mv {self.path / 'launch.json'}{{,.bad}}",
            )
        return record

    def state(self) -> dict[str, Any]:
        """``state.json``: where the run is in its life."""
        return self._read("state.json")

    def meta(self) -> dict[str, Any]:
        """``meta.json``: name, tags, star and notes the user gave."""
        blank = {"format": FORMAT, "name": "", "tags": [], "starred": False, "notes": ""}
        return blank | self._read("meta.json", blank)

    def progress(self) -> dict[str, Any] | None:
        """``progress.json``; None before the worker's first report."""
        return self._read("progress.json", {}) or None

    def exit(self) -> dict[str, Any] | None:
        """``exit.json``: the worker's last word; None before it."""
        record = self._read("exit.json", {})
        trouble = _trouble_in(record, _EXIT_KINDS) or _trouble_in(record.get("result") or {}, KINDS)
        if trouble:
            raise StoreError(f"exit.json of run {self.id} is damaged: {trouble}", "mmfuse doctor")
        return record or None

    def check_journals(self) -> None:
        """See that the journals, as far as there are any, begin in a format that is known here.

        Raises:
            StoreError: a newer mmfuse wrote them.
        """
        for name in ("metrics.jsonl", "events.jsonl"):
            try:
                with open(self.path / name, "rb") as file:
                    first = decode_row(file.readline())
            except OSError:
                continue
            written = (first or {}).get("v", FORMAT)
            if isinstance(written, int) and written > FORMAT:
                raise self._newer(name, written)

    def events(self) -> list[dict[str, Any]]:
        """The rows of ``events.jsonl``, oldest first; lines that do not parse are skipped."""
        return JournalReader(self.path / "events.jsonl").poll()

    def trials(self) -> list[TrialRecord]:
        """The trials of a search by number, each as its latest row has it."""
        return trials_of(self.events())

    def metrics(self) -> MetricsTable:
        """The numbers of ``metrics.jsonl`` so far; `MetricsTable.poll` follows the file.

        Read from the sealed copy where there is one of the same journal, in a tenth of the time.
        """
        if (self.path / "sealed.h5").is_file():
            from mmfuse_runs.seal import unseal

            with suppress(StoreError):
                sealed = unseal(self)
                if sealed is not None:
                    return sealed
        table = MetricsTable(self.path / "metrics.jsonl")
        table.poll()
        return table

    def log_paths(self) -> list[Path]:
        """The text logs there are, by attempt."""
        return sorted(self.path.glob("log.*.txt"), key=lambda path: (len(path.name), path.name))

    def checkpoint(self, name: str = "best") -> Path | None:
        """The checkpoint ``best`` or ``last``; None where there is none.

        The worker says in ``exit.json`` where the best one lies; before that it is looked for by its name.
        """
        outcome = self.exit() if name == "best" else None
        told = ((outcome or {}).get("result") or {}).get("checkpoint")
        candidates = [self.path / told] if told else []
        candidates += sorted((self.path / "checkpoints").glob(f"{name}*"))
        return next((path for path in candidates if path.is_file()), None)

    @property
    def is_damaged(self) -> bool:
        """Whether a file that every run must have cannot be read."""
        try:
            self.spec(), self.state(), self.meta()
        except StoreError:
            return True
        return False

    def _read(self, name: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            text = (self.path / name).read_bytes()
        except FileNotFoundError:
            if default is not None and self.path.is_dir():
                return default
            raise self._missing(name) from None
        except OSError as error:
            raise StoreError(f"{name} of run {self.id} cannot be read: {error.strerror}") from error
        return self._checked(name, text)

    def _missing(self, name: str) -> StoreError:
        if self.path.is_dir():
            return StoreError(f"run {self.id} has no {name}", f"mmfuse runs rm {self.id} removes what is left")
        return StoreError(f"there is no run folder {self.path}", "mmfuse runs ls")

    def _checked(self, name: str, text: bytes) -> dict[str, Any]:
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise StoreError(
                f"{name} of run {self.id} is damaged: {error}", f"look at {self.path / name}, or mmfuse doctor"
            ) from error
        if not isinstance(record, dict):
            raise StoreError(f"{name} of run {self.id} is damaged: it holds no JSON object", "mmfuse doctor")
        written = record.get("format", FORMAT)
        if not isinstance(written, int) or written > FORMAT:
            raise self._newer(name, written)
        return record

    def _newer(self, name: str, written: object) -> StoreError:
        return StoreError(
            f"{name} of run {self.id} was written by a newer mmfuse (format {written}, this one reads {FORMAT})",
            "upgrade mmfuse",
        )


def _trouble_in(record: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]]) -> str:
    """The first value of another type than ``kinds`` say, in words; numbers may be spelled (``NaN``)."""
    for name, kind in kinds.items():
        value = record.get(name)
        if value is not None and not isinstance(unspell(value), kind):
            return f"its {name} is {value!r:.40}"
    measured = unspell(record.get("metrics") or {})
    return next(
        (f"its {name} is {value!r:.40}" for name, value in measured.items() if not isinstance(value, NUMBER)), ""
    )


def trials_of(events: Iterable[dict[str, Any]]) -> list[TrialRecord]:
    """The trials among event rows by number, each as its latest row has it."""
    latest: dict[int, TrialRecord] = {}
    for event in events:
        trial = _trial(event)
        if trial is not None:
            latest[trial.number] = trial
    return [latest[number] for number in sorted(latest)]


def _trial(event: dict[str, Any]) -> TrialRecord | None:
    """The trial of an event row; None for other events and for rows of another shape."""
    if event.get("ev") != "trial":
        return None
    try:
        return TrialRecord.from_json(event["trial"])
    except (MmfuseError, KeyError, TypeError, ValueError, AttributeError):
        return None
