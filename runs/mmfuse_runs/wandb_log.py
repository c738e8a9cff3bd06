"""Runs out of the offline logs of Weights & Biases (``run-<id>.wandb``), without wandb.

Such a log is a log of LevelDB's (doc/log_format.md): blocks of 32 KiB with records that never cross them, each a
checksum (4 bytes, little-endian), a length (2), a type (1: whole, or first, middle or last part), data; where the rest
of a block is too short for that, it is zeros. The first block begins with 7 bytes of its own: ``:W&B``, 0xBEE1, version
0. The checksum is the CRC-32 of zlib over type and data, not LevelDB's. Put together, data are protocol buffers
(``Record`` of wandb_internal.proto), of which history, summary, config, run and exit matter here. Values are JSON.

A reader of our own rather than wandb as an extra: wandb is 60 MB with a server binary, has no public reader of these
files, and has kept their layout since 2020 (compared with what 0.12, 0.15, 0.17 and 0.31 wrote).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmfuse.errors import DataInvalid
from mmfuse_runs.protobuf import FIXED64, fields
from mmfuse_runs.wellformed import well_formed_json

PATTERN = "run-*.wandb"
OWN = frozenset({"_step", "_timestamp", "_runtime", "_wandb"})
"""What Weights & Biases itself adds to what is logged."""
_HEAD = struct.Struct("<IHB")
_BLOCK = 32768
_IDENTITY, _VERSION = b":W&B\xe1\xbe", 0
_TYPES = _WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_HISTORY, _SUMMARY, _CONFIG, _RUN, _EXIT = 2, 3, 5, 17, 18
"""Fields of ``Record``."""


@dataclass
class LoggedRun:
    """What a log says of its run. Groups are joined as they are here: metrics with slashes, settings with dots."""

    id: str = ""
    name: str = ""
    project: str = ""
    group: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    rows: list[tuple[int, float | None, dict[str, Any]]] = field(default_factory=list)
    """Step, Unix time and values as they were logged, in their order."""
    exit_code: int | None = None
    """None where the log ends without an end: the run was killed, or still writes."""


def logs_below(place: Path) -> list[Path]:
    """The log that ``place`` is, or all below it; links to the latest one are not followed twice."""
    if place.is_file():
        return [place]
    return sorted({path.resolve() for path in place.rglob(PATTERN)})


def read_log(path: Path) -> LoggedRun:
    """Everything in a log; a record that is cut off at its end is left out.

    Raises:
        DataInvalid: it is no such log, is of a newer version, or is damaged before its end.
    """
    run = LoggedRun()
    try:
        for record in _records(memoryview(path.read_bytes())):
            for number, _, value in fields(record):
                if isinstance(value, memoryview):
                    _take(run, number, value)
    except OSError as error:
        raise DataInvalid(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, IndexError, RecursionError, struct.error) as error:
        raise DataInvalid(f"{path} is no log of Weights & Biases': {error}") from error
    run.summary = _things_whole(run.summary)
    return run


def _records(log: memoryview) -> Iterator[memoryview]:
    """Records put together from their parts.

    Raises:
        ValueError: with what is wrong, and where.
    """
    _check_identity(bytes(log[: _HEAD.size]))
    parts: list[bytes] = []
    for place, kind, data in _parts(log):
        if kind in _TYPES and bool(parts) != (kind in (_MIDDLE, _LAST)):
            raise ValueError(f"a record has a part too few before byte {place}")
        if kind == _WHOLE:
            yield data
        elif kind == _LAST:
            yield memoryview(b"".join([*parts, data]))
            parts = []
        elif kind in (_FIRST, _MIDDLE):
            parts.append(bytes(data))
        else:
            raise ValueError(f"a part of unknown type {kind} at byte {place}")


def _check_identity(head: bytes) -> None:
    if not head.startswith(_IDENTITY) or len(head) < _HEAD.size:
        raise ValueError("it does not begin as one")
    if head[-1] != _VERSION:
        raise ValueError(f"it is of version {head[-1]}, and only version {_VERSION} can be read")


def _parts(log: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Place, type and data of every part; one that is not whole, with nothing behind it, is where a writer was cut off.

    Raises:
        ValueError: a checksum is wrong, and something comes after it.
    """
    place = _HEAD.size
    while place + _HEAD.size <= len(log):
        room = _BLOCK - place % _BLOCK
        if room < _HEAD.size:
            place += room
            continue
        checksum, length, kind = _HEAD.unpack_from(log, place)
        end = place + _HEAD.size + length
        data = log[place + _HEAD.size : end]
        if zlib.crc32(data, zlib.crc32(bytes([kind]))) != checksum or end > len(log):
            if any(log[end:]):
                raise ValueError(f"it is damaged at byte {place}")
            return
        yield place, kind, data
        place = end


