"""How far a full training is, and how good it has become: the part of its state that is plain numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mmfuse.task import Task


@dataclass(frozen=True)
class Position:
    """Where training stands: ``batch`` batches of ``epoch`` (from 0) are done, ``step`` optimiser steps in all.

    An epoch whose batches are all done still awaits its validation; only then does the next one begin.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0

    def after_step(self) -> Position:
        """One batch further."""
        return Position(self.epoch, self.batch + 1, self.step + 1)

    def after_epoch(self) -> Position:
        """The epoch is validated."""
        return Position(self.epoch + 1, 0, self.step)


@dataclass(frozen=True)
class Best:
    """The best validation so far: after how many epochs and steps, its score, loss and metrics (``val/accuracy``)."""

    epoch: int
    step: int
    score: float
    loss: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """The best validation, and how many epochs have passed without a better one."""

    best: Best | None = None
    stale: int = 0

    def after(self, validation: Best, task: Task) -> Standing:
        """The standing once ``validation`` has been seen; equal scores are told apart by the loss."""
        if self.best is None or _better(validation, self.best, task):
            return Standing(validation, 0)
        return replace(self, stale=self.stale + 1)


def _better(one: Best, other: Best, task: Task) -> bool:
    if one.score == other.score:
        return one.loss < other.loss
    return task.better(one.score, other.score)
