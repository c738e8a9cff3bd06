"""Where the code of two runs differs, file by file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmfuse_runs.sourcecode import files_of, folder_of


@dataclass(frozen=True)
class FileChange:
    """A file that two snapshots do not share, and its difference in unified form, without line ends."""

    path: str
    lines: tuple[str, ...]

    @property
    def added(self) -> int:
        """Lines that only the later has."""
        return sum(line.startswith("+") for line in self.lines[_TITLE:])

    @property
    def removed(self) -> int:
        """Lines that only the earlier has."""
        return sum(line.startswith("-") for line in self.lines[_TITLE:])


_TITLE = 2
"""Lines that name the two files."""


def code_changes(home: Path, before: str, after: str) -> list[FileChange]:
    """What was changed from one snapshot to another, by path."""
    old, new = files_of(home, before), files_of(home, after)
    changed = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    return [FileChange(path, tuple(_difference(home, before, after, path))) for path in changed]


def _difference(home: Path, before: str, after: str, path: str) -> Iterator[str]:
    old, new = (_content(folder_of(home, digest) / path) for digest in (before, after))
    from_file, to_file = "/dev/null" if old is None else f"a/{path}", "/dev/null" if new is None else f"b/{path}"
    if b"\0" in (old or b"") or b"\0" in (new or b""):
        yield from (f"--- {from_file}", f"+++ {to_file}", "binary files differ")
        return
    left, right = ((content or b"").decode(errors="replace").splitlines() for content in (old, new))
    yield from difflib.unified_diff(left, right, from_file, to_file, lineterm="")


def _content(place: Path) -> bytes | None:
    """What a snapshot holds of a file: its bytes, or where a link leads; None for nothing."""
    if place.is_symlink():
        return f"-> {place.readlink()}\n".encode(errors="replace")
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return None
