"""The lean loop for search trials: exactly the planned optimiser steps, an optimiser of its own, and nothing else.

A `QuickTraining` may be continued, also in another process: one epoch now and two more later give the weights of three
epochs at once, bit for bit, which is what successive halving needs. Losses stay on the device and are looked at once
an epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmfuse.batch import Split
from mmfuse.errors import Stopped
from mmfuse.training.losses import check_finite, objective
from mmfuse.training.optimiser import make_optimiser
from mmfuse.training.resident import epoch_batches
from mmfuse.training.scoring import score as quick_score
from mmfuse.training.seeding import seed_step

__all__ = ["EpochListener", "QuickResult", "QuickTraining", "quick_fit", "quick_score"]

EpochListener = Callable[[int, float], None]
"""Is told the number of epochs done and the mean training loss of the last."""


@dataclass(frozen=True)
class QuickResult:
    """What a model has behind it: epochs, optimiser steps, seconds inside the loop, and the loss of each step."""

    epochs: int
    steps: int
    seconds: float
    losses: tuple[float, ...]


class QuickTraining:
    """A model with its optimiser and its place in the schedule.

    ``train`` should be materialised (`Split.materialise`), so that a batch is an index selection.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Split,
        *,
        batch_size: int,
        learning_rate: float,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model = model.to(device)
        self.train = train.to(device)
        self.batch_size = batch_size
        self.seed = seed
        self.device = device
        self.optimiser = make_optimiser(model, learning_rate=learning_rate)
        self.result = QuickResult(0, 0, 0.0, ())

    def run(
        self,
        *,
        epochs: int,
        on_epoch: EpochListener | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> QuickResult:
        """Train until ``epochs`` epochs are done in all.

        Raises:
            Diverged: naming the first step whose loss is not a number.
            Stopped: between two steps, once ``should_stop`` says so; such a training must begin anew.
        """
        self.model.train()
        while self.result.epochs < epochs:
            done, started = self.result, time.perf_counter()
            losses = self._epoch(should_stop)
            check_finite(losses, first_step=done.steps)
            self.result = QuickResult(
                epochs=done.epochs + 1,
                steps=done.steps + len(losses),
                seconds=done.seconds + time.perf_counter() - started,
                losses=done.losses + tuple(losses),
            )
            if on_epoch is not None:
                on_epoch(self.result.epochs, sum(losses) / len(losses))
        return self.result

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values from which a fresh training of the same model goes on."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "result": asdict(self.result),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.result = QuickResult(**state["result"])

    def _epoch(self, should_stop: Callable[[], bool] | None) -> list[float]:
        """Train one epoch; the loss of each step."""
        model, optimiser = self.model, self.optimiser
        batches = epoch_batches(self.train, batch_size=self.batch_size, seed=self.seed, epoch=self.result.epochs)
        losses: list[Tensor] = []
        for step, batch in enumerate(batches, start=self.result.steps):
            if should_stop is not None and should_stop():
                raise Stopped
            seed_step(self.seed, step, device=self.device)
            loss = objective(model, batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
        return list(torch.stack(losses).tolist())


def quick_fit(
    model: nn.Module,
    train: Split,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    device: torch.device,
    on_epoch: EpochListener | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> QuickResult:
    """Train ``model`` in place for ``epochs`` epochs.

    Raises:
        Diverged, Stopped: as `QuickTraining.run`.
    """
    training = QuickTraining(model, train, batch_size=batch_size, learning_rate=learning_rate, seed=seed, device=device)
    return training.run(epochs=epochs, on_epoch=on_epoch, should_stop=should_stop)
