"""Predictions of a model over a whole split, and the metrics they earn.

Full training, search trials and the final evaluation share this file, so that a checkpoint's numbers are the ones an
evaluation gives it: 32-bit arithmetic, evaluation mode, stored order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mmfuse.batch import Split
from mmfuse.errors import Stopped
from mmfuse.metrics import compute_metrics
from mmfuse.task import Task
from mmfuse.training.resident import ordered_batches

Stop = Callable[[], bool]


def score(
    model: nn.Module, split: Split, task: Task, *, batch_size: int = 512, should_stop: Stop | None = None
) -> dict[str, float]:
    """The metrics of ``model`` on ``split``, by bare name (``accuracy``, ``loss``).

    Raises:
        Stopped: between two batches, once ``should_stop`` says so.
    """
    return measure(model, split, task, batch_size=batch_size, should_stop=should_stop)[1]


def measure(
    model: nn.Module, split: Split, task: Task, *, batch_size: int = 512, should_stop: Stop | None = None
) -> tuple[Tensor, dict[str, float]]:
    """The logits (N, K) of every sample in stored order, and the metrics they earn.

    A model with several predictors names those to be told apart as ``scored_heads``; the primary metric of each one's
    ``logits/<head>`` is added as ``accuracy_<head>``.

    Raises:
        Stopped: between two batches, once ``should_stop`` says so.
    """
    heads: Sequence[str] = getattr(model, "scored_heads", ())
    names = ["logits", *(f"logits/{head}" for head in heads)]
    logits, *others = _outputs(model, split, names, batch_size=batch_size, should_stop=should_stop)
    metrics = compute_metrics(task, logits, split.target)
    for head, judged in zip(heads, others, strict=True):
        metrics[f"{task.metric}_{head}"] = compute_metrics(task, judged, split.target)[task.metric]
    return logits, metrics


def predict(model: nn.Module, split: Split, *, batch_size: int = 512, should_stop: Stop | None = None) -> Tensor:
    """The logits (N, K) of every sample in stored order; the model is left in the mode it was in.

    Raises:
        Stopped: between two batches, once ``should_stop`` says so.
    """
    return _outputs(model, split, ["logits"], batch_size=batch_size, should_stop=should_stop)[0]


@torch.no_grad()
def _outputs(
    model: nn.Module, split: Split, names: Sequence[str], *, batch_size: int, should_stop: Stop | None
) -> list[Tensor]:
    """Some of the model's outputs, each (N, K)."""
    was_training = model.training
    model.eval()
    parts: list[list[Tensor]] = [[] for _ in names]
    try:
        for batch in ordered_batches(split, batch_size=batch_size):
            if should_stop is not None and should_stop():
                raise Stopped
            outputs = model(batch)
            for part, name in zip(parts, names, strict=True):
                part.append(outputs[name])
    finally:
        model.train(was_training)
    return [torch.cat(part) for part in parts]
