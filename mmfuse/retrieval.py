"""How well items of one modality find their partners in another.

Similarities are 32-bit, computed in blocks of rows, and ties count against the model: a right answer ranks behind
every wrong one of the same similarity. Counting only what is strictly better gives a model that maps everything to one
point a perfect score; in bfloat16 half of the queries tie. Of several right answers the best ranked one counts, as
usual for five captions per image (Karpathy and Fei-Fei, arXiv 1412.2306, section 4.1).

Where pairs share nothing but a class, finding the very partner means nothing; there the nearest item should be of the
query's class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations

import torch
from torch import Tensor

from mmfuse.errors import Diverged

CUTS = (1, 5, 10)
BLOCK = 16_000_000
"""Similarities in memory at a time: 64 MB."""


def gold_ranks(queries: Tensor, candidates: Tensor, gold: Tensor) -> Tensor:
    """Rank, from 1, of the best right answer to each of the Q queries (Q, D) among C candidates (C, D): (Q,).

    ``gold`` (G, 2) holds queries and their right answers, every query at least once; repetitions count once.

    Raises:
        Diverged: when an embedding is no number: it would compare as neither better nor worse.
    """
    _check(queries, candidates)
    gold = torch.unique(gold.long(), dim=0)  # by query; a repetition would count as a rank gained
    bounds = torch.searchsorted(gold[:, 0].contiguous(), torch.arange(len(queries) + 1, device=gold.device)).tolist()
    ranks = [
        _ranks_in(similarity, gold[bounds[start] : bounds[start + len(similarity)]] - gold.new_tensor([start, 0]))
        for start, similarity in _blocks(queries, candidates)
    ]
    return torch.cat(ranks)


def retrieval_metrics(embeddings: Mapping[str, Tensor], pairs: Tensor) -> dict[str, float]:
    """Recalls at 1, 5 and 10 (shares) and median rank of every direction, and ``r_mean``, the mean of all recalls.

    ``embeddings`` are those of the items (N, D) by modality, ``pairs`` (P, M) their rows, every item in one at least.
    """
    metrics: dict[str, float] = {}
    for (column, one), (other_column, other) in permutations(enumerate(embeddings), 2):
        ranks = gold_ranks(embeddings[one], embeddings[other], pairs[:, [column, other_column]])
        metrics |= {f"{one}_to_{other}_{name}": value for name, value in summary(ranks).items()}
    recalls = [value for name, value in metrics.items() if not name.endswith("median_rank")]
    return metrics | {"r_mean": sum(recalls) / len(recalls)}


def summary(ranks: Tensor) -> dict[str, float]:
    """Recalls and median of ``ranks`` (Q,)."""
    recalls = {f"r{cut}": float((ranks <= cut).double().mean()) for cut in CUTS}
    return {**recalls, "median_rank": float(ranks.double().quantile(0.5))}


def class_hits(queries: Tensor, candidates: Tensor, query_class: Tensor, candidate_class: Tensor) -> Tensor:
    """Whether the candidate nearest to each query is of its class: (Q,) of 0 and 1; a tie with another class is not."""
    _check(queries, candidates)
    hits = []
    for start, similarity in _blocks(queries, candidates):
        alike = query_class[start : start + len(similarity), None] == candidate_class
        right = similarity.masked_fill(~alike, -torch.inf).amax(1)
        wrong = similarity.masked_fill(alike, -torch.inf).amax(1)
        hits.append((right > wrong).double())
    return torch.cat(hits)


def class_map(queries: Tensor, candidates: Tensor, query_class: Tensor, candidate_class: Tensor) -> Tensor:
    """Average precision of each query at R, the number of candidates of its class: (Q,); NaN where there is none.

    MAP@R of "A Metric Learning Reality Check" (arXiv 2003.08505, section 3.2): 1 where the R nearest all are of the
    class.
    """
    _check(queries, candidates)
    found = []
    for start, similarity in _blocks(queries, candidates):
        alike = query_class[start : start + len(similarity), None] == candidate_class
        order = similarity.gather(1, alike.byte().argsort(dim=1, stable=True))  # wrong ones first among equals
        relevant = alike.sort(dim=1, stable=True).values
        ranked = relevant.gather(1, order.argsort(dim=1, descending=True, stable=True)).double()
        places = torch.arange(1, ranked.shape[1] + 1, device=ranked.device)
        right = alike.sum(1, keepdim=True)
        precision = ranked.cumsum(1) / places * ranked * (places <= right)
        found.append(precision.sum(1) / right.squeeze(1))
    return torch.cat(found)


def class_metrics(embeddings: Mapping[str, Tensor], classes: Tensor) -> dict[str, float]:
    """Precision at 1 by class of every direction, and their mean ``p1_mean``; embeddings (P, D) are those of pairs."""
    hits = {
        f"{one}_to_{other}_p1": float(class_hits(embeddings[one], embeddings[other], classes, classes).mean())
        for one, other in permutations(embeddings, 2)
    }
    return hits | {"p1_mean": sum(hits.values()) / len(hits)}


def _ranks_in(similarity: Tensor, gold: Tensor) -> Tensor:
    """(rows,) ranks, from one block of rows and the right answers to its queries."""
    right = similarity[gold[:, 0], gold[:, 1]]
    best = similarity.new_full((len(similarity),), -torch.inf).scatter_reduce_(0, gold[:, 0], right, "amax")
    ahead = (similarity >= best[:, None]).sum(1)
    themselves = torch.zeros_like(ahead).index_add_(0, gold[:, 0], (right >= best[gold[:, 0]]).to(ahead.dtype))
    return 1 + ahead - themselves


def _blocks(queries: Tensor, candidates: Tensor) -> Iterator[tuple[int, Tensor]]:
    rows = max(1, BLOCK // max(1, len(candidates)))
    for start in range(0, len(queries), rows):
        yield start, queries[start : start + rows].float() @ candidates.float().T


def _check(*embeddings: Tensor) -> None:
    if not all(bool(values.isfinite().all()) for values in embeddings):
        raise Diverged("an embedding is not a number", "a smaller learning rate may help (fit.learning_rate)")
