"""A registered dataset as a collection: samples are pairs, and what several samples share is one item."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmfuse.batch import Split, Splits
from mmfuse.data.latents_pairs import SPLITS, PairTable
from mmfuse.errors import BadSpec
from mmfuse.extraction.collection import Collection

_BLOCK = 256


class SplitItems(Sequence[Tensor]):
    """One modality of train, val and test behind each other, scaled: the samples ``rows``, in this order."""

    def __init__(self, splits: Sequence[Split], modality: str, rows: NDArray[np.int64]) -> None:
        self.splits = splits
        self.modality = modality
        self.rows = rows
        self.ends = list(accumulate(len(split) for split in splits))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: int | slice) -> Tensor | list[Tensor]:  # type: ignore[override]
        if isinstance(places, int):
            return self._samples(self.rows[places : places + 1])[0]
        return self._samples(self.rows[places])

    def _samples(self, rows: NDArray[np.int64]) -> list[Tensor]:
        """The samples ``rows``, which are in ascending order."""
        found: list[Tensor] = []
        for split, end in zip(self.splits, self.ends, strict=True):
            begin = end - len(split)
            inside = torch.from_numpy(rows[(rows >= begin) & (rows < end)] - begin)
            if len(inside):
                found.extend(split.batch(inside).inputs[self.modality])
        return found


@dataclass(frozen=True)
class _Distinct:
    """The first sample of each distinct item, and the item of each sample."""

    first: NDArray[np.int64]
    item: NDArray[np.int32]


def collect(splits: Splits, *, class_paired: bool) -> Collection:
    """All samples of ``splits``; ``class_paired`` keeps their classes, for data whose pairs share nothing else.

    Samples with equal values in a modality share an item there, so a picture that stands in five rows is encoded once.
    This opens the test split: its items are encoded like all others, and nothing is measured on them.

    Raises:
        BadSpec: when there are fewer than two modalities, or no classes to keep.
    """
    modalities = [modality.name for modality in splits.task.modalities]
    if len(modalities) < 2:
        raise BadSpec(f"{splits.label} has one modality, {modalities[0]}: nothing can be paired")
    if class_paired and splits.task.kind != "multiclass":
        raise BadSpec(f"pairs of {splits.label} share no class: its task is {splits.task.kind}", "--instance-paired")
    parts = dict(zip(SPLITS, (splits.train, splits.val, splits.open_test()), strict=True))
    ends = list(accumulate(len(part) for part in parts.values()))
    names = [str(number) for part in parts.values() for number in part.ids.tolist()]
    distinct = {name: _distinct(list(parts.values()), name) for name in modalities}
    rows = np.stack([distinct[name].item for name in modalities], axis=1)
    table = PairTable(
        f"{splits.task.name}-{splits.fingerprint}",
        {name: tuple(names[row] for row in found.first) for name, found in distinct.items()},
        {name: rows[end - len(part) : end] for (name, part), end in zip(parts.items(), ends, strict=True)},
        {name: part.target.numpy().astype(np.int64) for name, part in parts.items()} if class_paired else {},
        stand_in=splits.stand_in,
    )
    items = {name: SplitItems(list(parts.values()), name, found.first) for name, found in distinct.items()}
    return Collection(table, items)


def _distinct(splits: Sequence[Split], modality: str) -> _Distinct:
    seen: dict[bytes, int] = {}
    first: list[int] = []
    item: list[int] = []
    for split in splits:
        for index in torch.arange(len(split)).split(_BLOCK):
            for sample in split.batch(index).inputs[modality].contiguous().numpy():
                mark = hashlib.blake2b(sample.tobytes(), digest_size=16).digest()
                if mark not in seen:
                    seen[mark] = len(first)
                    first.append(len(item))
                item.append(seen[mark])
    return _Distinct(np.array(first, dtype=np.int64), np.array(item, dtype=np.int32))