def _take(run: LoggedRun, number: int, message: memoryview) -> None:
    if number == _HISTORY:
        _take_row(run, message)
    elif number == _SUMMARY:
        _update(run.summary, message)
    elif number == _CONFIG:
        _update(run.config, message, joint=".")
    elif number == _RUN:
        _take_run(run, message)
    elif number == _EXIT:
        run.exit_code = next((_signed(code) for place, _, code in fields(message) if place == 1), 0)


def _take_run(run: LoggedRun, message: memoryview) -> None:
    for number, _, value in fields(message):
        if not isinstance(value, memoryview):
            continue
        if number == 4:
            _update(run.config, value, joint=".")
        elif number == 5:
            _update(run.summary, value)
        elif number == 10:
            run.tags = (*run.tags, _text(value))
        elif number in _TEXTS:
            setattr(run, _TEXTS[number], _text(value))


_TEXTS = {1: "id", 3: "project", 6: "group", 8: "name", 9: "notes"}
"""Fields of ``RunRecord``."""


def _take_row(run: LoggedRun, message: memoryview) -> None:
    values: dict[str, Any] = {}
    step = None
    for number, _, value in fields(message):
        if number == 1 and isinstance(value, memoryview):
            values |= _item(value)
        elif number == 2 and isinstance(value, memoryview):
            step = next((_signed(count) for place, _, count in fields(value) if place == 1), 0)
    counted = values.get("_step", len(run.rows)) if step is None else step
    if not isinstance(counted, int):
        raise ValueError(f"the step {counted!r} is no whole number")
    at = values.get("_timestamp")
    logged = {name: value for name, value in values.items() if name not in OWN}
    run.rows.append((counted, at if isinstance(at, int | float) else None, _things_whole(logged)))


def _update(known: dict[str, Any], message: memoryview, *, joint: str = "/") -> None:
    """Do what a record of config or summary says: items to set (1) and to remove (2)."""
    for number, _, value in fields(message):
        if not isinstance(value, memoryview):
            continue
        items = _item(value, joint=joint)
        if number == 1:
            known |= {name: item for name, item in items.items() if name.partition(joint)[0] not in OWN}
        elif number == 2:
            for name in items:
                known.pop(name, None)


def _item(message: memoryview, *, joint: str = "/") -> dict[str, Any]:
    """What one item sets: a value, or the values of a group."""
    names: list[str] = []
    found: Any = None
    for number, wire, value in fields(message):
        if number in (1, 2) and isinstance(value, memoryview):
            names.append(_text(value))
        elif number in (8, 16) and isinstance(value, memoryview):
            found = well_formed_json(json.loads(bytes(value)))
        elif number == 7 and isinstance(value, memoryview):
            found = _text(value)
        elif number == 6 and wire == FIXED64 and isinstance(value, memoryview):
            found = struct.unpack("<d", value)[0]
        elif number == 5 and isinstance(value, int):
            found = (value >> 1) ^ -(value & 1)
        elif number == 4 and isinstance(value, int):
            found = bool(value)
    return dict(_flat(joint.join(names), found, joint))


def _flat(name: str, value: Any, joint: str) -> Iterator[tuple[str, Any]]:
    """Groups by their parts."""
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _flat(f"{name}{joint}{key}", below, joint)
    else:
        yield name, value


def _things_whole(values: dict[str, Any]) -> dict[str, Any]:
    """A group that says its ``_type`` (a histogram, an image) as one thing: its width and size are no metrics."""
    things = {name.removesuffix(_TYPE): kind for name, kind in values.items() if name.endswith(_TYPE)}
    inside = tuple(f"{name}/" for name in things)
    return {name: value for name, value in values.items() if not name.startswith(inside)} | things


_TYPE = "/_type"


def _text(value: memoryview) -> str:
    return bytes(value).decode()


def _signed(value: int | memoryview) -> int:
    """A varint as the 64-bit integer it stands for."""
    if not isinstance(value, int):
        raise ValueError("a number is none")
    return value - (1 << 64) if value >> 63 else value
