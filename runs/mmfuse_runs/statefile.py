"""The supervisor's hold on ``state.json``: every change goes to disk, and a full disk never ends supervision.

Standard library only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmfuse_runs.atomic import write_json
from mmfuse_runs.states import State, advanced

HEARTBEAT_S = 1.0


def say(message: str) -> None:
    """A line on stderr, which is the run's log: on the disk that may be full just now."""
    with suppress(OSError):
        os.write(2, f"supervisor: {message}\n".encode(errors="replace"))


def read_record(run: Path, name: str = "state.json") -> dict[str, Any]:
    """A JSON object from the run's folder.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is damaged; the message names the file.
    """
    try:
        record = json.loads((run / name).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is damaged: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{name} is damaged: it holds no JSON object")
    return record


class StateFile:
    """``state.json`` while this process owns it.

    What the disk refuses is kept in memory and written with the next heartbeat that succeeds.
    """

    def __init__(self, run: Path, record: Mapping[str, Any]) -> None:
        self.record = dict(record)
        self._path = run / "state.json"
        self._unsaved = False
        self._beat_due = 0.0

    @property
    def state(self) -> State:
        """Where the run is in its life."""
        return State(self.record["state"])

    @property
    def attempt(self) -> int:
        """The attempt this supervisor looks after."""
        return int(self.record["attempt"])

    @property
    def saved(self) -> bool:
        """Whether the disk holds what memory holds."""
        return not self._unsaved

    def move(self, state: State, *, reason: str = "", **fields: Any) -> None:
        """Take a legal step and set fields with it, in one write.

        Raises:
            IllegalTransition: the life-cycle does not know the step.
        """
        self.record = advanced(self.record, state, at=time.time(), reason=reason) | fields
        self._save()

    def note(self, **fields: Any) -> None:
        """Set fields without a step; nothing is written where nothing changes."""
        if any(self.record.get(name) != value for name, value in fields.items()):
            self.record |= fields
            self._save()

    def beat(self) -> None:
        """Show that the supervisor lives, once a second, and retry what the disk refused."""
        if time.monotonic() < self._beat_due:
            return
        self._beat_due = time.monotonic() + HEARTBEAT_S
        try:
            if self._unsaved:
                self._save()
            else:
                os.utime(self._path)
        except OSError:
            self._unsaved = True  # somebody removed the file: put it back if its folder is still there

    def _save(self) -> None:
        try:
            write_json(self._path, self.record)
        except OSError as error:
            if not self._unsaved:
                say(f"state.json was not written, will retry: {error}")
            self._unsaved = True
        else:
            self._unsaved = False
