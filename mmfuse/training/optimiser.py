"""The optimisers of the project, and how their step size changes.

Adam, as MixMAS (arXiv 2412.18437) and M2-Mixer use it. The fused kernel makes one pass over all parameters, which is
what a small model's step mostly costs; full training and search trials share it, so their weights agree bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mmfuse.errors import BadSpec
from mmfuse.spec import FitOptions


def make_optimiser(
    model: nn.Module, *, learning_rate: float, weight_decay: float = 0.0, fused: bool = True
) -> Optimizer:
    """Adam over the parameters of ``model`` that are not frozen.

    Raises:
        BadSpec: when all of them are.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise BadSpec("the model has no parameter to train", "thaw a part of it, or only evaluate it")
    return Adam(trainable, lr=learning_rate, weight_decay=weight_decay, fused=fused)


def make_adamw(model: nn.Module, *, learning_rate: float, weight_decay: float) -> Optimizer:
    """AdamW, fused, that lets only matrices decay: no biases, norms or scalars (FuseMix, arXiv 2312.10144)."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trainable if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trainable if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=learning_rate, fused=True)


class Schedule(Protocol):
    """Sets the optimiser's step size; what it remembers is plain values."""

    def before_step(self, step: int) -> None:
        """Optimiser step ``step`` (from 0) is next."""

    def after_epoch(self, val_loss: float) -> None:
        """An epoch was validated."""

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""


def make_schedule(options: FitOptions, optimiser: Optimizer, *, steps: int) -> Schedule:
    """The schedule that ``options`` name, for a training of ``steps`` optimiser steps in all."""
    if options.schedule == "plateau":
        return Plateau(optimiser, factor=options.plateau_factor, patience=options.plateau_patience)
    if options.schedule == "cosine":
        return Cosine(optimiser, learning_rate=options.learning_rate, steps=steps)
    if options.schedule == "warmup":
        return Warmup(optimiser, options, steps=steps)
    if options.schedule == "restarts":
        cycles = Cycles(
            highest=options.learning_rate,
            lowest=options.minimum_rate,
            first=options.cycle,
            factor=options.cycle_factor,
            steps_per_epoch=steps // options.epochs,
        )
        return WarmRestarts(optimiser, cycles)
    return Constant()


class Constant:
    """The step size stays what it is."""

    def before_step(self, step: int) -> None:
        """Nothing changes."""

    def after_epoch(self, val_loss: float) -> None:
        """Nothing changes."""

    def state(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing was remembered."""


class Cosine:
    """Half a cosine from ``learning_rate`` to zero over ``steps``: a function of the step, so nothing is remembered."""

    def __init__(self, optimiser: Optimizer, *, learning_rate: float, steps: int) -> None:
        self.optimiser = optimiser
        self.learning_rate = learning_rate
        self.steps = steps

    def before_step(self, step: int) -> None:
        """Set the step size of ``step``."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * (1 + math.cos(math.pi * step / self.steps)) / 2

    def after_epoch(self, val_loss: float) -> None:
        """Nothing changes."""

    def state(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing was remembered."""


class Warmup:
    """A straight line up from the lowest step size to ``learning_rate``, then half a cosine down to the lowest again.

    A function of the step, so nothing is remembered. FuseMix's release (arXiv 2312.10144) warms up inside the first
    epoch only and changes the step size once an epoch after that; where an epoch is a few steps, that is a jump.
    """

    def __init__(self, optimiser: Optimizer, options: FitOptions, *, steps: int) -> None:
        self.optimiser = optimiser
        self.options = options
        self.steps = steps

    def rate(self, step: int) -> float:
        """The step size of optimiser step ``step`` (from 0)."""
        low, high, rise = self.options.minimum_rate, self.options.learning_rate, self.options.warmup_steps
        if step < rise:
            return low + (high - low) * step / rise
        return low + (high - low) * (1 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise))) / 2

    def before_step(self, step: int) -> None:
        """Set the step size of ``step``."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step)

    def after_epoch(self, val_loss: float) -> None:
        """Nothing changes."""

    def state(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing was remembered."""


@dataclass(frozen=True)
class Cycles:
    """Cosine cycles with warm restarts (SGDR, arXiv 1608.03983): step sizes as a function of the step.

    The first cycle lasts ``first`` epochs, each further one ``factor`` times as long. MFAS's code restarts when the
    step size comes within 1e-10 of the lowest, which depending on the batch size happens late or never; here cycles
    are whole numbers of steps.
    """

    highest: float
    lowest: float
    first: float
    factor: float
    steps_per_epoch: int

    def rate(self, step: int) -> float:
        """The step size of optimiser step ``step`` (from 0)."""
        epochs = self.first
        length = self._steps(epochs)
        while step >= length:
            step -= length
            epochs *= self.factor
            length = self._steps(epochs)
        return self.lowest + (self.highest - self.lowest) * (1 + math.cos(math.pi * step / length)) / 2

    def _steps(self, epochs: float) -> int:
        return max(1, round(epochs * self.steps_per_epoch))


class WarmRestarts:
    """`Cycles` applied to an optimiser: a function of the step, so nothing is remembered."""

    def __init__(self, optimiser: Optimizer, cycles: Cycles) -> None:
        self.optimiser = optimiser
        self.cycles = cycles

    def before_step(self, step: int) -> None:
        """Set the step size of ``step``."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.cycles.rate(step)

    def after_epoch(self, val_loss: float) -> None:
        """Nothing changes."""

    def state(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing was remembered."""


class Plateau:
    """The step size falls by ``factor`` once the validation loss has not improved for more than ``patience`` epochs."""

    def __init__(self, optimiser: Optimizer, *, factor: float, patience: int) -> None:
        self.scheduler = ReduceLROnPlateau(optimiser, factor=factor, patience=patience)

    def before_step(self, step: int) -> None:
        """Nothing changes inside an epoch."""

    def after_epoch(self, val_loss: float) -> None:
        """Count the epoch, and act if it was one too many."""
        self.scheduler.step(val_loss)

    def state(self) -> dict[str, Any]:
        """Best loss, bad epochs and the like."""
        return dict(self.scheduler.state_dict())

    def restore(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.scheduler.load_state_dict(state)
