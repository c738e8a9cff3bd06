"""How long a file was at which time, from the times that its own lines tell."""

from __future__ import annotations

import re
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmfuse_runs.journal import decode_row

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) ")
_QUARTER_HOUR = 900.0
_SLACK_S = 60.0


class Cues:
    """Up to which byte something had been written, by Unix time. Clocks are set back at times; files never shrink."""

    def __init__(self) -> None:
        self._times = array("d")
        self._ends = array("q")

    def add(self, at: float, end: int) -> None:
        """At ``at``, or when what stands before it was there, the first ``end`` bytes were there."""
        self._times.append(max(at, self._times[-1]) if self._times else at)
        self._ends.append(end)

    def length_at(self, moment: float) -> int:
        """Bytes that were there at ``moment``."""
        passed = bisect_right(self._times, moment)
        return self._ends[passed - 1] if passed else 0

    @property
    def last(self) -> float | None:
        """When the last of it was there; None for an empty file."""
        return self._times[-1] if self._times else None


def journal_cues(lines: Iterable[bytes]) -> Cues:
    """Of a journal: a row tells its time; a line that does not is there together with the next one that does."""
    cues, end = Cues(), 0
    for line in lines:
        end += len(line)
        row = decode_row(line.rstrip(b"\n")) or {}
        at = row.get("t", row.get("t0"))
        if isinstance(at, int | float) and line.endswith(b"\n"):
            cues.add(float(at), end)
    return cues


def log_cues(path: Path, *, began: float, ended: float) -> Cues:
    """Of the log of an attempt: lines without a time are there with the next one that has one, or at the attempt's end.

    The times are those of a wall clock whose zone nobody wrote down: this machine's, unless the first line would then
    lie outside the attempt; else the one that brings it closest to the attempt's beginning.
    """
    stamps = list(_stamps(path))
    shift = 0.0
    if stamps and not began - _SLACK_S <= stamps[0][0] <= ended + _SLACK_S:
        shift = round((began - stamps[0][0]) / _QUARTER_HOUR) * _QUARTER_HOUR
    cues = Cues()
    for at, end in stamps:
        cues.add(min(max(at + shift, began), ended), end)
    cues.add(ended, path.stat().st_size)
    return cues


def _stamps(path: Path) -> Iterator[tuple[float, int]]:
    """Time and end of each line that tells its time."""
    end = 0
    with path.open("rb") as file:
        for line in file:
            end += len(line)
            found = _STAMP.match(line)
            if found:
                yield _unix_time(found[1].decode()) + int(found[2]) / 1000, end


def _unix_time(stamp: str) -> float:
    try:
        return time.mktime(time.strptime(stamp, "%Y-%m-%d %H:%M:%S"))
    except (ValueError, OverflowError):  # digits that are no date
        return 0.0
