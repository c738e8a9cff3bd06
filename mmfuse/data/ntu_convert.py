"""What is made of NTU RGB+D's files once: rows of one array per modality, mapped into memory by every run.

A conversion is a folder beside the files, ``converted/<name>``, with ``rows.npy`` (N, ...), ``digests.npy`` (N, 32),
the SHA-256 of each row, and ``manifest.json``. It appears whole or not at all. One that was interrupted goes on where
it was; one whose files have changed since (some added, fetched again or gone) is made anew, and what has not changed is
taken over. A file that cannot be read does not stop it: its reason is noted, and its row is 0 and must not be used.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmfuse.architecture import canonical_json
from mmfuse.data.arrays import open_array
from mmfuse.data.progress import Progress, silent
from mmfuse.errors import DataInvalid, DataMissing, MmfuseError

FORMAT = 1
ROWS, DIGESTS, MANIFEST, DONE = "rows.npy", "digests.npy", "manifest.json", "done.json"
_CHUNK = 64
Row = NDArray[Any]


@dataclass(frozen=True)
class Plan:
    """What becomes of which files: rows of ``shape`` and ``kind``, one per key, made by ``make`` from its file.

    ``recipe`` is all that a row follows from beside its file.
    """

    name: str
    recipe: Mapping[str, Any]
    files: Mapping[str, Path]
    shape: tuple[int, ...]
    kind: str
    make: Callable[[Path], Row]

    @property
    def folder(self) -> str:
        """The folder's name: another recipe has another."""
        mark = hashlib.sha256(canonical_json({"format": FORMAT, **self.recipe}).encode()).hexdigest()[:8]
        return f"{self.name}-{mark}"


@dataclass(frozen=True)
class Converted:
    """A finished conversion: keys in order, size of each file, rows and digests mapped, and why some rows are 0."""

    folder: Path
    sizes: Mapping[str, int]
    rows: NDArray[Any]
    digests: NDArray[np.uint8]
    unreadable: Mapping[str, str]

    @property
    def keys(self) -> tuple[str, ...]:
        """One per row."""
        return tuple(self.sizes)


def convert(place: Path, plan: Plan, *, workers: int | None = None, progress: Progress = silent) -> Converted:
    """The conversion of ``plan`` below ``place``, made first if it is not there or its files have changed.

    Of several processes that ask at once, one converts and the rest wait.

    Raises:
        DataMissing: when the place cannot be written or has too little room.
        DataInvalid: when what is there is damaged.
    """
    folder = place / plan.folder
    sizes = {key: path.stat().st_size for key, path in plan.files.items()}
    if (found := _current(folder, plan, sizes)) is not None:
        return found
    with _locked(folder):
        if (found := _current(folder, plan, sizes)) is not None:
            return found
        before = open_converted(folder, plan.shape, plan.kind) if folder.is_dir() else None
        work = _begun(folder.with_name(f".{folder.name}.partial"), plan, sizes)
        _fill(work, plan, sizes, before, workers=workers or os.cpu_count() or 1, progress=progress)
        if before is not None:
            shutil.rmtree(folder)
        work.rename(folder)
    return open_converted(folder, plan.shape, plan.kind)


