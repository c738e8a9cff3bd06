"""Whether a difference between two results is one: spread over seeds, and the paired bootstrap.

The bootstrap follows Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapters 13 and 16: percentile
interval, pairs kept together. Pairs are either the samples that two models both predicted or the seeds that two
methods were both run with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmfuse.errors import BadSpec
from mmfuse.training.seeding import derive_seed

CHUNK = 1_000_000
"""Indices drawn at a time; bounds the memory of a bootstrap over many samples."""


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (NaN for a single value) of ``count`` scores."""

    mean: float
    std: float
    count: int


@dataclass(frozen=True)
class Difference:
    """Mean of first minus second, its interval, and the two-sided probability of so much if there were none."""

    mean: float
    low: float
    high: float
    p_value: float


def spread(scores: Sequence[float]) -> Spread:
    """Of the scores of one method under several seeds.

    Raises:
        BadSpec: when there is none.
    """
    if not scores:
        raise BadSpec("no score to summarise", "finish at least one run")
    values = torch.tensor(scores, dtype=torch.float64)
    deviation = float(values.std(correction=1)) if len(scores) > 1 else math.nan
    return Spread(float(values.mean()), deviation, len(scores))


def correct(logits: Tensor, target: Tensor) -> Tensor:
    """Per sample, 1 where the largest of the logits (N, K) is the target's (N,), else 0: what accuracy averages."""
    return (logits.argmax(dim=1) == target).double()


def paired_bootstrap(
    first: Tensor, second: Tensor, *, draws: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """Compare paired values (N,), such as `correct` of two models on the same samples.

    Raises:
        BadSpec: when the two are not pairs.
    """
    if first.shape != second.shape or first.ndim != 1 or len(first) == 0:
        raise BadSpec(
            f"values of shapes {tuple(first.shape)} and {tuple(second.shape)} are not pairs",
            "compare two models on the same samples, or two methods under the same seeds",
        )
    gaps = first.double() - second.double()
    means = _resampled_means(gaps, draws=draws, seed=seed)
    tail = (1 - confidence) / 2
    low, high = torch.quantile(means, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    # Counting the observed sample as one of the draws keeps the probability above zero.
    one_sided = 1 + min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Difference(float(gaps.mean()), low, high, min(1.0, 2 * one_sided / (draws + 1)))


def _resampled_means(values: Tensor, *, draws: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(derive_seed(seed, "bootstrap"))
    each = max(1, CHUNK // len(values))
    parts = []
    for done in range(0, draws, each):
        index = torch.randint(len(values), (min(each, draws - done), len(values)), generator=generator)
        parts.append(values[index].mean(dim=1))
    return torch.cat(parts)
