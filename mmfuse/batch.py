"""Samples in memory: a `Batch` is what a model sees, a `Split` is what batches are cut from.

Splits are resident: whole tensors, on the device if they fit, cut by index. No per-sample Python, no loader processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from mmfuse.task import Task

_MOVED_AT_ONCE = 256


@dataclass(frozen=True)
class Batch:
    """B samples: inputs by modality name, each (B, ...), target (B,) or (B, K), and the samples' ids (B,).

    ``masks`` holds, for modalities of varying length, a (B, T) tensor that is True where a token is real.
    """

    inputs: Mapping[str, Tensor]
    target: Tensor
    ids: Tensor
    masks: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: torch.device | str) -> Batch:
        """The same samples on ``device``."""
        return Batch(
            {name: value.to(device) for name, value in self.inputs.items()},
            self.target.to(device),
            self.ids.to(device),
            {name: value.to(device) for name, value in self.masks.items()},
        )


@dataclass(frozen=True)
class Scale:
    """``(x - mean) / std`` of one modality, with statistics of the training split; broadcasts against one sample."""

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class Split:
    """N samples of one split, as stored: inputs by modality (N, ...), target (N,) or (N, K), ids (N,).

    Inputs may be compact; `batch` turns them into scaled float32: smaller numbers such as uint8, or, for a modality
    with an entry (V, ...) in ``tables``, the numbers of its rows. Inputs too large for memory, mapped from a file, are
    not cut: they may hold more samples than the split, and ``rows`` (N,) says which of them these are.
    """

    inputs: Mapping[str, Tensor]
    target: Tensor
    ids: Tensor
    scales: Mapping[str, Scale] = field(default_factory=dict)
    tables: Mapping[str, Tensor] = field(default_factory=dict)
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.target)

    def batch(self, index: Tensor) -> Batch:
        """The samples at positions ``index`` (B,), scaled, float32."""
        inputs = {name: self._scaled(name, value) for name, value in self._cut(index).items()}
        return Batch(inputs, self.target.index_select(0, index), self.ids.index_select(0, index))

    def all(self) -> Batch:
        """Every sample in stored order, scaled, float32."""
        stored = self.inputs if self.rows is None else self._cut(torch.arange(len(self), device=self.rows.device))
        inputs = {name: self._scaled(name, value) for name, value in stored.items()}
        return Batch(inputs, self.target, self.ids)

    def take(self, index: Tensor) -> Split:
        """The split that holds only the samples at positions ``index``; inputs with ``rows`` stay where they are."""
        kept = replace(self, target=self.target.index_select(0, index), ids=self.ids.index_select(0, index))
        if self.rows is not None:
            return replace(kept, rows=self.rows.index_select(0, index))
        return replace(kept, inputs=self._cut(index))

    def materialise(self) -> Split:
        """The same samples scaled once and for all: batches become plain index selections."""
        everything = self.all()
        return Split(everything.inputs, everything.target, everything.ids)

    def to(self, device: torch.device | str) -> Split:
        """The same split on ``device``; a device other than the CPU gets the samples of the split only."""
        cut = self.rows is not None and torch.device(device).type != "cpu"
        return Split(
            {name: self._moved(value, device) if cut else value.to(device) for name, value in self.inputs.items()},
            self.target.to(device),
            self.ids.to(device),
            {name: Scale(scale.mean.to(device), scale.std.to(device)) for name, scale in self.scales.items()},
            {name: table.to(device) for name, table in self.tables.items()},
            None if cut else self.rows,
        )

    def _cut(self, index: Tensor) -> dict[str, Tensor]:
        """The stored inputs at positions ``index``."""
        places = index if self.rows is None else self.rows.index_select(0, index)
        return {name: value.index_select(0, places) for name, value in self.inputs.items()}

    def _moved(self, value: Tensor, device: torch.device | str) -> Tensor:
        """The split's rows of ``value`` on ``device``, a few at a time: together they may exceed memory."""
        moved = torch.empty((len(self), *value.shape[1:]), dtype=value.dtype, device=device)
        assert self.rows is not None
        for start in range(0, len(self), _MOVED_AT_ONCE):
            rows = self.rows[start : start + _MOVED_AT_ONCE]
            moved[start : start + len(rows)] = value.index_select(0, rows).to(device)
        return moved

    def _scaled(self, name: str, value: Tensor) -> Tensor:
        table, scale = self.tables.get(name), self.scales.get(name)
        value = (value if table is None else table[value.long()]).float()
        return value if scale is None else (value - scale.mean) / scale.std


@dataclass(frozen=True)
class Splits:
    """A loaded dataset. The test split is opened by `mmfuse.evaluation` alone, once, at the end.

    ``fingerprint`` is the content hash of the data and of what was done to it; results of different fingerprints are
    never ranked against each other. ``stand_in`` marks data that mmfuse made itself, ``provenance`` says how.
    """

    task: Task
    train: Split
    val: Split
    open_test: Callable[[], Split]
    fingerprint: str
    stand_in: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The dataset's name as tables show it."""
        return f"{self.task.name} (stand-in)" if self.stand_in else self.task.name

    def to(self, device: torch.device | str) -> Splits:
        """Training and validation on ``device``; the test split follows when it is opened."""
        opener = self.open_test
        return replace(
            self, train=self.train.to(device), val=self.val.to(device), open_test=lambda: opener().to(device)
        )