def open_converted(folder: Path, shape: tuple[int, ...], kind: str) -> Converted:
    """A finished conversion, its rows mapped and not read.

    Raises:
        DataInvalid: when a file of it is damaged.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sizes, unreadable = dict(manifest["sizes"]), dict(manifest["unreadable"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataInvalid(f"{folder} is no whole conversion ({error!r:.80})", f"remove {folder}") from error
    rows = open_array(folder / ROWS, row=shape, kinds=kind[0])
    digests = open_array(folder / DIGESTS, row=(32,), kinds="u")
    if not len(rows) == len(digests) == len(sizes):
        raise DataInvalid(
            f"{folder} holds {len(rows):,} rows and {len(digests):,} digests of {len(sizes):,} files",
            f"remove {folder}",
        )
    return Converted(folder, sizes, rows, digests, unreadable)


def verify(converted: Converted, *, progress: Progress = silent) -> None:
    """Read every row and compare it with its digest.

    Raises:
        DataInvalid: naming the first that differs.
    """
    for number, key in enumerate(converted.keys):
        if number % _CHUNK == 0:
            progress(number, len(converted.rows), what=f"reading {converted.folder.name}")
        if _digest(converted.rows[number]) != converted.digests[number].tobytes():
            raise DataInvalid(
                f"the row of {key} in {converted.folder} is not what was written", f"remove {converted.folder}"
            )


def _current(folder: Path, plan: Plan, sizes: Mapping[str, int]) -> Converted | None:
    """What is there, if it was made of the files as they are now (or they are gone, and it is all there is)."""
    if not folder.is_dir():
        return None
    found = open_converted(folder, plan.shape, plan.kind)
    return found if found.sizes == sizes and tuple(found.sizes) == tuple(sizes) else None


def _begun(work: Path, plan: Plan, sizes: Mapping[str, int]) -> Path:
    """The folder of an unfinished conversion of the same files, else a new one."""
    told = {"format": FORMAT, "recipe": dict(plan.recipe), "sizes": dict(sizes)}
    try:
        begun = json.loads((work / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        begun = None
    if begun == json.loads(json.dumps(told)) and list(begun["sizes"]) == list(sizes):
        return work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    _check_room(work, len(sizes) * _row_bytes(plan))
    for name, shape, kind in ((ROWS, plan.shape, plan.kind), (DIGESTS, (32,), "u1")):
        with (work / name).open("wb") as file:
            header = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": (len(sizes), *shape)}
            np.lib.format.write_array_header_2_0(file, header)
    (work / MANIFEST).write_text(json.dumps(told), encoding="utf-8")
    _write_done(work, 0, {})
    return work


def _fill(
    work: Path,
    plan: Plan,
    sizes: Mapping[str, int],
    before: Converted | None,
    *,
    workers: int,
    progress: Progress,
) -> None:
    """Write the rows that are not there yet, a chunk at a time, and then the final manifest."""
    record = json.loads((work / DONE).read_text(encoding="utf-8"))
    done, unreadable = int(record["done"]), dict(record["unreadable"])
    keys = list(sizes)
    known = _reusable(before, sizes)
    empty = np.zeros(plan.shape, dtype=plan.kind)

    def row_of(key: str) -> Row | str:
        if before is not None and key in known:
            return np.asarray(before.rows[known[key]])
        try:
            return plan.make(plan.files[key])
        except DataInvalid as error:
            return error.message

    with (
        (work / ROWS).open("rb+") as rows,
        (work / DIGESTS).open("rb+") as digests,
        ThreadPoolExecutor(workers) as pool,
    ):
        _wind(rows, done, _row_bytes(plan))
        _wind(digests, done, 32)
        while done < len(keys):
            progress(done, len(keys), what=f"converting {plan.name} of ntu")
            chunk = keys[done : done + _CHUNK]
            for key, made in zip(chunk, pool.map(row_of, chunk), strict=True):
                if isinstance(made, str):
                    unreadable[key] = made
                row = empty if isinstance(made, str) else np.ascontiguousarray(made, dtype=plan.kind)
                rows.write(row.tobytes())
                digests.write(_digest(row))
            _sync(rows, digests)
            done += len(chunk)
            _write_done(work, done, unreadable)
    told = json.loads((work / MANIFEST).read_text(encoding="utf-8"))
    (work / MANIFEST).write_text(json.dumps({**told, "unreadable": unreadable}), encoding="utf-8")
    (work / DONE).unlink()


def _reusable(before: Converted | None, sizes: Mapping[str, int]) -> dict[str, int]:
    """Which row of an earlier conversion is still right, by key."""
    if before is None:
        return {}
    numbered = enumerate(before.sizes.items())
    return {key: row for row, (key, size) in numbered if sizes.get(key) == size and key not in before.unreadable}


def _row_bytes(plan: Plan) -> int:
    return int(np.prod(plan.shape)) * np.dtype(plan.kind).itemsize


def _wind(file: BinaryIO, done: int, size: int) -> None:
    """Go to the end of row ``done`` and drop what a killed process wrote behind it."""
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_2_0(file)
    file.seek(file.tell() + done * size)
    file.truncate()


def _sync(*files: BinaryIO) -> None:
    for file in files:
        file.flush()
        os.fsync(file.fileno())


def _write_done(work: Path, done: int, unreadable: Mapping[str, str]) -> None:
    temporary = work / f"{DONE}.new"
    temporary.write_text(json.dumps({"done": done, "unreadable": dict(unreadable)}), encoding="utf-8")
    temporary.replace(work / DONE)


def _digest(row: Row) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(row).data).digest()


def _check_room(work: Path, needed: int) -> None:
    free = shutil.disk_usage(work).free
    if free < needed:
        shutil.rmtree(work)
        raise MmfuseError(
            f"the conversion needs {needed / 1e9:,.1f} GB and {work.parent} has {free / 1e9:,.1f} GB left",
            "make room, or --set data.size=112 for a quarter",
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f".{folder.name}.lock").open("a")
    except OSError as error:
        raise DataMissing(
            f"{folder} cannot be made: {error.strerror}", "choose another place with --data-root"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fingerprint(parts: Sequence[Converted], rows: Sequence[int], treatment: Mapping[str, Any]) -> str:
    """Content hash of the rows used, whatever else was converted with them, and of what is done to them."""
    digest = hashlib.sha256(canonical_json(dict(treatment)).encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part.digests[np.asarray(rows, dtype=np.int64)]).data)
    return digest.hexdigest()[:16]
