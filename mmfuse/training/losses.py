"""The number that training lowers; it is a number, or training ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn

from mmfuse.batch import Batch
from mmfuse.errors import Diverged

Loss = Callable[[dict[str, Tensor], Batch], dict[str, Tensor]]


def objective(model: nn.Module, batch: Batch) -> Tensor:
    """What ``model`` wants lowered on ``batch``: the ``total`` of its own loss, a scalar with its graph."""
    return cast(Loss, model.loss)(model(batch), batch)["total"]


def check_finite(losses: Sequence[float], *, first_step: int) -> None:
    """Look at the losses of consecutive steps; ``first_step`` counts the steps before them.

    Raises:
        Diverged: naming the first step (counted from 1) whose loss is NaN or infinite, and that loss.
    """
    for offset, loss in enumerate(losses, start=1):
        if not math.isfinite(loss):
            raise Diverged(
                f"the training loss is {loss} at step {first_step + offset}",
                "a smaller learning rate may help (fit.learning_rate)",
            )
