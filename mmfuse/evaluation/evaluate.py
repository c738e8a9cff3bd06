"""What a checkpoint is worth on a split: the only place that opens the test split.

Selection sees validation data alone; the test split is read here, once, from the best checkpoint. The MixMAS and
M2-Mixer releases report "test" scores of the last weights on the loader they selected with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mmfuse.batch import Split, Splits
from mmfuse.errors import unknown_name
from mmfuse.models.cost import count_macs, count_parameters, measure_latency
from mmfuse.training.checkpoint import Checkpoint, check_data, load_checkpoint, rebuild_model
from mmfuse.training.scoring import measure


@dataclass(frozen=True)
class Evaluation:
    """Metrics by bare name on ``samples`` samples of ``split``, what the model costs, and its predictions.

    ``macs`` are multiply-accumulates of one sample, ``latency_ms`` the median time of its forward pass on ``device``;
    ``logits`` (N, K), ``target`` and ``ids`` are on the CPU, in stored order, for paired comparisons.
    """

    split: str
    samples: int
    metrics: Mapping[str, float]
    parameters: int
    macs: int
    latency_ms: float
    device: str
    logits: Tensor = field(repr=False, compare=False)
    target: Tensor = field(repr=False, compare=False)
    ids: Tensor = field(repr=False, compare=False)


def evaluate(
    checkpoint: Checkpoint | Path, splits: Splits, *, split: str = "test", device: torch.device, batch_size: int = 512
) -> Evaluation:
    """Measure ``checkpoint`` (or the one at that path) on ``split``: train, val or test.

    Raises:
        CheckpointMismatch: when it was trained on other data; the split is then not opened.
        UnknownName: when there is no such split.
        DataMissing, DataInvalid: when the file is absent or damaged.
    """
    if isinstance(checkpoint, Path):
        checkpoint = load_checkpoint(checkpoint)
    check_data(checkpoint, splits)
    samples = _open(splits, split).to(device)
    model = rebuild_model(checkpoint).to(device)
    logits, metrics = measure(model, samples, splits.task, batch_size=batch_size)
    one = samples.batch(torch.zeros(1, dtype=torch.long, device=device))
    return Evaluation(
        split=split,
        samples=len(samples),
        metrics=metrics,
        parameters=count_parameters(model),
        macs=count_macs(model, one),
        latency_ms=1000 * measure_latency(model, one),
        device=str(device),
        logits=logits.cpu(),
        target=samples.target.cpu(),
        ids=samples.ids.cpu(),
    )


def _open(splits: Splits, name: str) -> Split:
    openers: dict[str, Callable[[], Split]] = {
        "train": lambda: splits.train,
        "val": lambda: splits.val,
        "test": splits.open_test,
    }
    if name not in openers:
        raise unknown_name("split", name, openers)
    return openers[name]()
