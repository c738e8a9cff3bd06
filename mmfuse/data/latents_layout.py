"""How latents lie in an HDF5 file: names, types and what is said about where the vectors come from.

One file holds one or more modalities of one pair table; files with the same table join::

    /                        schema, tool, finished, pairs_digest, name, modalities, items, stand_in
    /mod/<m>/x               (N, d) float16, or int8 with scale; contiguous, uncompressed, one row per item
                             attributes: encoder, revision, pooling, normalised, preprocessing (JSON), source_dtype,
                             max_abs (the largest magnitude, known once the file is finished)
    /mod/<m>/scale           (N,) float16, int8 only: x * scale is the vector
    /mod/<m>/id              (N,) fixed-length UTF-8
    /mod/<m>/done            (N,) bool: the row is settled
    /mod/<m>/unreadable      (N,) bool: the item could not be read, and its row holds zeros
    /mod/<m>                 attributes: encoder (JSON, all of it), encoder_sha, rows_per_batch
    /split/<s>/pairs         (P, M) int32, -1 where an item is missing
    /split/<s>/label         (P,) int64, where pairs share only a class
    /split/<s>/gold/<a>_to_<b>/{indptr,indices}
                             int32: the right answers of b to item i of a are indices[indptr[i]:indptr[i + 1]]; where
                             partners belong together, in val and test

Nothing in a file tells the time: equal inputs to the same version give equal bytes. ``gold`` follows from the pairs; it
is there for other programs, mmfuse itself reads the pairs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import permutations
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from mmfuse import __version__
from mmfuse.architecture import canonical_json
from mmfuse.data.latents_pairs import PairTable

SCHEMA = "mmfuse-latents/1"
Storage = Literal["float16", "int8"]
EVALUATED = ("val", "test")
"""Splits in which queries have right answers."""
LARGEST = 65_504.0
"""The largest float16."""
_PAGE = 4096


@dataclass(frozen=True)
class EncoderIdentity:
    """What turned items into vectors: everything a vector follows from besides the item.

    ``weights`` is a hash of the weights' content. ``preprocessing`` says in plain JSON what is done to an item before
    the network sees it.
    """

    name: str
    weights: str
    pooling: str
    normalised: bool
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    computed_in: str = "float32"

    def to_json(self) -> str:
        """The one spelling of it."""
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EncoderIdentity:
        """The identity that `to_json` wrote; TypeError or ValueError for anything else."""
        return cls(**json.loads(text))

    @property
    def sha(self) -> str:
        """16 hexadecimal digits that stand for all of it: vectors of different encoders are never mixed up."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Column:
    """One modality's vectors: their encoder, width d and storage; ``rows_per_batch`` is how many it saw at once."""

    modality: str
    encoder: EncoderIdentity
    dim: int
    storage: Storage = "float16"
    rows_per_batch: int = 1


