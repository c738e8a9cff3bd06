"""What embeddings look like, and whether they are about to be worth nothing.

- alignment: mean squared distance of partners; uniformity: log of the mean of exp(-2 d²) over all other couples (Wang
  and Isola, arXiv 2005.10242, section 4; lower is better in both)
- modality gap: distance between the modalities' means (Liang et al., arXiv 2203.02053, section 2)
- effective rank: exponential of the entropy of the singular values (Roy and Vetterli, "The effective rank", 2007)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor

SAMPLE = 2048
"""Most pairs that are looked at; the first ones, so that epochs can be compared."""
POINT = 0.02
"""Root mean squared distance from the mean below which embeddings of length 1 are one point."""
NEAR_CHANCE = 0.02
"""A loss within so many nats of ln B is that of guessing."""


def diagnose(embeddings: Mapping[str, Tensor]) -> dict[str, float]:
    """The figures above, by modality or over every two modalities, for partners (P, D) of length 1."""
    shown = {name: values[:SAMPLE].float() for name, values in embeddings.items()}
    couples = list(combinations(shown.values(), 2))
    alignment = torch.stack([(one - other).square().sum(1).mean() for one, other in couples]).mean()
    gap = torch.stack([(one.mean(0) - other.mean(0)).norm() for one, other in couples]).mean()
    figures = {"alignment": float(alignment), "modality_gap": float(gap)}
    for name, values in shown.items():
        figures[f"uniformity_{name}"] = _uniformity(values)
        figures[f"effective_rank_{name}"] = effective_rank(values)
        figures[f"spread_{name}"] = _spread(values)
    return figures


def effective_rank(values: Tensor) -> float:
    """Between 1 (all on a line through the origin) and D, for embeddings (P, D)."""
    singular = torch.linalg.svdvals(values)
    shares = singular / singular.sum()
    return float(torch.special.entr(shares).sum().exp())


def alarms(
    figures: Mapping[str, float], *, temperature: float, limits: tuple[float, float], loss: float | None, batch: int
) -> dict[str, str]:
    """What is wrong, by a short name and as a sentence.

    ``loss`` is that of the last batch of ``batch`` pairs; None while training is too young for it to tell anything.
    """
    found = {}
    for key, value in figures.items():
        if key.startswith("spread_") and value < POINT:
            name = key.removeprefix("spread_")
            found[f"collapsed {name}"] = f"all embeddings of {name} are within {value:.3g} of one point"
    if loss is not None and loss > math.log(batch) - NEAR_CHANCE:
        found["chance"] = f"the loss {loss:.3f} is that of guessing among {batch} pairs, {math.log(batch):.3f}"
    low, high = limits
    if temperature <= low * 1.001 or temperature >= high * 0.999:
        found["temperature"] = f"the temperature {temperature:.4g} stands at its limit ({low:g} to {high:g})"
    return found


def _spread(values: Tensor) -> float:
    """Root mean squared distance from the mean; NaN for a single vector, which is one point without being wrong."""
    return float((values - values.mean(0)).square().sum(1).mean().sqrt()) if len(values) > 1 else math.nan


def _uniformity(values: Tensor) -> float:
    if len(values) < 2:
        return math.nan
    # Of vectors of length 1: d² = 2 - 2 cos.
    powers = (4 * (values @ values.T) - 4).exp()
    count = len(values)
    return float(((powers.sum() - powers.diagonal().sum()) / (count * (count - 1))).log())
