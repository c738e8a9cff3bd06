"""Batches cut from tensors that already lie where they are needed: an epoch is a permutation and some index selections.

An epoch visits every sample once; its last batch may be smaller. With several ranks each takes every R-th sample of
the same order, which is then filled up from its own beginning so that all ranks make the same number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mmfuse.batch import Batch, Split
from mmfuse.training.seeding import epoch_order


def steps_per_epoch(samples: int, *, batch_size: int, ranks: int = 1) -> int:
    """Optimiser steps that one pass over ``samples`` takes."""
    return math.ceil(math.ceil(samples / ranks) / batch_size)


def epoch_batches(
    split: Split, *, batch_size: int, seed: int, epoch: int, start: int = 0, rank: int = 0, ranks: int = 1
) -> Iterator[Batch]:
    """The batches of ``epoch`` from number ``start`` on, on the device the split lies on."""
    order = epoch_order(len(split), seed=seed, epoch=epoch)
    share = _share(order, rank=rank, ranks=ranks).to(split.target.device)
    for index in share.split(batch_size)[start:]:
        yield split.batch(index)


def ordered_batches(split: Split, *, batch_size: int) -> Iterator[Batch]:
    """Every sample once, in stored order."""
    for index in torch.arange(len(split), device=split.target.device).split(batch_size):
        yield split.batch(index)


class ResidentLoader:
    """What Lightning iterates: each time the rest of the epoch in which training stands, as ``position`` tells.

    ``position`` gives the epoch and the batches of it that are done; it is asked when the first batch is wanted, not
    before, because the Trainer makes iterators that it never uses.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        seed: int,
        position: Callable[[], tuple[int, int]],
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.split = split
        self.batch_size = batch_size
        self.seed = seed
        self.position = position
        self.rank = rank
        self.ranks = ranks

    def __len__(self) -> int:
        return steps_per_epoch(len(self.split), batch_size=self.batch_size, ranks=self.ranks)

    def __iter__(self) -> Iterator[Batch]:
        epoch, done = self.position()
        yield from epoch_batches(
            self.split,
            batch_size=self.batch_size,
            seed=self.seed,
            epoch=epoch,
            start=done,
            rank=self.rank,
            ranks=self.ranks,
        )


def _share(order: Tensor, *, rank: int, ranks: int) -> Tensor:
    if ranks == 1:
        return order
    each = math.ceil(len(order) / ranks)
    return torch.cat([order, order[: each * ranks - len(order)]])[rank::ranks]
