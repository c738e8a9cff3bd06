"""Skeletons of NTU RGB+D: text files read, centred on the body, and brought to one length.

A file holds the number of frames; per frame the number of bodies; per body a line of facts, the number of joints and a
line per joint that begins with x, y and z in metres (Shahroudy et al. 2016, arXiv 1604.02808).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmfuse.errors import DataInvalid

JOINTS, PERSONS = 25, 2
ORIGIN = 1
"""The middle of the spine."""


@dataclass(frozen=True)
class Skeleton:
    """``places`` (3, T, 25, 2) in metres, NaN where the file says so; ``present`` (T, 2): whose body is in a frame.

    ``most`` is the largest number of bodies in a frame: those beyond two are not in ``places``.
    """

    places: NDArray[np.float32]
    present: NDArray[np.bool_]
    most: int


def read_skeleton(path: Path) -> Skeleton:
    """Read a ``.skeleton`` file.

    Raises:
        DataInvalid: for a file that shows nobody, ends early, goes on after its end, or holds something else where a
            number or a joint should be.
    """
    lines = _Lines(path)
    frames = lines.count("frames")
    lines.check_room(frames)
    places = np.zeros((frames, PERSONS, JOINTS, 3), dtype=np.float32)
    present = np.zeros((frames, PERSONS), dtype=np.bool_)
    most = 0
    for frame in range(frames):
        bodies = lines.count("bodies")
        most = max(most, bodies)
        for body in range(bodies):
            lines.skip()
            joints = lines.count("joints")
            if joints != JOINTS:
                raise lines.wrong(f"a body of {joints} joints in frame {frame + 1}, expected {JOINTS}")
            block = lines.places(joints)
            if body < PERSONS:
                places[frame, body], present[frame, body] = block, True
    lines.end()
    if not present.any():
        raise DataInvalid(f"{path} shows nobody in its {frames} frames", _AGAIN)
    return Skeleton(places.transpose(3, 0, 2, 1), present, most)


def centred(skeleton: Skeleton, *, compat: bool = False) -> NDArray[np.float32]:
    """Places relative to the first body's spine in the same frame, (3, T, 25, 2), gaps as 0.

    A body that is not there stays 0; with ``compat`` it is moved like the others, as in the published code, and gaps
    are filled before, not after.
    """
    places = filled(skeleton.places) if compat else skeleton.places
    moved = places - places[:, :, ORIGIN : ORIGIN + 1, :1]
    if not compat:
        moved = np.where(skeleton.present[None, :, None, :], moved, 0.0)
    return filled(moved)


def filled(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """With 0 where there is no number."""
    return np.where(np.isfinite(places), places, 0.0).astype(np.float32)


def resampled(places: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """(3, T, V, M) -> (3, length, V, M), by linear interpolation between the middles of frames."""
    frames = places.shape[1]
    at = ((np.arange(length) + 0.5) * frames / length - 0.5).clip(0, frames - 1)
    before = at.astype(np.int64)
    after = np.minimum(before + 1, frames - 1)
    share = (at - before).astype(np.float32)[None, :, None, None]
    return np.asarray(places[:, before] * (1 - share) + places[:, after] * share, dtype=np.float32)


_AGAIN = "fetch it again, or name it in a list: --set data.exclude=FILE"


class _Lines:
    """A file's lines, taken one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.lines = path.read_text(encoding="ascii", errors="replace").split("\n")
        except OSError as error:
            raise DataInvalid(f"{path} cannot be read: {error.strerror}", _AGAIN) from error
        while self.lines and not self.lines[-1].strip():
            self.lines.pop()
        self.next = 0

    def count(self, what: str) -> int:
        """The number that stands alone on the next line."""
        line = self._take(1, what)[0]
        if not line.strip().isdecimal():
            raise self.wrong(f"{line.strip()[:40]!a} instead of a number of {what}")
        return int(line)

    def check_room(self, frames: int) -> None:
        """There must be a line for each frame at least, before room is made for as many as a damaged number says."""
        left = len(self.lines) - self.next
        if frames > left:
            raise self.wrong(f"a promise of {frames:,} frames and {left:,} further lines")

    def skip(self) -> None:
        """The next line says nothing we need."""
        self._take(1, "a body's facts")

    def places(self, joints: int) -> NDArray[np.float64]:
        """The next lines' first three numbers, (joints, 3)."""
        rows = self._take(joints, "joints")
        try:
            return np.array([row.split(None, 3)[:3] for row in rows], dtype=np.float64).reshape(joints, 3)
        except ValueError as error:
            raise self.wrong("something else than three numbers for a joint, in it or in the lines above") from error

    def end(self) -> None:
        """There must be no more."""
        if self.next < len(self.lines):
            self.next += 1
            raise self.wrong("more than the frames that the first line promises")

    def wrong(self, what: str) -> DataInvalid:
        """The error that line of the file holds ``what``."""
        return DataInvalid(f"{self.path} holds {what} (line {self.next})", _AGAIN)

    def _take(self, count: int, what: str) -> list[str]:
        taken = self.lines[self.next : self.next + count]
        if len(taken) < count:
            raise DataInvalid(f"{self.path} ends at line {len(self.lines)}, where {what} should follow", _AGAIN)
        self.next += count
        return taken
