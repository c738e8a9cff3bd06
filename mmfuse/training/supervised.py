"""The usual method of full training: batches of samples with targets, and the model's own loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mmfuse.batch import Batch, Splits
from mmfuse.spec import FitOptions
from mmfuse.training.losses import objective
from mmfuse.training.optimiser import make_optimiser
from mmfuse.training.progress import Position
from mmfuse.training.resident import ResidentLoader, steps_per_epoch
from mmfuse.training.scoring import score


class Supervised:
    """A `mmfuse.training.engine.Method` on resident data."""

    steps_per_epoch: int

    def __init__(self, splits: Splits, options: FitOptions, *, seed: int) -> None:
        self.splits = splits
        self.options = options
        self.seed = seed

    def begin(self, model: nn.Module, device: torch.device, *, rank: int, ranks: int) -> Optimizer:
        """Adam, and all data on ``device``."""
        options = self.options
        self.model, self.rank, self.ranks = model, rank, ranks
        self.splits = self.splits.to(device)
        self.steps_per_epoch = steps_per_epoch(len(self.splits.train), batch_size=options.batch_size, ranks=ranks)
        # The fused kernel unscales 16-bit gradients by itself and so cannot be combined with clipping them.
        fused = not (options.precision == "16-mixed" and options.gradient_clip is not None)
        return make_optimiser(
            model, learning_rate=options.learning_rate, weight_decay=options.weight_decay, fused=fused
        )

    def batches(self, position: Callable[[], Position]) -> Iterable[Batch]:
        """Index selections."""
        return ResidentLoader(
            self.splits.train,
            batch_size=self.options.batch_size,
            seed=self.seed,
            position=lambda: (position().epoch, position().batch),
            rank=self.rank,
            ranks=self.ranks,
        )

    def loss(self, batch: Batch) -> Tensor:
        """The ``total`` of the model's loss."""
        return objective(self.model, batch)

    def score(self, should_stop: Callable[[], bool]) -> dict[str, float]:
        """The task's metrics on the whole validation split."""
        return score(self.model, self.splits.val, self.splits.task, should_stop=should_stop)
