"""MIMIC-III's stand-in: invented patients with the real files' shapes, made in a moment and in memory.

Each patient has a frailty, which the static facts show, and a crisis, which the course of the measurements shows; who
dies, and when, depends on their product more than on either, so a model of one modality is held back. Nothing here is
medicine, and no number stems from a real patient.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmfuse.data.mimic_files import Stays

VERSION = 1
_HOURS, _MEASUREMENTS, _FACTS, _GROUPS = 24, 12, 5, 20
_SHARES = (0.45, 0.08, 0.09, 0.10, 0.13, 0.15)
"""Share of each class; class 0 survives."""


def make(count: int, *, seed: int) -> Stays:
    """``count`` stays; equal arguments give equal stays."""
    rng = np.random.default_rng([seed, VERSION])
    frailty, crisis = rng.standard_normal((2, count))
    static = _facts(frailty, rng)
    timeseries = _course(crisis, rng)
    risk = 0.5 * frailty + 0.5 * crisis + 1.2 * frailty * crisis + 0.3 * rng.standard_normal(count)
    classes = _classes(risk)
    died = np.zeros((count, 6), dtype=np.int64)
    died[np.arange(count), classes] = 1
    died[classes == 0] = 0
    weights = rng.standard_normal((3, _GROUPS))
    pull = np.stack([frailty, crisis, frailty * crisis], axis=1) @ weights
    diagnoses = (pull + 0.5 * rng.standard_normal(pull.shape) > 0.5).astype(np.int64)
    return Stays(static, timeseries, died, diagnoses)


def _facts(frailty: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Five facts (n, 5) on scales of their own, each a noisy, bent view of frailty."""
    noise = rng.standard_normal((len(frailty), _FACTS))
    views = np.stack([frailty, np.tanh(frailty), frailty**2, np.abs(frailty), -frailty], axis=1)
    return np.asarray(
        (views + 0.6 * noise) * [15.0, 1.0, 4.0, 0.5, 2.0] + [65.0, 0.0, 10.0, 1.0, 3.0], dtype=np.float32
    )


def _course(crisis: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Twelve hourly measurements (n, 24, 12): slow wandering, and a turn whose side and size the crisis sets.

    The turn comes at a random hour, so its place in time says nothing.
    """
    count = len(crisis)
    steps = rng.standard_normal((count, _HOURS, _MEASUREMENTS))
    wander = np.empty_like(steps)
    wander[:, 0] = steps[:, 0]
    for hour in range(1, _HOURS):
        wander[:, hour] = 0.7 * wander[:, hour - 1] + 0.7 * steps[:, hour]
    onset = rng.integers(4, 18, count)[:, None]
    turn = np.clip((np.arange(_HOURS) - onset) / 4.0, 0.0, 1.0)
    directions = rng.choice([-1.0, 1.0], _MEASUREMENTS) * rng.uniform(0.3, 0.8, _MEASUREMENTS)
    course = wander + (turn * crisis[:, None])[:, :, None] * directions
    return np.asarray(course * np.geomspace(0.5, 40.0, _MEASUREMENTS) + 3.0, dtype=np.float32)


def _classes(risk: NDArray[np.float64]) -> NDArray[np.int64]:
    """Classes by rank of risk: the highest die within a day (1), the next within two (2), ... the lowest live (0)."""
    edges = np.quantile(-risk, np.cumsum(_SHARES[1:]))
    place = np.searchsorted(edges, -risk) + 1
    return np.where(place > 5, 0, place).astype(np.int64)
