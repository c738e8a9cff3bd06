"""Append-only JSON lines: one writer, any number of readers, nothing lost that was flushed.

A row is one line. The writer hands whole rows to the kernel in one ``write`` per flush, so that a kill loses only what
was still buffered; a background thread flushes and calls ``fdatasync``, so that the training loop never waits for a
disk. Readers remember a byte offset, stop at the last newline and skip what does not parse. The TinyDB view of a
journal is in `mmfuse_runs.storage`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from mmfuse_runs.nonfinite import may_hold_spelling, spell, unspell
from mmfuse_runs.wellformed import well_formed_json

FLUSH_BYTES = 64 * 1024
FLUSH_SECONDS = 0.2
READ_BYTES = 1 << 20
PIECE_BYTES = 1 << 16
"""Rows that are parsed together: many enough for speed, few enough to take no memory worth a word."""
WARN_SECONDS = 60.0

_DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})

logger = logging.getLogger(__name__)


class JournalWriter:
    """The one writer of a journal.

    Rows are on their way to the kernel after `append` (at the latest ``sync_seconds`` later), in the kernel after
    `flush`, on the disk after `sync`. On a full or failing disk the rows at hand are dropped and counted in
    ``dropped_rows``, the file is cut back to its last whole row, and the writer goes on: training must not end over a
    row of metrics.

    Raises:
        OSError: the file cannot be opened for writing.
    """

    def __init__(self, path: Path, *, sync_seconds: float = 0.5) -> None:
        self.path = Path(path)
        self.dropped_rows = 0
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._owner = os.getpid()
        self._buffer = bytearray()
        self._flush_due = 0.0
        self._warning_due = 0.0
        self._unsynced = False
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._syncer: threading.Thread | None = None
        self._sync_seconds = sync_seconds
        seal_tail(self._fd)

    def append(self, row: Mapping[str, Any]) -> None:
        """Queue one row; numbers that are not finite are kept (see `mmfuse_runs.nonfinite`)."""
        line = encode_row(row)
        with self._lock:
            self._must_be_open()
            self._buffer += line
            if len(self._buffer) >= FLUSH_BYTES or time.monotonic() >= self._flush_due:
                self._write_buffer()
        if self._syncer is None:
            self._start_syncer()

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows and hand them to the kernel at once, after all that were queued before."""
        lines = b"".join([encode_row(row) for row in rows])
        with self._lock:
            self._must_be_open()
            self._write_buffer()
            self._hand_over(lines)
        if self._syncer is None:
            self._start_syncer()

    def flush(self) -> None:
        """Hand every queued row to the kernel: they survive the death of this process."""
        with self._lock:
            self._write_buffer()

    def sync(self) -> None:
        """Put every queued row on the disk: they survive a power cut, as far as the disk is honest."""
        self.flush()
        self._fdatasync()

    def close(self) -> None:
        """Sync and close; closing twice is harmless."""
        if self._fd < 0:
            return
        self._closing.set()
        if self._syncer is not None and self._owner == os.getpid():
            self._syncer.join()
        self.sync()
        with self._lock:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _must_be_open(self) -> None:
        if self._fd < 0:
            raise ValueError(f"the journal {self.path.name} is closed")

    def _write_buffer(self) -> None:
        if not self._buffer or self._fd < 0:
            return
        data = bytes(self._buffer)
        self._buffer.clear()
        self._flush_due = time.monotonic() + FLUSH_SECONDS
        self._hand_over(data)

    def _hand_over(self, data: bytes) -> None:
        # A forked child holds a copy of the buffer; its rows are the parent's to write.
        if self._owner != os.getpid():
            return
        written, trouble = write_rows(self._fd, data)
        self._unsynced = True
        if trouble is not None:
            self._drop(data[written:].count(b"\n"), trouble)

    def _drop(self, rows: int, trouble: OSError) -> None:
        self.dropped_rows += rows
        if time.monotonic() >= self._warning_due:
            self._warning_due = time.monotonic() + WARN_SECONDS
            logger.warning("%s: %s; %d rows dropped so far", self.path.name, trouble.strerror, self.dropped_rows)

    def _start_syncer(self) -> None:
        self._syncer = threading.Thread(target=self._sync_often, name=f"sync {self.path.name}", daemon=True)
        self._syncer.start()

    def _sync_often(self) -> None:
        while not self._closing.wait(self._sync_seconds):
            self.sync()

    def _fdatasync(self) -> None:
        if self._unsynced and self._fd >= 0 and self._owner == os.getpid():
            self._unsynced = False
            try:
                os.fdatasync(self._fd)
            except OSError as trouble:
                logger.warning("%s: %s; recent rows may not survive a power cut", self.path.name, trouble.strerror)


