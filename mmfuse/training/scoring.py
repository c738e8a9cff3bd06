"""Predictions of a model over a whole split, and the metrics they earn.

Full training, search trials and the final evaluation share this file, so that a checkpoint's numbers are the ones an
evaluation gives it: 32-bit arithmetic, evaluation mode, stored order.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmfuse.batch import Split
from mmfuse.errors import Stopped
from mmfuse.metrics import compute_metrics
from mmfuse.task import Task
from mmfuse.training.resident import ordered_batches


def score(
    model: nn.Module,
    split: Split,
    task: Task,
    *,
    batch_size: int = 512,
    should_stop: Callable[[], bool] | None = None,
) -> dict[str, float]:
    """The metrics of ``model`` on ``split``, by bare name (``accuracy``, ``loss``).

    Raises:
        Stopped: between two batches, once ``should_stop`` says so.
    """
    logits = predict(model, split, batch_size=batch_size, should_stop=should_stop)
    return compute_metrics(task, logits, split.target)


@torch.no_grad()
def predict(
    model: nn.Module, split: Split, *, batch_size: int = 512, should_stop: Callable[[], bool] | None = None
) -> Tensor:
    """The logits (N, K) of every sample in stored order; the model is left in the mode it was in.

    Raises:
        Stopped: between two batches, once ``should_stop`` says so.
    """
    was_training = model.training
    model.eval()
    logits = []
    try:
        for batch in ordered_batches(split, batch_size=batch_size):
            if should_stop is not None and should_stop():
                raise Stopped
            logits.append(model(batch)["logits"])
    finally:
        model.train(was_training)
    return torch.cat(logits)
