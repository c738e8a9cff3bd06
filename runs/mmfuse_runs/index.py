"""The index in memory: a snapshot, the events after it, and the only way to change them.

A reader takes no lock: it reads the snapshot, then the journal of that snapshot's generation from where it stopped. A
writer holds the lock, reads what others appended, and appends its own events in one write. When the journal has
outgrown the snapshot, the writer starts a new generation (compaction); the event that led to it is durable before, so
a failing compaction fails nobody.

The index is derived from the run folders. What is damaged here is set aside (``.bad``), skipped and counted in
`Index.repairs`; `mmfuse_runs.store` then takes those runs from their folders.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

import mmfuse
from mmfuse.errors import StoreError
from mmfuse_runs.index_event import (
    SCHEMA,
    SNAPSHOT,
    append_events,
    checked_text,
    encode_event,
    index_lock,
    parse_generation,
    wal_path,
)
from mmfuse_runs.nonfinite import may_hold_spelling, spell, unspell

COMPACT_BYTES = 64 * 1024
"""The journal is folded into a new snapshot once it is longer than this and than the snapshot."""
META_TABLE = "_meta"
_READ_ATTEMPTS = 50
_WAL_NAME = re.compile(re.escape(SNAPSHOT) + r"\.(\d+)\.wal")

Document = dict[str, Any]
Tables = dict[str, dict[str, Document]]

logger = logging.getLogger(__name__)


class _Stamp(NamedTuple):
    """Tells one snapshot file from the next."""

    inode: int
    mtime_ns: int
    size: int


_NO_SNAPSHOT = _Stamp(0, 0, 0)


class Transaction:
    """Events to be appended together, each applied to the tables once they are on disk."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str, Document]] = []

    def put(self, table: str, document_id: str, document: Mapping[str, Any]) -> None:
        """Insert or replace a document."""
        self.events.append(("put", table, document_id, dict(document)))

    def patch(self, table: str, document_id: str, fields: Mapping[str, Any]) -> None:
        """Set fields of a document; nothing happens to one that is not there."""
        self.events.append(("patch", table, document_id, dict(fields)))

    def delete(self, table: str, document_id: str) -> None:
        """Remove a document, if it is there."""
        self.events.append(("del", table, document_id, {}))

    def clear(self, table: str) -> None:
        """Remove every document of a table."""
        self.events.append(("clear", table, "", {}))


class _Snapshot(NamedTuple):
    """What was read of a snapshot file."""

    tables: Tables
    generation: int
    damaged: bool
    nonfinite: bool


