"""A part of a large log around the first line that is looked for; everything else of the file stays on the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmfuse_tui.log_tail import LineAssembler, readable

CHUNK_BYTES = 8 * 1024 * 1024
"""Read at once while looking."""
AROUND_BYTES = 64 * 1024
"""Shown before and after the line that was found."""


@dataclass(frozen=True)
class Hidden:
    """The part of a log that is too far up to be among the lines shown: its file and its length in bytes."""

    path: Path
    bytes: int


@dataclass(frozen=True)
class Excerpt:
    """Clean lines, the index of the one that was looked for, and where in the file looking goes on."""

    lines: tuple[str, ...]
    here: int
    next: int


def first_excerpt(
    hidden: Hidden, words: Sequence[str], is_hit: Callable[[str], bool], *, start: int = 0
) -> Excerpt | None:
    """The surroundings of the first hidden line from ``start`` on that is a hit; None where there is none.

    A hit contains one of ``words``, in capitals or not: lines without are passed over at the speed of the disk.
    """
    found = _find(hidden, [word.lower().encode() for word in words], is_hit, start=start)
    if found is None:
        return None
    place, length = found
    with hidden.path.open("rb") as file:
        begin = max(0, place - AROUND_BYTES)
        file.seek(begin)
        above = file.read(place - begin)
        below = file.read(length + AROUND_BYTES)
    if begin:
        begin, above = begin + above.find(b"\n") + 1, above.partition(b"\n")[2]
    below = below[: below.rfind(b"\n") + 1] or below
    text = (above + below).decode("utf-8", "replace")
    assembler = LineAssembler(lines=text.count("\n") + 4)
    assembler.add_line(f"── {begin} bytes above are not shown ──")
    assembler.feed(text)
    lines = (*assembler.lines(), "── more below; f goes to the end ──")
    return Excerpt(lines, 1 + above.count(b"\n"), place + len(below))


def _find(
    hidden: Hidden, words: Sequence[bytes], is_hit: Callable[[str], bool], *, start: int
) -> tuple[int, int] | None:
    """Where the line begins, and its length."""
    with hidden.path.open("rb") as file:
        while start < hidden.bytes:
            file.seek(start)
            chunk = file.read(min(CHUNK_BYTES, hidden.bytes - start))
            if not chunk:
                return None
            whole = chunk[: chunk.rfind(b"\n") + 1] or chunk
            if _has(whole, words):
                place = start
                for line in whole.split(b"\n"):
                    if _has(line, words) and is_hit(readable(line.decode("utf-8", "replace"))):
                        return place, len(line)
                    place += len(line) + 1
            start += len(whole)
    return None


def _has(text: bytes, words: Sequence[bytes]) -> bool:
    lowered = text.lower()
    return any(word in lowered for word in words)
