"""Uncompressed AVI files, written and read without a video library.

The stand-in's videos must be the same bytes everywhere and readable in every installation; encoders and decoders differ
from version to version. The format is Microsoft's RIFF container with one stream of device-independent bitmaps: 24 bits
a pixel, blue first, rows from bottom to top, each filled up to a multiple of four bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_FRAME = b"00db"
_FRAMES = (_FRAME, b"00dc")
"""Names of chunks that hold a picture: FFmpeg calls uncompressed ones by the second name, which is for compressed."""
_KEYFRAME = 0x10


@dataclass(frozen=True)
class RawVideo:
    """An uncompressed video: where each frame's pixels begin in its file, and how many the header ``promised``."""

    path: Path
    height: int
    width: int
    offsets: tuple[int, ...]
    promised: int

    def __len__(self) -> int:
        return len(self.offsets)

    def frame(self, number: int) -> NDArray[np.uint8]:
        """One frame (H, W, 3), red first."""
        stride = _stride(self.width)
        pixels = np.fromfile(self.path, np.uint8, stride * self.height, offset=self.offsets[number])
        rows = pixels.reshape(self.height, stride)[:, : 3 * self.width]
        return np.ascontiguousarray(rows.reshape(self.height, self.width, 3)[::-1, :, ::-1])


def write_avi(path: Path, frames: NDArray[np.uint8], *, rate: int = 30) -> None:
    """Write frames (T, H, W, 3), red first, at ``rate`` frames per second."""
    count, height, width, _ = frames.shape
    stride = _stride(width)
    pictures = np.zeros((count, height, stride), dtype=np.uint8)
    pictures[:, :, : 3 * width] = frames[:, ::-1, :, ::-1].reshape(count, height, 3 * width)
    size = height * stride
    main = struct.pack("<10I16x", 1_000_000 // rate, rate * size, 0, _KEYFRAME, count, 0, 1, size, width, height)
    stream = struct.pack(
        "<4s4sI2H8I4H", b"vids", b"DIB ", 0, 0, 0, 0, 1, rate, 0, count, size, 0xFFFFFFFF, 0, 0, 0, width, height
    )
    bitmap = struct.pack("<I2i2H6I", 40, width, height, 1, 24, 0, size, 0, 0, 0, 0)
    header = _list(b"hdrl", _chunk(b"avih", main), _list(b"strl", _chunk(b"strh", stream), _chunk(b"strf", bitmap)))
    movie = _list(b"movi", *(_chunk(_FRAME, picture.tobytes()) for picture in pictures))
    places = [4 + number * (size + 8) for number in range(count)]
    index = _chunk(b"idx1", b"".join(struct.pack("<4s3I", _FRAME, _KEYFRAME, place, size) for place in places))
    body = b"AVI " + header + movie + index
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def open_raw(path: Path) -> RawVideo | None:
    """The video if it is an uncompressed AVI file; None for any other. Frames that are cut off are not counted.

    Raises:
        OSError: when the file cannot be read.
    """
    size = None
    promised = 0
    offsets = []
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"AVI ":
            return None
        for name, start, length in _walk(file, 12, path.stat().st_size):
            if name == b"avih" and length >= 20:
                promised = _read(file, start + 16, "<I")[0]
            elif name == b"strf" and size is None:
                size = _bitmap(file, start, length)
                if size is None:
                    return None
            elif name in _FRAMES and size is not None and length == size[0] * _stride(size[1]):
                offsets.append(start)
    return None if size is None else RawVideo(path, *size, tuple(offsets), promised)


def _bitmap(file: BinaryIO, start: int, length: int) -> tuple[int, int] | None:
    """Height and width of uncompressed 24-bit pictures; None for other pictures."""
    if length < 40:
        return None
    _, width, height, _, bits, compression = _read(file, start, "<I2i2HI")
    return (height, width) if (bits, compression) == (24, 0) and min(width, height) > 0 else None


def _walk(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and length of each whole chunk from ``start`` on, lists opened."""
    while start + 8 <= end:
        file.seek(start)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"LIST":
            start += 12
            continue
        if start + 8 + length > end:
            return
        yield name, start + 8, length
        start += 8 + length + length % 2


def _read(file: BinaryIO, start: int, pattern: str) -> tuple[int, ...]:
    file.seek(start)
    return struct.unpack(pattern, file.read(struct.calcsize(pattern)))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _list(name: bytes, *parts: bytes) -> bytes:
    return _chunk(b"LIST", name + b"".join(parts))


def _stride(width: int) -> int:
    """Bytes of a row of pixels."""
    return (3 * width + 3) // 4 * 4
