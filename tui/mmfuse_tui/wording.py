"""Numbers, sizes and times in few characters."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any


def number(value: float | None, *, digits: int = 4) -> str:
    """A measured value with ``digits`` significant digits; ``-`` when there is none."""
    if value is None:
        return "-"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 10**digits:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        return f"{value:.{min(decimals, max(digits, 4))}f}"
    return f"{value:.{max(0, digits - 3)}e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def count(value: int | float | None) -> str:
    """How many: ``812``, ``14.1k``, ``3.2M``; ``-`` when unknown."""
    if value is None:
        return "-"
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            scaled = value / limit
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.3g}{unit}"
    return f"{value:.0f}"


def span(seconds: float | None) -> str:
    """A length of time in at most two units: ``8s``, ``3m12s``, ``2h05m``, ``4d3h``; ``-`` when unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600}h"


def age(seconds: float) -> str:
    """How long ago in one unit: ``12s``, ``7m``, ``3h``, ``12d``, ``2y``."""
    whole = max(0, int(seconds))
    for limit, length, unit in ((60, 1, "s"), (3600, 60, "m"), (86_400, 3600, "h"), (730 * 86_400, 86_400, "d")):
        if whole < limit:
            return f"{whole // length}{unit}"
    return f"{whole // (365 * 86_400)}y"


def moment(value: Any) -> str:
    """A Unix time in the local zone, such as ``21 Nov 15:12:08``; empty for anything that is no time."""
    try:
        return datetime.fromtimestamp(float(value)).strftime("%d %b %H:%M:%S")
    except (TypeError, ValueError, OverflowError, OSError):
        return ""


_STEPS = "▁▂▃▄▅▆▇"
"""No full block: lines above each other must not grow together."""


def bar(share: float, width: int) -> tuple[str, str]:
    """A progress bar of ``width`` cells as (filled, rest), in half cells; told apart by weight as well as by colour."""
    halves = round(min(1.0, max(0.0, share)) * width * 2)
    filled = "━" * (halves // 2) + "╸" * (halves % 2)
    return filled, "─" * (width - len(filled))


def sparkline(values: tuple[float, ...], width: int) -> str:
    """The last ``width`` values as block characters, lowest to highest; values that are no numbers leave a gap."""
    shown = values[-width:]
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    scale = (len(_STEPS) - 1) / (high - low) if high > low else 0.0
    middle = 0 if scale else 3
    return "".join(_STEPS[middle + round((value - low) * scale)] if math.isfinite(value) else " " for value in shown)
