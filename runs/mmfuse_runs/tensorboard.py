"""Scalars out of TensorBoard's event files, without TensorBoard.

An event file is a row of records: length (8 bytes), checksum of the length (4), a protocol buffer (``Event``), checksum
of that (4); numbers are little-endian. The checksums are CRC-32C, which Python is slow at, and are not looked at: what
is damaged seldom parses. Of an event only its time (field 1), its step (2) and its summary (5) matter; a summary holds
values, each a tag (1) with a plain number (2, as PyTorch writes it) or a tensor (8, as TensorFlow 2 does). Format:
event.proto, summary.proto and tensor.proto of tensorflow/core.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mmfuse.errors import DataInvalid
from mmfuse_runs.protobuf import FIXED32, VARINT, fields

PATTERN = "events.out.tfevents.*"
_FLOAT, _DOUBLE = 1, 2
"""``DataType`` of tensors."""
_HEAD, _TAIL = 12, 4


class Scalar(NamedTuple):
    """One value of one tag; None for a value that is no single number (text, images, histograms)."""

    step: int
    time: float
    tag: str
    value: float | None


def event_folders(root: Path) -> list[Path]:
    """The folder itself and those below it that hold event files: each is one run of TensorBoard's."""
    return sorted({path.parent for path in root.rglob(PATTERN)})


def read_scalars(folder: Path) -> Iterator[Scalar]:
    """The values in a folder's event files, file by file; a record that is cut off at the end of a file is left out.

    Raises:
        DataInvalid: a file is no event file.
    """
    for path in sorted(folder.glob(PATTERN)):
        try:
            for record in _records(path.read_bytes()):
                yield from _scalars(record)
        except (ValueError, IndexError, struct.error, UnicodeDecodeError) as error:
            raise DataInvalid(f"{path} is no event file of TensorBoard's: {error}") from error


def _records(data: bytes) -> Iterator[memoryview]:
    view, start = memoryview(data), 0
    while start + _HEAD <= len(view):
        (length,) = struct.unpack_from("<Q", view, start)
        end = start + _HEAD + length
        if end + _TAIL > len(view):
            return
        yield view[start + _HEAD : end]
        start = end + _TAIL


def _scalars(event: memoryview) -> Iterator[Scalar]:
    step, time, summaries = 0, 0.0, []
    for number, _, value in fields(event):
        if number == 1:
            time = _double(value)
        elif number == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >> 63 else value
        elif number == 5 and isinstance(value, memoryview):
            summaries.append(value)
    for summary in summaries:
        for number, _, value in fields(summary):
            if number == 1 and isinstance(value, memoryview):
                tag, found = _value(value)
                yield Scalar(step, time, tag, found)


def _value(message: memoryview) -> tuple[str, float | None]:
    tag, found = "", None
    for number, wire, value in fields(message):
        if number == 1 and isinstance(value, memoryview):
            tag = bytes(value).decode()
        elif number == 2 and wire == FIXED32:
            found = _float(value)
        elif number == 8 and isinstance(value, memoryview):
            found = _tensor(value)
    return tag, found


def _tensor(message: memoryview) -> float | None:
    """The number in a tensor of one element."""
    kind, values = 0, b""
    for number, wire, value in fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number in (4, 5, 6) and wire != VARINT:
            values += bytes(value) if isinstance(value, memoryview) else b""
    if (kind, len(values)) == (_FLOAT, 4):
        return float(struct.unpack("<f", values)[0])
    return float(struct.unpack("<d", values)[0]) if (kind, len(values)) == (_DOUBLE, 8) else None


def _double(value: int | memoryview) -> float:
    return float(struct.unpack("<d", value)[0]) if isinstance(value, memoryview) else 0.0


def _float(value: int | memoryview) -> float | None:
    return float(struct.unpack("<f", value)[0]) if isinstance(value, memoryview) else None
