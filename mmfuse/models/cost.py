"""What a model costs: parameters, multiply-accumulates, time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmfuse.batch import Batch


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def count_macs(model: nn.Module, batch: Batch) -> int:
    """Multiply-accumulates of one sample's forward pass, counted while it runs on ``batch``'s first sample.

    Matrix products and convolutions count, elementwise work (norms, activations, biases) does not.
    """
    counter = FlopCounterMode(display=False)
    with _evaluating(model), counter:
        model(_first(batch))
    return int(counter.get_total_flops()) // 2


def measure_latency(model: nn.Module, batch: Batch, *, repeats: int = 7, warm_up: int = 2) -> float:
    """Median seconds of a forward pass of ``batch`` in evaluation mode, on the device both are on."""
    seconds = []
    with _evaluating(model):
        for _ in range(warm_up + repeats):
            _wait(batch)
            start = time.perf_counter()
            model(batch)
            _wait(batch)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[warm_up:])


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every module's own mode comes back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _first(batch: Batch) -> Batch:
    return Batch(
        {name: value[:1] for name, value in batch.inputs.items()},
        batch.target[:1],
        batch.ids[:1],
        {name: value[:1] for name, value in batch.masks.items()},
    )


def _wait(batch: Batch) -> None:
    """Let queued work on an accelerator finish."""
    if batch.target.is_cuda:
        torch.cuda.synchronize(batch.target.device)