class JournalReader:
    """Follows a journal by byte offset; a missing file is an empty one.

    A line without its newline is left for the next poll, a line that does not parse is skipped and counted in
    ``bad_lines``. A file that shrank or was replaced is read again from its start, after ``restarts`` went up by one.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.offset = 0
        self.bad_lines = 0
        self.restarts = 0
        self._inode = 0

    def poll(self) -> list[dict[str, Any]]:
        """The rows that appeared since the last call."""
        return list(self.rows())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Like `poll`, one row after the other, so that a long journal never stands in memory as a whole."""
        for lines in self._new_lines():
            for row in decode_rows(lines):
                if row is None:
                    self.bad_lines += 1
                else:
                    yield row

    def skip_to(self, offset: int) -> None:
        """Go on at ``offset``: what stands before it is known already."""
        self.offset = offset
        with contextlib.suppress(FileNotFoundError):
            self._inode = self.path.stat().st_ino

    def _new_lines(self) -> Iterator[list[bytes]]:
        """Whole lines, those of about `PIECE_BYTES` at once."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return
        if status.st_ino != self._inode or status.st_size < self.offset:
            self._restart(status.st_ino)
        if status.st_size == self.offset:
            return
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            rest = b""
            while chunk := file.read(PIECE_BYTES):
                whole, newline, rest = (rest + chunk).rpartition(b"\n")
                if newline:
                    self.offset += len(whole) + 1
                    yield whole.split(b"\n")

    def _restart(self, inode: int) -> None:
        if self._inode:
            self.restarts += 1
        self._inode, self.offset, self.bad_lines = inode, 0, 0


def encode_row(row: Mapping[str, Any]) -> bytes:
    """One journal line. Scalars of numpy and torch are taken as the numbers they hold.

    Raises:
        TypeError: the row holds something that is not JSON.
    """
    try:
        line = orjson.dumps(row, default=_scalar, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        # Text that is no UTF-8, such as a file's name in an error message; whatever else it is, `_plain` says so.
        return orjson.dumps(well_formed_json(spell(_plain(row))), option=orjson.OPT_APPEND_NEWLINE)
    # orjson writes null for numbers that are not finite: only rows with more of them than they should have hold one.
    if line.count(b"null") != list(row.values()).count(None):
        line = orjson.dumps(spell(_plain(row)), option=orjson.OPT_APPEND_NEWLINE)
    return line


def decode_row(line: bytes) -> dict[str, Any] | None:
    """The row of one line; None where the line does not hold one."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(row, dict):
        return None
    return unspell(row) if may_hold_spelling(line) else row


def decode_rows(lines: list[bytes]) -> Iterable[dict[str, Any] | None]:
    """The row of each line, as `decode_row` gives it, parsed together where every line is a row."""
    text = b"[%s]" % b",".join(lines)
    try:
        rows = orjson.loads(text)
    except orjson.JSONDecodeError:
        rows = []
    # Fewer or more: lines that are no rows alone may add up to JSON.
    if len(rows) != len(lines) or set(map(type, rows)) != {dict}:
        return map(decode_row, lines)
    return map(unspell, rows) if may_hold_spelling(text) else rows


def seal_tail(fd: int) -> None:
    """Cut off what follows the last newline: the torn row of a writer that was killed."""
    size = os.fstat(fd).st_size
    end = size
    while end > 0:
        start = max(0, end - READ_BYTES)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(fd, end)


def write_rows(fd: int, data: bytes) -> tuple[int, OSError | None]:
    """Append whole rows; returns the bytes of those that were kept and what stopped the rest.

    The kernel may write a part before it reports a full disk, so what follows the last whole row is cut off again.

    Raises:
        OSError: trouble that is not the disk's.
    """
    written = 0
    try:
        written = os.write(fd, data)
        while written < len(data):
            written += os.write(fd, data[written:])
    except OSError as trouble:
        if trouble.errno not in _DISK_TROUBLE:
            raise
        kept = data.rfind(b"\n", 0, written) + 1
        os.ftruncate(fd, os.fstat(fd).st_size - (written - kept))
        return kept, trouble
    return written, None


def _plain(value: Any) -> Any:
    """The value with foreign scalars turned into Python's."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int) or type(value) is float else _scalar(value)


def _scalar(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a journal row cannot hold a {type(value).__name__}: {value!r:.80}")