@dataclass(frozen=True)
class Place:
    """Where an array of fixed-size rows lies in the file: byte offset, shape and type."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.shape[0] * self.row_bytes


def write_layout(path: str, table: PairTable, columns: list[Column]) -> dict[str, Place]:
    """A complete file whose vectors are still unwritten (and take no space on disk); where each array lies, by name."""
    # Not v110: from then on HDF5 marks files that are open for writing, and one that is killed cannot be opened again.
    with h5py.File(path, "w", libver="v108", alignment_threshold=_PAGE, alignment_interval=_PAGE) as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["tool"] = f"mmfuse {__version__}"
        file.attrs["finished"] = False
        file.attrs["name"] = table.name
        file.attrs["modalities"] = json.dumps(list(table.modalities))
        file.attrs["items"] = json.dumps([len(ids) for ids in table.ids.values()])
        file.attrs["pairs_digest"] = table.digest
        file.attrs["stand_in"] = table.stand_in
        for split, rows in table.splits.items():
            group = file.create_group(f"split/{split}")
            group.create_dataset("pairs", data=np.asarray(rows, dtype=np.int32))
            if split in table.labels:
                group.create_dataset("label", data=np.asarray(table.labels[split], dtype=np.int64))
            elif split in EVALUATED:
                _write_gold(group.create_group("gold"), table, rows)
        places: dict[str, Place] = {}
        for column in columns:
            places |= _write_column(file, column, table.ids[column.modality])
    return places


def finish_layout(path: str, modality: str, *, largest: float) -> None:
    """Note in a file whose rows are all written that it is finished, and their largest magnitude; may be repeated."""
    with h5py.File(path, "r+", libver="v108") as file:
        file[f"mod/{modality}/x"].attrs.modify("max_abs", np.float32(largest))
        file.attrs.modify("finished", np.bool_(True))


def right_answers(
    queries: NDArray[np.int32], answers: NDArray[np.int32], *, count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """``indptr`` (count + 1,) and ``indices`` of the distinct answers to each of ``count`` queries, from pairs (P,)."""
    known = (queries >= 0) & (answers >= 0)
    couples = np.unique(np.stack([queries[known], answers[known]], axis=1), axis=0)
    indptr = np.searchsorted(couples[:, 0], np.arange(count + 1))
    return indptr.astype(np.int32), couples[:, 1].astype(np.int32)


def places_of(file: h5py.File, modality: str) -> dict[str, Place]:
    """Where the arrays of ``modality`` lie, by name; KeyError where one is absent."""
    group = file[f"mod/{modality}"]
    names = ["x", "done", *(["scale"] if group["x"].dtype == np.int8 else [])]
    names += ["unreadable"] if "unreadable" in group else []
    return {f"{modality}/{name}": _place(group[name]) for name in names}


def quantise(rows: NDArray[np.float32], storage: Storage) -> tuple[NDArray[Any], NDArray[np.float16] | None]:
    """Vectors (n, d) as they are stored, and for int8 the scale of each (n,)."""
    if storage == "float16":
        return rows.astype(np.float16), None
    tiny = np.finfo(np.float16).tiny
    scale = np.maximum(np.abs(rows).max(axis=1, initial=0.0) / 127.0, tiny).astype(np.float16)
    steps = np.rint(rows / scale.astype(np.float32)[:, None])
    return np.clip(steps, -127, 127).astype(np.int8), scale


def restore(stored: NDArray[Any], scale: NDArray[np.float16] | None) -> NDArray[np.float32]:
    """The vectors (n, d) that `quantise` stored."""
    rows = stored.astype(np.float32)
    return rows if scale is None else rows * scale.astype(np.float32)[:, None]


def _write_column(file: h5py.File, column: Column, ids: tuple[str, ...]) -> dict[str, Place]:
    group = file.create_group(f"mod/{column.modality}")
    group.attrs["encoder"] = column.encoder.to_json()
    group.attrs["encoder_sha"] = column.encoder.sha
    group.attrs["rows_per_batch"] = column.rows_per_batch
    encoded = [name.encode() for name in ids]
    width = max((len(name) for name in encoded), default=1) or 1
    kind = h5py.string_dtype("utf-8", width)
    group.create_dataset("id", data=np.array(encoded, dtype=kind), dtype=kind)
    count = len(ids)
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "x": ((count, column.dim), np.float16 if column.storage == "float16" else np.int8),
        "done": ((count,), np.bool_),
        "unreadable": ((count,), np.bool_),
    }
    if column.storage == "int8":
        shapes["scale"] = ((count,), np.float16)
    for name, (shape, dtype) in shapes.items():
        _reserve(group, name, shape, np.dtype(dtype))
    _describe(group["x"], column.encoder)
    return places_of(file, column.modality)


def _describe(x: h5py.Dataset, encoder: EncoderIdentity) -> None:
    """Say at the vectors themselves what made them, a fact an attribute."""
    x.attrs["encoder"] = encoder.name
    x.attrs["revision"] = encoder.weights
    x.attrs["pooling"] = encoder.pooling
    x.attrs["normalised"] = encoder.normalised
    x.attrs["preprocessing"] = canonical_json(dict(encoder.preprocessing))
    x.attrs["source_dtype"] = encoder.computed_in
    x.attrs["max_abs"] = np.float32(np.nan)


def _write_gold(group: h5py.Group, table: PairTable, rows: NDArray[np.int32]) -> None:
    """The right answers in every direction."""
    for (column, one), (other_column, other) in permutations(enumerate(table.ids), 2):
        found = right_answers(rows[:, column], rows[:, other_column], count=len(table.ids[one]))
        direction = group.create_group(f"{one}_to_{other}")
        for name, values in zip(("indptr", "indices"), found, strict=True):
            direction.create_dataset(name, data=values)


def _reserve(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """An array whose place in the file is settled now, so that rows can be written there without HDF5."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(dtype, logical=True), space, properties)


def _place(dataset: h5py.Dataset) -> Place:
    return Place(int(dataset.id.get_offset() or 0), dataset.shape, dataset.dtype)
