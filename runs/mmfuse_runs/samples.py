"""A few values of a long journal, evenly spread, without reading the rest: enough for a curve a dozen cells wide."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from mmfuse_runs.journal import decode_row

REACH_BYTES = 1 << 20
"""How far back from the end of its part of the file a value is looked for: metrics of an epoch stand far apart."""
ROW_BYTES = 1 << 16
"""The longest row that is found although its beginning lies in the part before."""


def metric_samples(path: Path, name: str, *, points: int) -> tuple[float, ...]:
    """The last value of the run's own metric ``name`` in each of ``points`` equal parts of the journal, oldest first.

    A part without one is left out. Where a resumed attempt went through steps again, what was found at or after the
    first step it is seen at is left out as well: the headers that say so exactly (`mmfuse_runs.tail`) are not read. A
    missing file holds no values.
    """
    key = orjson.dumps(name) + b":"
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            ends = [size * (part + 1) // points for part in range(points)]
            found = [
                _last_in(file.fileno(), key, name, begin, end) for begin, end in zip([0, *ends], ends, strict=False)
            ]
    except FileNotFoundError:
        return ()
    kept: list[tuple[int, float]] = []
    for sample in reversed(found):
        if sample is not None and (not kept or sample[0] < kept[-1][0]):
            kept.append(sample)
    return tuple(value for _, value in reversed(kept))


def _last_in(fd: int, key: bytes, name: str, begin: int, end: int) -> tuple[int, float] | None:
    """Step and value of the last row with the metric whose newline lies in this part of the file."""
    begin = max(begin, end - REACH_BYTES)
    base = max(0, begin - ROW_BYTES)
    text = os.pread(fd, end - base, base)
    place = len(text)
    while (place := text.rfind(key, 0, place)) >= 0:
        start, stop = text.rfind(b"\n", 0, place) + 1, text.find(b"\n", place)
        if 0 <= stop < begin - base or (base and not start):
            return None
        sample = _sample(decode_row(text[start:stop]), name) if stop >= 0 else None
        if sample is not None:
            return sample
        place = start
    return None


def _sample(row: dict[str, Any] | None, name: str) -> tuple[int, float] | None:
    """Step and value of a row of the run itself; None for rows of trials and for damaged ones."""
    try:
        return (int(row["s"]), float(row["m"][name])) if row is not None and row.get("n") is None else None
    except (KeyError, TypeError, ValueError):
        return None
