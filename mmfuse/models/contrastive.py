"""Symmetric InfoNCE over a whole batch without ever holding its B x B similarities.

    loss = ½ mean_i [lse_j s_ij] + ½ mean_j [lse_i s_ij] - mean_i s_i+ ,   s = v tᵀ / temperature

where s_i+ is the similarity of pair i or, with groups, the mean over all members of i's group (SupCon, "Supervised
Contrastive Learning", arXiv 2004.11362, eq. 2, read in both directions). FuseMix (arXiv 2312.10144) trains on it with
batches of 20,480, whose similarities and their gradients take ten gigabytes when written down; its release computes
them twice, as v tᵀ and t vᵀ. Here rows are visited a tile at a time: one product serves both directions, a running
maximum and sum per column takes the place of the second, and the backward pass computes each tile again. Value and
gradients are exact; memory is O(tile x B + B x D).

Three facts keep the tiles free of everything but two exponentials. Positives never need the tile: their sum is
sum_i v_i · mean(t over i's group) / temperature, the same in both directions. The loss depends on v / temperature
only, so the temperature's gradient is -sum(v · dv) / temperature. And scaling happens on the rows of v.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def contrastive_loss(
    embeddings: Mapping[str, Tensor],
    temperature: Tensor,
    *,
    groups: Tensor | None = None,
    anchor: str | None = None,
    tile: int = 512,
) -> Tensor:
    """The mean of `info_nce` over every two of M modalities or, with ``anchor``, over that one and each other.

    ``embeddings`` (B, D) have length 1. A mean, not a sum: chance is ln B whatever M is.
    """
    names = list(embeddings)
    couples = combinations(names, 2) if anchor is None else ((anchor, name) for name in names if name != anchor)
    losses = [
        info_nce(embeddings[one], embeddings[other], temperature, groups=groups, tile=tile) for one, other in couples
    ]
    return torch.stack(losses).mean()


def info_nce(
    first: Tensor, second: Tensor, temperature: Tensor, *, groups: Tensor | None = None, tile: int = 512
) -> Tensor:
    """The symmetric loss of B pairs (B, D), (B, D) under a scalar temperature.

    ``groups`` (B,) int64 holds equal numbers for pairs that are positives of each other (`dense_groups` makes them);
    None: each pair is its own. ``tile`` rows are compared with all others at a time; the result does not depend on it.
    """
    return cast(Tensor, _InfoNCE.apply(first, second, temperature, groups, tile))


def dense_groups(keys: Tensor) -> Tensor:
    """Equal ``keys`` (B,) as equal numbers below B, found without asking the device how many there are."""
    ordered, order = keys.sort(stable=True)
    number = torch.zeros_like(order)
    number[1:] = (ordered[1:] != ordered[:-1]).cumsum(0)
    return torch.empty_like(order).scatter_(0, order, number)


class _InfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, first: Tensor, second: Tensor, temperature: Tensor, groups: Tensor | None, tile: int
    ) -> Tensor:
        scaled = first / temperature
        rows, columns = _log_sums(scaled, second, tile)
        positives = (scaled * _group_means(second, groups)).sum()
        ctx.save_for_backward(first, second, temperature, groups, rows, columns)
        ctx.tile = tile
        return ((rows.sum() + columns.sum()) / 2 - positives) / len(first)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        first, second, temperature, groups, rows, columns = ctx.saved_tensors
        scaled = first / temperature
        to_first, to_second = _pull(scaled, second, rows, columns, ctx.tile)
        to_first = to_first / 2 - _group_means(second, groups)
        to_second = to_second / 2 - _group_means(scaled, groups)
        factor = upstream / len(first)
        to_first *= factor / temperature
        to_second *= factor
        return to_first, to_second, -(first * to_first).sum() / temperature, None, None


def _log_sums(scaled: Tensor, second: Tensor, tile: int) -> tuple[Tensor, Tensor]:
    """Log of the summed exponentials of every row and every column of ``scaled secondᵀ``, each (B,)."""
    rows = torch.empty_like(scaled[:, 0])
    peak = torch.full_like(second[:, 0], -math.inf)
    total = torch.zeros_like(peak)
    scratch, powers = _buffers(scaled, second, tile)
    for start in range(0, len(scaled), tile):
        part = scaled[start : start + tile]
        similarity = torch.mm(part, second.T, out=scratch[: len(part)])
        room = powers[: len(part)]
        highest = similarity.amax(1)
        sums = torch.sub(similarity, highest[:, None], out=room).exp_().sum(1)
        torch.add(highest, sums.log_(), out=rows[start : start + tile])
        higher = torch.maximum(peak, similarity.amax(0))
        total.mul_((peak - higher).exp_()).add_(similarity.sub_(higher).exp_().sum(0))
        peak = higher
    return rows, peak + total.log_()


def _pull(scaled: Tensor, second: Tensor, rows: Tensor, columns: Tensor, tile: int) -> tuple[Tensor, Tensor]:
    """What the log sums hand back: softmax over rows plus softmax over columns, times ``second``, and transposed."""
    to_first, to_second = torch.empty_like(scaled), torch.zeros_like(second)
    scratch, powers = _buffers(scaled, second, tile)
    for start in range(0, len(scaled), tile):
        part = scaled[start : start + tile]
        similarity = torch.mm(part, second.T, out=scratch[: len(part)])
        weights = torch.sub(similarity, rows[start : start + tile, None], out=powers[: len(part)]).exp_()
        weights += similarity.sub_(columns).exp_()
        torch.mm(weights, second, out=to_first[start : start + tile])
        to_second.addmm_(weights.T, part)
    return to_first, to_second


def _buffers(scaled: Tensor, second: Tensor, tile: int) -> tuple[Tensor, Tensor]:
    size = (min(tile, len(scaled)), len(second))
    return scaled.new_empty(size), scaled.new_empty(size)


def _group_means(values: Tensor, groups: Tensor | None) -> Tensor:
    """For every row the mean of ``values`` (B, D) over its group."""
    if groups is None:
        return values
    sums = torch.zeros_like(values).index_add_(0, groups, values)
    counts = torch.zeros_like(values[:, :1]).index_add_(0, groups, torch.ones_like(values[:, :1]))
    return (sums / counts.clamp_(min=1)).index_select(0, groups)
