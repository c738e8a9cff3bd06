"""A registered dataset as a collection: every sample is an item of each modality, paired with itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from mmfuse.batch import Split, Splits
from mmfuse.data.latents_pairs import SPLITS, PairTable
from mmfuse.errors import BadSpec
from mmfuse.extraction.collection import Collection


class SplitItems(Sequence[Tensor]):
    """One modality of train, val and test behind each other, scaled; a slice is cut from the splits it touches."""

    def __init__(self, splits: Sequence[Split], modality: str) -> None:
        self.splits = splits
        self.modality = modality
        self.ends = list(accumulate(len(split) for split in splits))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, rows: int | slice) -> Tensor | list[Tensor]:  # type: ignore[override]
        if isinstance(rows, int):
            return self._cut(rows, rows + 1)[0]
        return self._cut(rows.start, min(rows.stop, len(self)))

    def _cut(self, start: int, stop: int) -> list[Tensor]:
        found: list[Tensor] = []
        for split, end in zip(self.splits, self.ends, strict=True):
            begin = end - len(split)
            first, last = max(start, begin), min(stop, end)
            if first < last:
                found.extend(split.batch(torch.arange(first - begin, last - begin)).inputs[self.modality])
        return found


def collect(splits: Splits, *, class_paired: bool) -> Collection:
    """All samples of ``splits``; ``class_paired`` keeps their classes, for data whose pairs share nothing else.

    This opens the test split: its items are encoded like all others, and nothing is measured on them.

    Raises:
        BadSpec: when there are fewer than two modalities, or no classes to keep.
    """
    modalities = [modality.name for modality in splits.task.modalities]
    if len(modalities) < 2:
        raise BadSpec(f"{splits.label} has one modality, {modalities[0]}: nothing can be paired")
    if class_paired and splits.task.kind != "multiclass":
        raise BadSpec(f"pairs of {splits.label} share no class: its task is {splits.task.kind}", "--no-class-paired")
    parts = dict(zip(SPLITS, (splits.train, splits.val, splits.open_test()), strict=True))
    ends = list(accumulate(len(part) for part in parts.values()))
    ids = tuple(str(number) for part in parts.values() for number in part.ids.tolist())
    pairs = {
        name: np.repeat(np.arange(end - len(part), end, dtype=np.int32)[:, None], len(modalities), axis=1)
        for (name, part), end in zip(parts.items(), ends, strict=True)
    }
    labels = {name: part.target.numpy().astype(np.int64) for name, part in parts.items()} if class_paired else {}
    table = PairTable(
        f"{splits.task.name}-{splits.fingerprint}",
        dict.fromkeys(modalities, ids),
        pairs,
        labels,
        stand_in=splits.stand_in,
    )
    return Collection(table, {name: SplitItems(list(parts.values()), name) for name in modalities})
