"""Which items belong together: items of each modality, and per split the pairs that training and testing go by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmfuse.architecture import canonical_json
from mmfuse.errors import DataInvalid

MISSING = -1
"""In a pair, the number of an item that is not there."""
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class PairTable:
    """M modalities whose items are numbered from 0 in the order of ``ids``.

    ``splits`` hold one row per pair (P, M) int32: an item's number per modality, in the order of ``ids``, or `MISSING`.
    An image with five captions is one item of ``image`` and stands in five rows. ``labels`` (P,) int64 give each
    pair's class where pairs share only a class. ``stand_in`` marks items that mmfuse made up.
    """

    name: str
    ids: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, NDArray[np.int32]]
    labels: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    stand_in: bool = False

    @property
    def modalities(self) -> tuple[str, ...]:
        """The columns of every split."""
        return tuple(self.ids)

    @property
    def digest(self) -> str:
        """SHA-256 of items, pairs and labels: files of latents fit together when theirs are equal."""
        digest = hashlib.sha256(canonical_json([self.name, list(self.ids), self.stand_in]).encode())
        for ids in self.ids.values():
            digest.update(canonical_json(list(ids)).encode())
        for split, rows in self.splits.items():
            digest.update(canonical_json([split, list(rows.shape)]).encode())
            digest.update(np.ascontiguousarray(rows, dtype="<i4").data)
            if split in self.labels:
                digest.update(np.ascontiguousarray(self.labels[split], dtype="<i8").data)
        return digest.hexdigest()

    def check(self, where: str) -> None:
        """See that every pair names items that exist, and that labels are as many as pairs.

        Raises:
            DataInvalid: naming the split and the first pair that is wrong; ``where`` says where the table is from.
        """
        counts = np.array([len(ids) for ids in self.ids.values()])
        for split, rows in self.splits.items():
            if rows.ndim != 2 or rows.shape[1] != len(counts):
                raise DataInvalid(f"{where}: pairs of {split} have shape {rows.shape}, expected (P, {len(counts)})")
            wrong = ((rows < MISSING) | (rows >= counts)).any(axis=1)
            if wrong.any():
                number = int(np.argmax(wrong))
                raise DataInvalid(
                    f"{where}: pair {number} of {split} names the items {rows[number].tolist()}, "
                    f"there are {counts.tolist()}",
                    "extract or import it again",
                )
            if split in self.labels and len(self.labels[split]) != len(rows):
                raise DataInvalid(f"{where}: {split} has {len(rows):,} pairs and {len(self.labels[split]):,} labels")
