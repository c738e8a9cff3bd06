"""Whether a difference between two results is one: spread over seeds, and the paired bootstrap.

The bootstrap follows Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapters 13 and 16: percentile
interval, pairs kept together. Pairs are either the samples that two models both predicted or the seeds that two
methods were both run with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    return _difference(gaps, _resampled_means(gaps, draws=draws, seed=seed), confidence)


def _resampled_means(values: Tensor, *, draws: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(derive_seed(seed, "bootstrap"))
    each = max(1, CHUNK // len(values))
    parts = []
    for done in range(0, draws, each):
        index = torch.randint(len(values), (min(each, draws - done), len(values)), generator=generator)
        parts.append(values[index].mean(dim=1))
    return torch.cat(parts)


@dataclass(frozen=True)
class Interval:
    """The range that a mean falls into in 95 of 100 resamples."""

    low: float
    high: float


def clustered_intervals(
    values: Mapping[str, tuple[Tensor, Tensor]], *, draws: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Percentile intervals of the means of several metrics, resampling clusters whole and for all metrics alike.

    By metric the value of each query (Q,) and its cluster (Q,), numbered from 0. Five captions of one image rise and
    fall together; counting them as five samples makes intervals too narrow.
    """
    sums = {name: _by_cluster(*pair) for name, pair in values.items()}
    means = _resampled_ratios(list(sums.values()), draws=draws, seed=seed)
    return {name: _percentiles(row, confidence) for name, row in zip(sums, means, strict=True)}


def clustered_difference(
    first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], *, draws: int = 10_000, seed: int = 0
) -> Difference:
    """Compare two models' values (Q,) on the same queries, in the same clusters, as `paired_bootstrap` does.

    Raises:
        BadSpec: when the queries are not the same.
    """
    if not first[1].equal(second[1]):
        raise BadSpec(
            f"{len(first[1])} and {len(second[1])} queries are not the same ones", "measure both on the same data"
        )
    gaps = first[0] - second[0]
    (means,) = _resampled_ratios([_by_cluster(gaps, first[1])], draws=draws, seed=seed)
    return _difference(gaps, means, 0.95)


def _difference(gaps: Tensor, means: Tensor, confidence: float) -> Difference:
    interval = _percentiles(means, confidence)
    # Counting the observed sample as one of the draws keeps the probability above zero.
    one_sided = 1 + min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Difference(float(gaps.mean()), interval.low, interval.high, min(1.0, 2 * one_sided / (len(means) + 1)))


def _by_cluster(values: Tensor, cluster: Tensor) -> Tensor:
    """(C, 2): sum and number of the values of each cluster."""
    size = int(cluster.max()) + 1
    sums = torch.zeros(size, dtype=torch.float64).index_add_(0, cluster, values.double())
    return torch.stack([sums, torch.bincount(cluster, minlength=size).double()], dim=1)


def _resampled_ratios(clusters: Sequence[Tensor], *, draws: int, seed: int) -> list[Tensor]:
    """For each of several (C, 2) the ratio of summed columns in every draw of C clusters: (draws,)."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "bootstrap"))
    count = len(clusters[0])
    each = max(1, CHUNK // count)
    parts: list[list[Tensor]] = [[] for _ in clusters]
    for done in range(0, draws, each):
        index = torch.randint(count, (min(each, draws - done), count), generator=generator)
        for kept, table in zip(parts, clusters, strict=True):
            sums = table[index].sum(1)
            kept.append(sums[:, 0] / sums[:, 1])
    return [torch.cat(kept) for kept in parts]


def _percentiles(means: Tensor, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = torch.quantile(means, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Interval(low, high)
