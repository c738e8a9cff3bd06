"""Latents written row by row, however often the writing is interrupted, into a file that then appears whole.

The file's HDF5 structure is laid out completely before the first vector: every array has its final place. Vectors are
then written to these places past the HDF5 library, so a kill at any moment leaves a sound file in which ``done`` tells
what is there. Work is handed out in batches at fixed places, the same ones after an interruption, so the file ends up
equal to the byte to one that was written in one go. Until it is complete it is called ``.<name>.partial``.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfuse.data.latents_file import blocks_of, map_rows, survey
from mmfuse.data.latents_layout import LARGEST, Column, finish_layout, quantise, restore, write_layout
from mmfuse.data.latents_pairs import PairTable
from mmfuse.errors import DataInvalid, DataMissing, MmfuseError, RunBusy


class LatentWriter:
    """Writes the ``column`` of ``table`` to ``path``; use it as a context manager, then `publish`.

    Raises:
        DataMissing: when the place cannot be written.
        DataInvalid: when a half-written file is there that was begun from other items or by another encoder.
        RunBusy: when another process is writing the file.
    """

    def __init__(self, path: Path, table: PairTable, column: Column) -> None:
        self.path = path
        self.table = table
        self.column = column
        self.partial = path.with_name(f".{path.name}.partial")
        self.ids = table.ids[column.modality]

    def __enter__(self) -> LatentWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self.path.with_name(f".{self.path.name}.lock").open("a")
        except OSError as error:
            raise DataMissing(
                f"{self.path} cannot be written: {error.strerror}", "choose another --output or --data-root"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._open()
        except BlockingIOError as error:
            self._lock.close()
            raise RunBusy(f"{self.path} is being written by another process", "wait for it, or stop it") from error
        except MmfuseError:
            self._lock.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)
        self._lock.close()

    def pending(self) -> list[range]:
        """The batches of item numbers that still have to be written, in order; a half-written one counts as whole."""
        size, done = self.column.rows_per_batch, self._marks("done")
        starts = range(0, len(self.ids), size)
        return [range(start, min(start + size, len(done))) for start in starts if not done[start : start + size].all()]

    def write(self, first: int, rows: NDArray[np.float32], *, unreadable: Sequence[int] = ()) -> None:
        """Store the vectors (n, d) of items ``first`` to ``first + n - 1``; ``unreadable`` are positions in ``rows``.

        Raises:
            DataInvalid: for vectors that are not finite or too large for their type, naming the item.
        """
        unread = np.zeros(len(rows), dtype=np.bool_)
        unread[list(unreadable)] = True
        rows = np.where(unread[:, None], np.float32(0), rows)
        self._check(first, rows)
        stored, scale = quantise(rows, self.column.storage)
        self._put("x", first, stored)
        if scale is not None:
            self._put("scale", first, scale)
        self._put("unreadable", first, unread)
        self._put("done", first, np.ones(len(rows), dtype=np.bool_))

    def publish(self) -> tuple[str, ...]:
        """Make the complete file appear at its place; the ids of the items that could not be read.

        Raises:
            DataInvalid: when rows are missing, or no item at all could be read.
        """
        done = self._marks("done")
        if not done.all():
            raise DataInvalid(f"{self.path} has {int((~done).sum()):,} of {len(done):,} items left to write")
        skipped = tuple(self.ids[row] for row in np.flatnonzero(self._marks("unreadable")))
        if skipped and len(skipped) == len(done):
            raise DataInvalid(
                f"none of the {len(done):,} items of {self.column.modality} could be read, such as {skipped[0]}"
            )
        finish_layout(str(self.partial), self.column.modality, largest=self._largest())
        os.fsync(self._file)
        self.partial.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        return skipped

    def _open(self) -> None:
        if self.partial.exists():
            self._check_partial()
        else:
            fresh = self.partial.with_suffix(".new")
            write_layout(str(fresh), self.table, [self.column])
            fresh.replace(self.partial)
        self._places = survey(self.partial, finished=False).columns[self.column.modality].places
        self._file = os.open(self.partial, os.O_RDWR)

    def _check_partial(self) -> None:
        begun = survey(self.partial, finished=False)
        remedy = f"remove {self.partial} to start anew"
        if begun.digest != self.table.digest:
            raise DataInvalid(f"{self.partial} was begun from other items or pairs of {begun.name}", remedy)
        held = begun.columns.get(self.column.modality)
        if held is not None and f"{self.column.modality}/unreadable" not in held.places:
            raise DataInvalid(f"{self.partial} was begun by an earlier version of mmfuse", remedy)
        if held is None or held.column != self.column:
            was = held.column.encoder.name if held is not None else ", ".join(begun.columns)
            raise DataInvalid(
                f"{self.partial} was begun by {was} with other settings than {self.column.encoder.name} has now", remedy
            )

    def _marks(self, name: str) -> NDArray[np.bool_]:
        """``done`` or ``unreadable`` of every item (N,), as they are on the disk now."""
        place = self._places[f"{self.column.modality}/{name}"]
        return np.frombuffer(os.pread(self._file, place.end - place.offset, place.offset), dtype=np.bool_)

    def _largest(self) -> float:
        """The largest magnitude in all vectors as they are stored."""
        stored = survey(self.partial).columns[self.column.modality]
        rows, scale = map_rows(self.partial, stored)
        scales = [None if scale is None else scale[first : first + len(block)] for first, block in blocks_of(rows)]
        found = (np.abs(restore(block, each)).max() for (_, block), each in zip(blocks_of(rows), scales, strict=True))
        return float(max(found, default=0.0))

    def _put(self, name: str, first: int, rows: NDArray[Any]) -> None:
        place = self._places[f"{self.column.modality}/{name}"]
        data, offset = (
            rows.tobytes(),
            place.offset + first * place.row_bytes,
        )
        while data:
            written = os.pwrite(self._file, data, offset)
            data, offset = data[written:], offset + written

    def _check(self, first: int, rows: NDArray[np.float32]) -> None:
        sound = np.asarray(np.isfinite(rows).all(axis=1))
        limit = LARGEST if self.column.storage == "float16" else 127 * LARGEST
        small = np.abs(rows, where=np.isfinite(rows), out=np.zeros_like(rows)).max(axis=1, initial=0.0) < limit
        if (sound & small).all():
            return
        row = int(np.argmin(sound & small))
        problem = "is NaN or infinite" if not sound[row] else f"exceeds {limit:,.0f}, the largest that is stored"
        item, encoder = self.ids[first + row], self.column.encoder.name
        raise DataInvalid(
            f"the latent of {self.column.modality} item {item} by {encoder} {problem}",
            "look at the item, or at the encoder's weights",
        )
