"""Ranges and ticks of a chart."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mmfuse_tui import wording

RESOLUTION, SMALLEST = 1e-12, 1e-200
"""Differences below this share of the values, and values below this, are drawn as a flat line: floating-point numbers
end there, and the width of an axis must be one that can be divided by."""


def nice_step(length: float, *, at_most: int) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that divides ``length`` into ``at_most`` parts or fewer."""
    raw = length / max(1, at_most)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))


def ticks(low: float, high: float, *, at_most: int) -> tuple[float, ...]:
    """Round values within [low, high], evenly spaced, ``at_most`` + 1 or fewer."""
    if not high > low or at_most < 1:
        return ()
    step = nice_step(high - low, at_most=at_most)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(index * step for index in range(first, last + 1))


def tick_labels(values: Iterable[float]) -> tuple[str, ...]:
    """Labels of one axis, all with the decimals that the finest difference needs."""
    marks = tuple(values)
    if not marks:
        return ()
    largest = max(abs(mark) for mark in marks)
    step = marks[1] - marks[0] if len(marks) > 1 else largest or 1.0
    if largest >= 10_000:
        short = tuple(wording.count(mark) if mark >= 0 else "-" + wording.count(-mark) for mark in marks)
        if len(set(short)) == len(marks):
            return short
    if largest and largest < 1e-3:
        spelled = (tuple(_power(mark, digits) for mark in marks) for digits in range(16))
        return next((labels for labels in spelled if len(set(labels)) == len(marks)), tuple(map(str, marks)))
    decimals = next((n for n in range(12) if abs(step * 10**n - round(step * 10**n)) < 1e-6), 12)
    return tuple(f"{mark:.{decimals}f}" for mark in marks)


def _power(mark: float, digits: int) -> str:
    return "0" if mark == 0 else f"{mark:.{digits}e}".replace("e-0", "e-")


def padded(low: float, high: float, *, share: float = 0.06) -> tuple[float, float]:
    """A range somewhat wider than the data, so that curves do not touch the frame; never empty."""
    largest = max(abs(low), abs(high))
    if largest < SMALLEST:
        return low - 1.0, high + 1.0
    flat = high - low < largest * RESOLUTION
    margin = largest * 0.1 if flat else (high - low) * share
    return low - margin, high + margin
