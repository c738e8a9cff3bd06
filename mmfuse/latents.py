"""Latents of frozen encoders and which of them belong together: what contrastive fusion trains on.

Each item (an image, a caption, a clip) was encoded once; a pair names one item of every modality by its row. An image
with five captions is one row and five pairs, so retrieval with several right answers follows from the same table.

Datasets whose task is of kind ``retrieval`` load `LatentSplits` where others load `mmfuse.batch.Splits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from mmfuse.batch import Batch
from mmfuse.errors import DataInvalid
from mmfuse.task import Task


@dataclass(frozen=True)
class LatentPairs:
    """P pairs of items of M modalities, as stored.

    - ``names``: the M modalities, in the order of the columns of ``pairs``.
    - ``latents``: by modality (N_m, D_m), float32, float16, or int8 with ``scales`` (N_m,): value = int8 x scale. They
      may lie on a device, in memory, or be mapped from a file.
    - ``pairs``: (P, M) int32 rows of the latents; items may occur in several pairs.
    - ``encoders``: by modality what made the latents: extractor, weights and preprocessing, as one short text. Models
      are only used on latents of the encoders that they were trained on.
    - ``classes``: (P,) int64 for data whose pairs share nothing but a class, so that finding the very partner means
      nothing; None where partners belong together.

    ``fingerprint``, ``label``, ``stand_in`` and ``provenance`` are those of the dataset that the pairs are part of.
    """

    names: tuple[str, ...]
    latents: Mapping[str, Tensor]
    pairs: Tensor
    fingerprint: str
    label: str
    stand_in: bool = False
    scales: Mapping[str, Tensor] = field(default_factory=dict)
    encoders: Mapping[str, str] = field(default_factory=dict)
    classes: Tensor | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def dims(self) -> dict[str, int]:
        """Length of a latent, by modality."""
        return {name: self.latents[name].shape[1] for name in self.names}

    @property
    def nbytes(self) -> int:
        """Bytes of all latents."""
        return sum(values.nbytes for values in (*self.latents.values(), *self.scales.values()))

    def items(self, name: str, rows: Tensor) -> Tensor:
        """Latents (R, D) of the items ``rows`` (R,) of one modality: as stored, or float32 where stored as int8."""
        values = self.latents[name].index_select(0, rows)
        scale = self.scales.get(name)
        return values if scale is None else values.float() * scale.index_select(0, rows).float()[:, None]

    def batch(self, index: Tensor) -> Batch:
        """The pairs at positions ``index`` (B,), float32; targets are their classes, or the positions themselves."""
        chosen = self.pairs.index_select(0, index)
        inputs = {name: self.items(name, chosen[:, column]).float() for column, name in enumerate(self.names)}
        return Batch(inputs, index if self.classes is None else self.classes.index_select(0, index), index)

    def take(self, index: Tensor) -> LatentPairs:
        """The pairs at positions ``index``, over the same items."""
        classes = self.classes.index_select(0, index) if self.classes is not None else None
        return replace(self, pairs=self.pairs.index_select(0, index), classes=classes)

    def to(self, device: torch.device | str) -> LatentPairs:
        """The same pairs with everything on ``device``."""
        return replace(
            self,
            latents={name: values.to(device) for name, values in self.latents.items()},
            scales={name: values.to(device) for name, values in self.scales.items()},
            pairs=self.pairs.to(device),
            classes=self.classes.to(device) if self.classes is not None else None,
        )

    def check(self) -> None:
        """Read everything once.

        Raises:
            DataInvalid: when shapes do not fit together, rows do not exist, or latents are not finite.
        """
        shape = tuple(self.pairs.shape)
        if len(self.names) < 2 or self.pairs.ndim != 2 or shape[1] != len(self.names):
            raise DataInvalid(f"{self.label}: pairs of shape {shape} do not name one item of each of {self.names}")
        if self.classes is not None and len(self.classes) != len(self.pairs):
            raise DataInvalid(f"{self.label}: {len(self.classes)} classes for {len(self.pairs)} pairs")
        for column, name in enumerate(self.names):
            self._check_modality(name, self.pairs[:, column])

    def _check_modality(self, name: str, rows: Tensor) -> None:
        count = len(self.latents[name])
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < count:
            raise DataInvalid(
                f"{self.label}: pairs name rows {int(rows.min())} to {int(rows.max())} of {name}, which has {count}"
            )
        values = self.scales.get(name, self.latents[name])
        for first in range(0, count, 8192):
            finite = values[first : first + 8192].reshape(len(values[first : first + 8192]), -1).isfinite().all(1)
            if not bool(finite.all()):
                row = first + int((~finite).nonzero()[0])
                raise DataInvalid(
                    f"{self.label}: the {name} latent in row {row} is not finite", "extract or import it again"
                )


@dataclass(frozen=True)
class LatentSplits:
    """A loaded dataset of latents. The test split is opened by `mmfuse.evaluation` alone, once, at the end."""

    task: Task
    train: LatentPairs
    val: LatentPairs
    open_test: Callable[[], LatentPairs]

    @property
    def fingerprint(self) -> str:
        """Content hash of the data and of what was done to it."""
        return self.train.fingerprint

    @property
    def label(self) -> str:
        """The dataset's name as tables show it."""
        return self.train.label

    @property
    def stand_in(self) -> bool:
        """Whether mmfuse made the data itself."""
        return self.train.stand_in

    @property
    def encoders(self) -> Mapping[str, str]:
        """What made the latents, by modality."""
        return self.train.encoders

    @property
    def provenance(self) -> Mapping[str, Any]:
        """How the data came about."""
        return self.train.provenance