class Index:
    """The tables of one home, followed by offset. Documents in ``tables`` are replaced, never changed in place."""

    def __init__(self, home: Path) -> None:
        self.home = Path(home)
        self.snapshot = self.home / SNAPSHOT
        self.tables: Tables = {}
        self.repairs = 0
        """Damaged snapshots and lines met so far."""
        self.version = 0
        """Goes up whenever a refresh finds news."""
        self._stamp: _Stamp | None = None
        self._generation = 0
        self._damaged = False
        self._nonfinite = False
        self._wal = -1
        self._wal_offset = 0
        self._bad_lines = 0

    def refresh(self) -> bool:
        """Read what changed on disk; whether anything did. Costs two calls of ``stat`` when nothing did.

        Raises:
            StoreError: the index is of a newer format, or cannot be read.
        """
        version = self.version
        try:
            self._refresh()
            return self.version != version
        except OSError as error:
            raise StoreError(
                f"the index {self.snapshot} cannot be read: {error.strerror}",
                f"it only repeats what the run folders say, and is made anew after: mv {self.snapshot}{{,.bad}}",
            ) from error

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[Transaction]:
        """Collect events under the lock; they are appended when the block ends without an exception.

        ``durable`` waits until the disk has them.

        Raises:
            StoreError: the home cannot be written, the disk is full (nothing is appended then), or the lock stayed
                taken.
        """
        try:
            with index_lock(self.home):
                self._refresh()
                transaction = Transaction()
                yield transaction
                self._commit(transaction, durable)
        except OSError as error:
            raise StoreError(
                f"the run store in {self.home} cannot be written: {error.strerror}", "choose another with --home"
            ) from error

    def compact(self) -> bool:
        """Fold the journal into a new snapshot now; False where that failed and everything stays as it was."""
        try:
            with index_lock(self.home):
                self._refresh()
                return self._compact()
        except OSError as error:
            logger.warning("the index in %s was not compacted: %s", self.home, error.strerror)
            return False

    def close(self) -> None:
        """Close the journal's file; the next refresh opens it again."""
        if self._wal >= 0:
            os.close(self._wal)
            self._wal = -1

    def _refresh(self) -> None:
        for _ in range(_READ_ATTEMPTS):
            stamp = _stamp_of(self.snapshot)
            # A journal goes only after the next snapshot came, so a stamp that is still the one that was loaded says
            # that snapshot and journal belong together. Otherwise a compaction came between, and both are read anew.
            if stamp == self._stamp and self._read_wal():
                return
            if stamp != self._stamp:
                self._load(stamp)
        raise StoreError(f"the index {self.snapshot} changes faster than it can be read", "try again")

    def _load(self, stamp: _Stamp) -> None:
        """Read the snapshot and open its journal."""
        try:
            text = self.snapshot.read_bytes() if stamp != _NO_SNAPSHOT else None
        except FileNotFoundError:
            return
        read = self._parse(text)
        self._open_wal(read.generation)
        self.tables, self._generation, self._damaged, self._nonfinite = read
        self._stamp, self._wal_offset, self._bad_lines = stamp, 0, 0
        self.repairs += read.damaged
        self.version += 1

    def _parse(self, text: bytes | None) -> _Snapshot:
        if text is None:
            return _Snapshot({}, 0, damaged=False, nonfinite=False)
        generation = parse_generation(text)
        if generation is not None and generation.schema > SCHEMA:
            raise StoreError(
                f"{self.snapshot} was written by a newer mmfuse (format {generation.schema}, this one reads {SCHEMA})",
                "upgrade mmfuse",
            )
        tables = _parse_tables(text)
        if generation is None or tables is None:
            return _Snapshot({}, max(self._wals(), default=0), damaged=True, nonfinite=False)
        return _Snapshot(tables, generation.number, damaged=False, nonfinite=may_hold_spelling(text))

    def _open_wal(self, generation: int) -> None:
        self.close()
        with contextlib.suppress(FileNotFoundError):
            self._wal = os.open(wal_path(self.snapshot, generation), os.O_RDONLY | os.O_CLOEXEC)

    def _read_wal(self) -> bool:
        """Apply the events after the offset; False where the journal is not the same any more.

        The journal of a damaged snapshot has nothing to apply to.
        """
        if self._wal < 0 and not self._damaged:
            self._open_wal(self._generation)
        if self._wal < 0 or self._damaged:
            return True
        status = os.fstat(self._wal)
        if status.st_nlink == 0 or status.st_size < self._wal_offset:
            self._stamp = None
            return False
        if status.st_size > self._wal_offset:
            data = os.pread(self._wal, status.st_size - self._wal_offset, self._wal_offset)
            whole = data[: data.rfind(b"\n") + 1]
            self._wal_offset += len(whole)
            self.version += bool(whole)
            for line in whole.splitlines():
                self._apply_line(line)
        return True

    def _apply_line(self, line: bytes) -> None:
        event = _parse_event(line)
        if event is None:
            self._bad_lines += 1
            self.repairs += 1
            return
        if event["v"] > SCHEMA:
            raise StoreError(
                f"{self.snapshot} has events of a newer mmfuse (format {event['v']}, this one reads {SCHEMA})",
                "upgrade mmfuse",
            )
        self._nonfinite = self._nonfinite or may_hold_spelling(line)
        apply_event(self.tables, event)

    def _commit(self, transaction: Transaction, durable: bool) -> None:
        if not transaction.events:
            return
        if self._damaged and not self._compact():
            raise StoreError(f"the index {self.snapshot} is damaged and cannot be replaced", "mmfuse doctor")
        lines = b"".join(encode_event(*event) for event in transaction.events)
        append_events(wal_path(self.snapshot, self._generation), lines, durable=durable)
        self._refresh()
        if self._bad_lines or self._wal_offset > max(COMPACT_BYTES, (self._stamp or _NO_SNAPSHOT).size):
            self._compact()

    def _compact(self) -> bool:
        """Start the next generation; the caller holds the lock and has read everything."""
        generation = self._generation + 1
        temporary = self.snapshot.with_name(f"{SNAPSHOT}.{os.getpid()}.tmp")
        try:
            if self._damaged:
                os.link(self.snapshot, self.snapshot.with_name(f"{SNAPSHOT}.{time.time_ns()}.bad"))
            _write_durably(wal_path(self.snapshot, generation), b"")
            _write_durably(temporary, self._encode(generation))
            temporary.replace(self.snapshot)
            _sync_folder(self.home)
            self._retire(generation)
        except OSError as error:
            logger.warning("the index in %s was not compacted: %s", self.home, error.strerror)
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return False
        self._refresh()
        return True

    def _encode(self, generation: int) -> bytes:
        meta = {"1": {"schema": SCHEMA, "gen": generation, "app": mmfuse.__version__}}
        return orjson.dumps({META_TABLE: meta} | (spell(self.tables) if self._nonfinite else self.tables))

    def _retire(self, generation: int) -> None:
        """Remove what belongs to other generations; a journal with damaged lines is kept beside."""
        if self._bad_lines:
            old = wal_path(self.snapshot, self._generation)
            old.rename(old.with_suffix(".bad"))
        for number in self._wals():
            if number != generation:
                wal_path(self.snapshot, number).unlink(missing_ok=True)
        for leftover in self.home.glob(f"{SNAPSHOT}.*.tmp"):
            leftover.unlink(missing_ok=True)

    def _wals(self) -> list[int]:
        names = (_WAL_NAME.fullmatch(path.name) for path in self.home.glob(f"{SNAPSHOT}.*.wal"))
        return [int(found[1]) for found in names if found]


def apply_event(tables: Tables, event: Mapping[str, Any]) -> None:
    """Change the tables as one event says."""
    table = tables.setdefault(event["t"], {})
    op, document_id, fields = event["op"], event["id"], event["d"]
    if op == "put":
        table[document_id] = fields
    elif op == "patch" and document_id in table:
        table[document_id] = table[document_id] | fields
    elif op == "del":
        table.pop(document_id, None)
    elif op == "clear":
        table.clear()


def _parse_event(line: bytes) -> dict[str, Any] | None:
    text = checked_text(line)
    if text is None:
        return None
    event: dict[str, Any] = orjson.loads(text)
    return unspell(event) if may_hold_spelling(text) else event


def _parse_tables(text: bytes) -> Tables | None:
    """Every table but the snapshot's own; None where the text is not a snapshot."""
    try:
        with garbage_uncollected():
            tables = orjson.loads(text)
            if may_hold_spelling(text):
                tables = unspell(tables)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        return None
    tables.pop(META_TABLE, None)
    return tables


@contextlib.contextmanager
def garbage_uncollected() -> Iterator[None]:
    """Keep the cyclic collector still: while thousands of objects appear and stay, it costs as much as they do."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _stamp_of(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except FileNotFoundError:
        return _NO_SNAPSHOT
    return _Stamp(status.st_ino, status.st_mtime_ns, status.st_size)


def _write_durably(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
