"""What each training step cost, told in time and cheaply.

Losses stay on the device; a few times a second they are fetched together, in one synchronisation, reported and looked
at. So a loss that is no number is noticed within a moment, and always before a checkpoint is written.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from mmfuse.report import Reporter
from mmfuse.training.losses import check_finite

DRAIN_SECONDS = 0.2


class LossRecorder:
    """Collects the losses of one epoch after another; ``total`` is how many steps all epochs take."""

    def __init__(self, reporter: Reporter, *, total: int, epochs: int) -> None:
        self.reporter = reporter
        self.total = total
        self.epochs = epochs
        self._pending: list[Mapping[str, Tensor]] = []
        self._due = time.monotonic() + DRAIN_SECONDS

    def add(self, values: Mapping[str, Tensor], *, step: int, epoch: int) -> None:
        """Note ``loss`` and others (detached) of optimiser step ``step`` in ``epoch``, both counted from 1.

        Raises:
            Diverged: as `drain`, now and then.
        """
        self._pending.append(values)
        if time.monotonic() >= self._due:
            self.drain(step=step, epoch=epoch)

    def drain(self, *, step: int, epoch: int) -> None:
        """Report everything collected; ``step`` is the last step taken.

        Raises:
            Diverged: when a loss is no number.
        """
        self._due = time.monotonic() + DRAIN_SECONDS
        if not self._pending:
            return
        names = list(self._pending[0])
        flat = torch.stack([values[name] for values in self._pending for name in names])
        rows = flat.reshape(-1, len(names)).tolist()
        self._pending.clear()
        first = step - len(rows)
        for number, row in enumerate(rows, start=first + 1):
            values = {f"train/{name}": value for name, value in zip(names, row, strict=True)}
            self.reporter.metrics(values, step=number, epoch=epoch)
        self.reporter.progress(step, self.total, what=f"train/epoch {epoch} of {self.epochs}")
        check_finite([row[names.index("loss")] for row in rows], first_step=first)
