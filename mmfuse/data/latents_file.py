"""Files of latents, recognised and read, or refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mmfuse.data.latents_layout import (
    SCHEMA,
    Column,
    EncoderIdentity,
    Place,
    places_of,
    restore,
)
from mmfuse.data.latents_pairs import PairTable
from mmfuse.data.progress import Progress, silent
from mmfuse.errors import DataInvalid, DataMissing

BLOCK = 4096
"""Rows that are read at once."""
_AGAIN = "extract or import it again"


@dataclass(frozen=True)
class StoredColumn:
    """One modality of a file: what it is, how many rows it has, and where they lie."""

    column: Column
    rows: int
    places: Mapping[str, Place]

    @property
    def place(self) -> Place:
        """Where the vectors lie."""
        return self.places[f"{self.column.modality}/x"]

    @property
    def bytes(self) -> int:
        """Size of the vectors."""
        return self.place.end - self.place.offset


@dataclass(frozen=True)
class Survey:
    """What a file's structure says; no vector of it has been read."""

    path: Path
    name: str
    digest: str
    stand_in: bool
    items: Mapping[str, int]
    pairs: Mapping[str, int]
    columns: Mapping[str, StoredColumn]


def survey(path: Path, *, finished: bool = True) -> Survey:
    """Look at a file's structure and its size on disk; ``finished`` also wants every row to be written.

    Raises:
        DataMissing: when there is no such file.
        DataInvalid: when it is truncated, no HDF5, holds no latents, is of a newer format, or is unfinished.
    """
    if not path.is_file():
        raise DataMissing(f"there is no file of latents at {path}", "mmfuse extract makes one")
    if not h5py.is_hdf5(path):
        raise DataInvalid(f"{path} is not an HDF5 file", "a .dpt file is imported: mmfuse data build latents --help")
    try:
        with h5py.File(path, "r") as file:
            return _survey(file, path, finished=finished)
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = "truncated" if "truncated" in str(error) else f"damaged ({_first_line(error)})"
        raise DataInvalid(f"{path} is {reason}", _AGAIN) from error


def read_pairs(path: Path) -> PairTable:
    """The file's pair table; modalities that it does not hold have nameless items.

    Raises:
        DataMissing, DataInvalid: as `survey`, and when a pair names an item that does not exist.
    """
    surveyed = survey(path)
    splits, labels = {}, {}
    ids: dict[str, tuple[str, ...]] = {}
    with h5py.File(path, "r") as file:
        for split in surveyed.pairs:
            group = file[f"split/{split}"]
            splits[split] = np.asarray(group["pairs"], dtype=np.int32)
            if "label" in group:
                labels[split] = np.asarray(group["label"], dtype=np.int64)
        for modality, count in surveyed.items.items():
            held = modality in surveyed.columns
            names = file[f"mod/{modality}/id"][()] if held else np.zeros(count, dtype="S1")
            ids[modality] = tuple(name.decode() for name in names.tolist())
    table = PairTable(surveyed.name, ids, splits, labels, surveyed.stand_in)
    table.check(str(path))
    return table


def read_unreadable(path: Path, modality: str) -> NDArray[np.bool_]:
    """Which items (N,) of the file could not be read when it was extracted."""
    with h5py.File(path, "r") as file:
        group = file[f"mod/{modality}"]
        if "unreadable" not in group:  # files of earlier versions: a 2 among the marks
            return np.asarray(group["done"][()] == 2, dtype=np.bool_)
        return np.asarray(group["unreadable"][()], dtype=np.bool_)


def map_rows(path: Path, stored: StoredColumn) -> tuple[NDArray[Any], NDArray[np.float16] | None]:
    """The vectors as stored and for int8 their scales, mapped into memory (writes stay private)."""
    places = {name.rpartition("/")[2]: place for name, place in stored.places.items()}

    def mapped(place: Place) -> NDArray[Any]:
        if not place.shape[0]:
            return np.empty(place.shape, dtype=place.dtype)
        return np.memmap(path, mode="c", dtype=place.dtype, shape=place.shape, offset=place.offset)

    return mapped(places["x"]), mapped(places["scale"]) if "scale" in places else None


