"""Requests to a run: ``control/<verb>.json``, dropped by anybody, taken by the run's supervisor.

Files work where signals do not (another host, another user's scheduler) and wait for a supervisor that is not there
yet. The verb is the file's name, so even a hand-made empty file is a request. Standard library only.
"""

from __future__ import annotations

import errno
import json
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from mmfuse_runs.atomic import write_json


class Verb(StrEnum):
    """What may be asked of a run."""

    STOP = "stop"
    KILL = "kill"
    PAUSE = "pause"
    CONTINUE = "continue"


class Request(NamedTuple):
    """One request, and who made it."""

    verb: Verb
    by: str = "unknown"
    reason: str = ""
    grace_s: float | None = None
    """Of `stop`: seconds the worker gets to reach a safe point; None leaves it to the supervisor."""
    attempt: int | None = None
    """The attempt it is meant for, so that a late request never ends the next one; None means whichever is on."""
    at: float = 0.0

    def __str__(self) -> str:
        """Who asked, and why, for the run's history."""
        return f"asked by {self.by}" + (f": {self.reason}" if self.reason else "")


def post(run: Path, request: Request) -> None:
    """Drop the request into the run's ``control`` folder; it replaces an untaken one of the same verb.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = run / "control"
    folder.mkdir(exist_ok=True)
    path = folder / f"{request.verb}.json"
    try:
        write_json(path, request._asdict() | {"at": request.at or time.time()})
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        path.touch()  # on a full disk an empty file is mostly still possible, and enough


def pending(run: Path, verb: Verb) -> bool:
    """Whether a request of this verb still waits to be taken."""
    return (run / "control" / f"{verb}.json").exists()


def discard(run: Path) -> None:
    """Remove all requests unread: what was asked of one attempt must not reach the next."""
    for verb in Verb:
        (run / "control" / f"{verb}.json").unlink(missing_ok=True)


def take(run: Path, *, attempt: int) -> list[Request]:
    """Remove all requests and return those meant for this attempt, oldest first."""
    taken = [request for verb in Verb if (request := _take_one(run / "control", verb)) is not None]
    return sorted((r for r in taken if r.attempt in (None, attempt)), key=lambda request: request.at)


def _take_one(folder: Path, verb: Verb) -> Request | None:
    # Renamed before it is read: a request that arrives meanwhile is a file of its own and is taken the next time.
    taken = folder / f"{verb}.{os.getpid()}.taken"
    try:
        (folder / f"{verb}.json").rename(taken)
        text = taken.read_text(errors="replace")
        taken.unlink()
    except OSError:
        return None
    return _parse(verb, text)


def _parse(verb: Verb, text: str) -> Request:
    try:
        record = json.loads(text)
        grace, attempt = record.get("grace_s"), record.get("attempt")
        return Request(
            verb,
            by=str(record.get("by", "unknown")),
            reason=str(record.get("reason", "")),
            grace_s=None if grace is None else max(0.0, float(grace)),
            attempt=None if attempt is None else int(attempt),
            at=float(record.get("at", 0.0)),
        )
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return Request(verb)
