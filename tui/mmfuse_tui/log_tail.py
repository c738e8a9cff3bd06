"""The end of a log that is being written, as clean lines.

Only the last part of a large log is read. What a terminal would have done with the text is done here: a carriage
return starts the line over (progress bars), escape sequences vanish, other control characters become visible.
"""

from __future__ import annotations

import codecs
import os
from collections import deque
from pathlib import Path

from mmfuse_tui.clean import neutralise, strip_ansi

WINDOW_BYTES = 512 * 1024
"""How much of the end of a log is read when it is opened."""
LINES = 4000
"""How many lines are kept."""
LINE_CHARACTERS = 2000
"""Longer lines are cut: no screen shows more."""


class LineAssembler:
    """Turns pieces of text into finished lines and one unfinished line."""

    def __init__(self, *, lines: int = LINES) -> None:
        self._lines: deque[str] = deque(maxlen=lines)
        self._open = ""

    def feed(self, text: str) -> None:
        """Take the next piece; a line may arrive in many."""
        *finished, self._open = (self._open + text).split("\n")
        self._lines.extend(map(readable, finished))
        self._open = self._open[-4 * LINE_CHARACTERS :]

    def add_line(self, line: str) -> None:
        """A line of our own between those of the log."""
        if self._open:
            self.feed("\n")
        self._lines.append(line)

    def lines(self) -> tuple[str, ...]:
        """What is there now, the unfinished line last."""
        last = readable(self._open)
        return (*self._lines, last) if last else tuple(self._lines)


class LogTail:
    """Follows the newest of a run's logs; an earlier attempt's lines stay above those of the next one."""

    def __init__(self, *, window_bytes: int = WINDOW_BYTES) -> None:
        self._assembler = LineAssembler()
        self._window = window_bytes
        self._path: Path | None = None
        self._offset = 0
        self._hidden = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def poll(self, paths: list[Path]) -> bool:
        """Read what was appended to the last of ``paths``; whether there was anything new."""
        if not paths:
            return False
        changed = False
        if paths[-1] != self._path:
            changed = self._open(paths[-1])
        return self._read() or changed

    def lines(self) -> tuple[str, ...]:
        """The lines there are."""
        return self._assembler.lines()

    @property
    def hidden(self) -> tuple[Path, int] | None:
        """The newest log and how many bytes of its beginning are not among the lines; None where all of it is."""
        return (self._path, self._hidden) if self._path is not None and self._hidden else None

    def _open(self, path: Path) -> bool:
        first, self._path, self._offset, self._hidden = self._path is None, path, 0, 0
        self._decoder.reset()
        if not first:
            self._assembler.add_line(f"── {path.name} ──")
        return not first

    def _read(self) -> bool:
        assert self._path is not None
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._offset:
                    self._assembler.add_line("── the log was shortened ──")
                    self._offset = 0
                start = max(self._offset, size - self._window)
                file.seek(start)
                data = file.read(size - start)
        except OSError:
            return False
        if start > self._offset:
            skipped, _, data = data.partition(b"\n")
            self._hidden = start + len(skipped) + 1
            self._assembler.add_line(f"── {start - self._offset + len(skipped)} bytes above are not shown ──")
        self._offset = size
        self._assembler.feed(self._decoder.decode(data))
        return bool(data)


def readable(line: str) -> str:
    """The line as a terminal would show it once it is complete: the last text after a carriage return wins."""
    text = strip_ansi(line[-4 * LINE_CHARACTERS :]).rstrip("\r")
    return neutralise(text.rpartition("\r")[2].expandtabs(8))[:LINE_CHARACTERS].rstrip()