def read_vectors(
    path: Path, stored: StoredColumn, *, progress: Progress = silent
) -> tuple[NDArray[Any], NDArray[np.float16] | None]:
    """The vectors (N, d) as stored and for int8 their scales (N,), in memory, every value looked at once.

    Raises:
        DataInvalid: naming the first row that holds NaN or infinity.
    """
    mapped, scale = map_rows(path, stored)
    rows = np.empty(mapped.shape, dtype=mapped.dtype)
    for first, block in blocks_of(mapped):
        check_block(path, stored.column.modality, first, block if scale is None else scale[first : first + len(block)])
        rows[first : first + len(block)] = block
        progress(first + len(block), len(rows), what=f"reading {path.name}")
    return rows, None if scale is None else np.array(scale)


def blocks_of(rows: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """First row number and rows, `BLOCK` at a time."""
    for first in range(0, len(rows), BLOCK):
        yield first, rows[first : first + BLOCK]


def check_block(path: Path, modality: str, first: int, values: NDArray[Any]) -> None:
    """Refuse NaN and infinity in ``values``, rows or their scales, of which the first belongs to row ``first``.

    Raises:
        DataInvalid: naming the file and the row.
    """
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not finite.all():
        row = first + int(np.argmin(finite))
        raise DataInvalid(f"{path} holds NaN or infinity in row {row} of {modality}", _AGAIN)


def decode(stored: NDArray[Any], scale: NDArray[np.float16] | None) -> NDArray[np.float32]:
    """Stored vectors as float32."""
    return restore(stored, scale)


def _survey(file: h5py.File, path: Path, *, finished: bool) -> Survey:
    schema = file.attrs.get("schema")
    if schema != SCHEMA:
        known = str(schema).startswith("mmfuse-latents/")
        problem = (
            f"has the newer format {schema}, this mmfuse reads {SCHEMA}" if known else "is HDF5 but holds no latents"
        )
        raise DataInvalid(f"{path} {problem}", "pip install --upgrade mmfuse" if known else "is it another file?")
    names, counts = json.loads(file.attrs["modalities"]), json.loads(file.attrs["items"])
    items = dict(zip(names, counts, strict=True))
    columns = {
        name: _column(file, path, name, items[name], finished=finished) for name in names if f"mod/{name}" in file
    }
    if not columns:
        raise DataInvalid(f"{path} holds no modality", _AGAIN)
    pairs = {split: len(group["pairs"]) for split, group in file.get("split", {}).items()}
    ordered = {split: pairs[split] for split in ("train", "val", "test", *pairs) if split in pairs}
    return Survey(
        path=path,
        name=str(file.attrs["name"]),
        digest=str(file.attrs["pairs_digest"]),
        stand_in=bool(file.attrs["stand_in"]),
        items=items,
        pairs=ordered,
        columns=columns,
    )


def _column(file: h5py.File, path: Path, modality: str, items: int, *, finished: bool) -> StoredColumn:
    group, size = file[f"mod/{modality}"], path.stat().st_size
    x = group["x"]
    if x.ndim != 2 or x.dtype not in (np.float16, np.int8) or x.shape[0] != items:
        raise DataInvalid(
            f"{path}: the vectors of {modality} are {x.dtype} {x.shape}, expected float16 or int8 ({items}, d)",
            _AGAIN,
        )
    places = places_of(file, modality)
    outside = [name for name, place in places.items() if place.shape[0] and (place.offset == 0 or place.end > size)]
    if outside:
        raise DataInvalid(f"{path} is truncated: {outside[0]} does not lie in it whole", _AGAIN)
    done = group["done"][()]
    if finished and not done.all():
        raise DataInvalid(
            f"{path} holds {int(np.count_nonzero(done)):,} of {len(done):,} items of {modality}",
            "resume its extraction",
        )
    identity = EncoderIdentity.from_json(group.attrs["encoder"])
    if identity.sha != group.attrs["encoder_sha"]:
        raise DataInvalid(f"{path}: what it says about the encoder of {modality} was changed", _AGAIN)
    column = Column(
        modality=modality,
        encoder=identity,
        dim=int(x.shape[1]),
        storage="int8" if x.dtype == np.int8 else "float16",
        rows_per_batch=int(group.attrs["rows_per_batch"]),
    )
    return StoredColumn(column, items, places)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
