"""How MFAS draws from scored candidates: the temperature and the rule that turns scores into chances.

Section 3.2 of "MFAS" (arXiv 1903.06496) lowers a temperature so that early steps explore and late ones exploit. Its
rule, score^(1/temperature), is nearly flat when scores lie close together: of 450 accuracies around 0.90 +- 0.01 the
best 15 hold 3.8 % of the chances at the final temperature, where uniform would be 3.3 %. The rule used by default
standardises the scores first, so it sharpens whatever their spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rule = Literal["softmax", "power"]
Floats = NDArray[np.float64]

FLOOR = 1e-12
"""The power rule takes smaller scores for this: a score of 0 is an unlikely pick, not an error."""


def temperature(index: int, *, initial: float, final: float, decay: float) -> float:
    """The temperature of the sampling after the one numbered ``index``; the very first sampling uses ``initial``."""
    return (initial - final) * math.exp(-(((index + 1) / decay) ** 2)) + final


def schedule_index(sweep: int, level: int, *, sweeps: int, levels: int, published: bool) -> int:
    """The number of a step (both arguments from 0) in the schedule of `temperature`.

    The released code multiplies the sweep by the number of sweeps and not of levels, so with 3 sweeps of 4 levels it
    counts 0 1 2 3, 3 4 5 6, 6 7 8 9; ``published`` keeps that.
    """
    return sweep * (sweeps if published else levels) + level


def log_weights(scores: Sequence[float] | Floats, *, temperature: float, rule: Rule) -> Floats:
    """Logarithms of the chances, not normalised; higher scores are better, NaN gives minus infinity.

    ``softmax``: exp(z / temperature) of the standardised scores z. ``power`` (published): score^(1 / temperature).
    """
    values = np.asarray(scores, dtype=np.float64)
    usable = np.isfinite(values)
    if rule == "power":
        logs = np.log(np.maximum(np.where(usable, values, FLOOR), FLOOR)) / temperature
    else:
        logs = np.where(usable, standardised(values), 0.0) / temperature
    return np.where(usable, logs, -np.inf)


def standardised(values: Floats) -> Floats:
    """Zero mean and unit deviation over the finite values; all zero where they do not differ."""
    usable = values[np.isfinite(values)]
    if usable.size == 0:
        return values
    spread = float(usable.std())
    # Equal values leave rounding errors behind, which must not be blown up to unit size.
    flat = spread <= 1e-12 * max(1.0, float(np.abs(usable).max()))
    return np.zeros_like(values) if flat else (values - usable.mean()) / spread


def sample(
    scores: Sequence[float] | Floats, count: int, *, temperature: float, rule: Rule, rng: np.random.Generator
) -> list[int]:
    """Positions of up to ``count`` scores drawn without replacement, likeliest kinds first; NaN is never drawn.

    Adding Gumbel noise to log chances and taking the largest draws from the same distribution as picking one after the
    other, but has no trouble with chances that underflow, and asks for as much noise whatever the scores are.
    """
    logs = log_weights(scores, temperature=temperature, rule=rule)
    noisy = logs + rng.gumbel(size=len(logs))
    order = np.argsort(-noisy, kind="stable")
    return [int(position) for position in order[:count] if np.isfinite(logs[position])]


def rank_correlation(predicted: Sequence[float], measured: Sequence[float]) -> float | None:
    """Spearman's correlation over pairs that are both finite; None for fewer than 3, or where one side is constant."""
    from scipy.stats import rankdata

    pairs = np.array([predicted, measured], dtype=np.float64)
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    if pairs.shape[1] < 3:
        return None
    ranks = rankdata(pairs, axis=1)
    if (np.ptp(ranks, axis=1) == 0).any():
        return None
    return float(np.corrcoef(ranks)[0, 1])
