"""Ranges and ticks of a chart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from mmfuse_tui import wording

RESOLUTION, SMALLEST = 1e-12, 1e-300
"""Differences below this share of the values, and values below this, are drawn as a flat line: floating-point numbers
end there, and the width of an axis must be one that can be divided by."""
BLUR = 0.05
"""Share of the distance of two ticks by which a label may miss its tick: less than a dot on any screen."""
WIDEST = 12
"""Cells a label may have where nothing else limits it."""


def nice_step(length: float, *, at_most: int) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that divides ``length`` into ``at_most`` parts or fewer."""
    raw = length / max(1, at_most)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))


def ticks(low: float, high: float, *, at_most: int) -> tuple[float, ...]:
    """Round values within [low, high], evenly spaced, ``at_most`` + 1 or fewer.

    No value comes twice, however little floating-point numbers leave between ``low`` and ``high``.
    """
    if not high > low or at_most < 1:
        return ()
    step = nice_step(high - low, at_most=at_most)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(dict.fromkeys(index * step for index in range(first, last + 1)))


def tick_labels(values: Iterable[float], *, width: int = WIDEST) -> tuple[str, ...]:
    """Labels of one axis in at most ``width`` cells, spelled alike, and each as close to its value as can be seen.

    Where no such spelling tells evenly spaced values apart, the first is spelled and the others say how much is added;
    what cannot be spelled in so few cells has no label.
    """
    marks = tuple(values)
    if not marks:
        return ()
    step = marks[1] - marks[0] if len(marks) > 1 else max(abs(marks[0]), SMALLEST)
    spelled = next((words for words, meant in _spellings(marks, step) if _fit(words, meant, marks, step, width)), None)
    if spelled is not None:
        return spelled
    first = next(
        (word for word in (f"{marks[0]:.{digits}g}" for digits in (6, 5, 4, 3, 2, 1)) if len(word) <= width), ""
    )
    if marks[0] == 0 or len(marks) == 1 or not first:
        return tuple("0" if mark == 0 else "" for mark in marks)
    added = tick_labels([mark - marks[0] for mark in marks], width=width - 1)
    return (first, *(f"+{label}" if label else "" for label in added[1:]))


def _fit(words: Sequence[str], meant: Sequence[float], marks: Sequence[float], step: float, width: int) -> bool:
    is_close = all(abs(value - mark) <= step * BLUR for value, mark in zip(meant, marks, strict=True))
    return is_close and max(map(len, words)) <= width


def power_labels(exponents: Sequence[float]) -> tuple[str, ...]:
    """Labels of a logarithmic axis, with as many digits as tell them apart."""
    labels: tuple[str, ...] = ()
    for digits in (2, 3, 4, 5, 6):
        labels = tuple(_power(exponent, digits) for exponent in exponents)
        if len(set(labels)) == len(labels):
            break
    return labels


def _power(exponent: float, digits: int) -> str:
    """Ten to the ``exponent``, which may be beyond what a float holds."""
    if abs(exponent) < 100:
        return wording.number(10.0**exponent, digits=digits)
    whole = math.floor(exponent)
    return f"{10.0 ** (exponent - whole):.{digits - 1}g}e{whole}"


def _spellings(marks: Sequence[float], step: float) -> Iterator[tuple[tuple[str, ...], tuple[float, ...]]]:
    """Ways to write the marks, the most readable first, each with the values that its labels stand for."""
    largest = max(map(abs, marks))
    if 1e-3 <= largest < 10_000 or largest == 0:
        decimals = next((n for n in range(12) if abs(step * 10**n - round(step * 10**n)) < 1e-6), 12)
        yield _as_written(f"{mark:.{decimals}f}" for mark in marks)
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= 10_000 and limit <= largest < limit * 1000:
            for digits in (3, 4):
                words = [f"{mark / limit:.{digits}g}" for mark in marks]
                yield tuple(f"{word}{unit}" for word in words), tuple(float(word) * limit for word in words)
            yield _as_written(f"{mark:.0f}" for mark in marks)
    for digits in range(6):
        yield _as_written("0" if mark == 0 else _short(f"{mark:.{digits}e}") for mark in marks)


def _as_written(words: Iterable[str]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    labels = tuple(words)
    return labels, tuple(map(float, labels))


def _short(scientific: str) -> str:
    return scientific.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def padded(low: float, high: float, *, share: float = 0.06) -> tuple[float, float]:
    """A range somewhat wider than the data, so that curves do not touch the frame; never empty."""
    largest = max(abs(low), abs(high))
    if largest < SMALLEST:
        return low - 1.0, high + 1.0
    flat = high - low < largest * RESOLUTION
    margin = largest * 0.1 if flat else (high - low) * share
    return low - margin, high + margin
