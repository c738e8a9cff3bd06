"""The index on disk: its lock, its generations and the lines of its journal.

The index is ``store.json``, a snapshot in TinyDB's own format, and ``store.json.<generation>.wal``, the events after
it. An event is one line: CRC-32 of the JSON in eight hex digits, a space, the JSON. Whoever appends holds the lock
(``flock`` on ``store.json.lock``); readers need none.

Standard library only, because the supervisor reports state changes through `append_index_event` without
site-packages. Reading, compaction and TinyDB are in `mmfuse_runs.index` and `mmfuse_runs.storage`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmfuse_runs.nonfinite import spell
from mmfuse_runs.wellformed import well_formed

SNAPSHOT = "store.json"
SCHEMA = 1
"""Format number of the snapshot and of the events; newer ones are refused."""
RUNS_TABLE = "runs"
LOCK_SECONDS = 30.0
"""How long a writer waits for the lock before it gives up: holders keep it for milliseconds."""

# The snapshot's writer puts the _meta table first, so that its generation is read without parsing the rest.
_META = re.compile(rb'\s*\{\s*"_meta"\s*:\s*\{\s*"1"\s*:\s*\{\s*"schema"\s*:\s*(\d+)\s*,\s*"gen"\s*:\s*(\d+)')
_META_BYTES = 256


class Generation(NamedTuple):
    """What a snapshot says of itself."""

    schema: int
    number: int


def append_index_event(home: Path, run_id: str, fields: Mapping[str, Any], *, durable: bool = True) -> bool:
    """Set ``fields`` of a run in the index; the run's folder stays the truth.

    Returns False, having done nothing, where the index itself needs repair or is of a newer format: the next reader
    takes the run from its folder.

    Raises:
        OSError: the disk is full or read-only, or the lock stayed taken (TimeoutError).
    """
    snapshot = Path(home) / SNAPSHOT
    with index_lock(Path(home)):
        generation = read_generation(snapshot)
        if generation is None or generation.schema > SCHEMA:
            return False
        event = encode_event("patch", RUNS_TABLE, run_id, fields)
        append_events(wal_path(snapshot, generation.number), event, durable=durable)
    return True


def encode_event(op: str, table: str, document_id: str = "", fields: Mapping[str, Any] | None = None) -> bytes:
    """One line of the index's journal: ``op`` is put, patch, del or clear."""
    event = {"v": SCHEMA, "t": table, "op": op, "id": document_id, "d": spell(dict(fields or {}))}
    event |= {"ts": time.time(), "by": f"{os.uname().nodename}:{os.getpid()}"}
    text = well_formed(json.dumps(event, separators=(",", ":"), ensure_ascii=False, allow_nan=False)).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def checked_text(line: bytes) -> bytes | None:
    """The JSON of a line (without its newline); None where the checksum says it is damaged."""
    try:
        intact = line[8:9] == b" " and int(line[:8], 16) == zlib.crc32(line[9:])
    except ValueError:
        return None
    return line[9:] if intact else None


def append_events(path: Path, lines: bytes, *, durable: bool) -> None:
    """Append whole lines, all or none; the caller holds the lock.

    Raises:
        OSError: nothing was appended.
    """
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = _seal(fd)
        try:
            _write_all(fd, lines)
            if durable:
                os.fdatasync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)


def read_generation(snapshot: Path) -> Generation | None:
    """The snapshot's schema and generation (0 where there is no snapshot yet); None where it is damaged."""
    try:
        with open(snapshot, "rb") as file:
            head = file.read(_META_BYTES)
    except FileNotFoundError:
        return Generation(SCHEMA, 0)
    return parse_generation(head)


def parse_generation(head: bytes) -> Generation | None:
    """The same from the snapshot's first bytes."""
    found = _META.match(head)
    return Generation(int(found[1]), int(found[2])) if found else None


def wal_path(snapshot: Path, generation: int) -> Path:
    """The journal that follows the snapshot of a generation."""
    return snapshot.with_name(f"{snapshot.name}.{generation}.wal")


class _Hold:
    """The lock of one home, as this process holds it."""

    def __init__(self) -> None:
        self.mutex = threading.RLock()
        self.depth = 0
        self.fd = -1


_holds: dict[Path, _Hold] = {}


@contextlib.contextmanager
def index_lock(home: Path) -> Iterator[None]:
    """Hold the index's lock; a thread that holds it may take it again.

    Raises:
        TimeoutError: somebody else kept it for `LOCK_SECONDS`.
        OSError: the home is read-only or missing.
    """
    path = Path(home).absolute() / f"{SNAPSHOT}.lock"
    hold = _holds.setdefault(path, _Hold())
    with hold.mutex:
        if hold.depth == 0:
            hold.fd = _acquire(path)
        hold.depth += 1
        try:
            yield
        finally:
            hold.depth -= 1
            if hold.depth == 0:
                os.close(hold.fd)
                hold.fd = -1


def _acquire(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + LOCK_SECONDS
    pause = 0.0002
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                raise TimeoutError(errno.ETIMEDOUT, "another process keeps the index locked", str(path)) from None
        except BaseException:
            os.close(fd)
            raise
        time.sleep(pause)
        pause = min(pause * 2, 0.005)


def _release_in_child() -> None:
    """A forked child shares the open file, and with it the lock: its copy must not outlive the parent's."""
    for hold in _holds.values():
        if hold.fd >= 0:
            os.close(hold.fd)
    _holds.clear()


os.register_at_fork(after_in_child=_release_in_child)


def _seal(fd: int) -> int:
    """Cut off a torn last line, left by a writer that died; returns the length that stays."""
    size = os.fstat(fd).st_size
    if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
        return size
    whole = os.pread(fd, size, 0).rfind(b"\n") + 1
    os.ftruncate(fd, whole)
    return whole


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