@dataclass(frozen=True)
class LatentBatch:
    """B pairs on the device: latents by modality (B, D), floating, and their positions (B,) in the pair table."""

    latents: Mapping[str, Tensor]
    index: Tensor

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities."""
        return tuple(self.latents)

    def rows(self, name: str, places: Tensor) -> Tensor:
        """The latents (R, D) of the pairs at ``places`` (R,) of the batch."""
        return self.latents[name].index_select(0, places)


@dataclass(frozen=True)
class ResidentBatch:
    """The pairs at positions ``index`` (B,) of resident ones. Latents are selected when they are wanted, a few at a
    time: selecting 40,960 at once takes four times as long, for new memory has to be found for them."""

    pairs: LatentPairs
    index: Tensor
    chosen: Tensor
    """Items (B, M) of these pairs."""

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities."""
        return self.pairs.names

    @property
    def latents(self) -> Mapping[str, Tensor]:
        """All of them, by modality (B, D)."""
        return {name: self.pairs.items(name, self.chosen[:, column]) for column, name in enumerate(self.names)}

    def rows(self, name: str, places: Tensor) -> Tensor:
        """The latents (R, D) of the pairs at ``places`` (R,) of the batch."""
        return self.pairs.items(name, self.chosen[:, self.names.index(name)].index_select(0, places))


AnyLatentBatch = LatentBatch | ResidentBatch


class LatentReader(Protocol):
    """How training gets at the pairs, wherever the latents lie.

    ``mode`` is "resident" (latents on the device), "host" (in memory, copied batch by batch) or "stream" (read from
    the file block by block).
    """

    mode: str

    def order(self, seed: int) -> Tensor:
        """The order (P,) in which an epoch visits the pairs, on the CPU; a function of ``seed``, new in each epoch."""

    def read(self, order: Tensor, *, size: int) -> Iterator[AnyLatentBatch]:
        """``order`` cut into consecutive batches of ``size`` pairs; the last may be smaller."""


def full_order(count: int, *, seed: int) -> Tensor:
    """A uniform permutation of ``count`` pairs, on the CPU."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


class ResidentReader:
    """Everything lies on the device: a batch is an index, selected where it is used."""

    mode = "resident"

    def __init__(self, pairs: LatentPairs, *, device: torch.device) -> None:
        self.pairs = pairs.to(device)

    def order(self, seed: int) -> Tensor:
        """A uniform permutation."""
        return full_order(len(self.pairs), seed=seed)

    def read(self, order: Tensor, *, size: int) -> Iterator[ResidentBatch]:
        """No work but looking up which items are asked for."""
        for index in order.to(self.pairs.pairs.device).split(size):
            yield ResidentBatch(self.pairs, index, self.pairs.pairs.index_select(0, index))
