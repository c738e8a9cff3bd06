"""Measured series as the dashboard carries them: immutable, thinned, grouped into charts.

A run may hold a million points per metric; a screen has a few hundred dot columns. `thin` keeps, per bucket of steps,
the first, lowest, highest and last value, so that no extreme and no end of a curve is ever lost, and everything that
is not a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Numbers = Sequence[float] | NDArray[Any]

BUCKETS = 4096
"""Buckets a series is thinned to: eight per dot column of a chart that is 250 cells wide."""
LARGEST = 1e300
"""Magnitude from which a value counts as infinite: the width of an axis must itself be a finite number."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One series: ``steps`` and ``values`` of equal length, steps never falling, values possibly NaN or infinite.

    ``points`` counts the samples it was thinned from. A ``scattered`` series is drawn as marks without a line.
    One that is not ``valued`` is named in the legend without its last value; a scattered one that is ``signed`` has the
    sign of its curve at every mark. ``times`` are the Unix times of the values where these are known; a ``shadow`` is
    drawn dim, without a place in the legend. A ``band`` is the lowest and highest value at each step, of what the curve
    is the mean of.
    """

    name: str
    steps: Floats
    values: Floats
    points: int
    scattered: bool = False
    valued: bool = True
    signed: bool = False
    times: Floats | None = None
    shadow: bool = False
    band: tuple[Floats, Floats] | None = None


@dataclass(frozen=True, eq=False)
class ChartData:
    """Curves that share axes: ``loss`` of train and val, or a search's score by trial number.

    ``version`` changes whenever a point was added, and is all a cache has to look at. ``x_whole``: x counts something,
    so that its axis has labels at whole numbers only. ``reach`` and ``time_reach`` (Unix times) are what the x axis
    spans where that is more than the curves do: charts of one run have one axis, so that a place means the same in all.
    """

    title: str
    curves: tuple[Curve, ...]
    x_label: str = "step"
    maximize: bool | None = None
    version: tuple[int, ...] = ()
    x_whole: bool = True
    reach: tuple[float, float] | None = None
    time_reach: tuple[float, float] | None = None


def make_curve(
    name: str,
    steps: Numbers,
    values: Numbers,
    *,
    times: Numbers | None = None,
    scattered: bool = False,
    valued: bool = True,
    signed: bool = False,
) -> Curve:
    """The series as a curve of its own memory: the arguments may grow afterwards."""
    import numpy as np

    x, y = np.array(steps, dtype=np.float64), np.array(values, dtype=np.float64)
    length = min(len(x), len(y))
    x, y = x[:length], y[:length]
    t = None if times is None or len(times) < length else np.array(times, dtype=np.float64)[:length]
    y[np.abs(y) > LARGEST] *= np.inf
    if length > 1 and bool((x[1:] < x[:-1]).any()):
        order = np.argsort(x, kind="stable")
        x, y, t = x[order], y[order], None if t is None else t[order]
    kept = thin(x, y, buckets=BUCKETS)
    return Curve(name, x[kept], y[kept], length, scattered, valued, signed, None if t is None else t[kept])


def between(x: Floats, y: Floats, low: float, high: float) -> tuple[Floats, Floats]:
    """What lies in [low, high] of a line through the samples: those there, and where the line enters and leaves.

    Shape: (P,), (P,) -> (Q,), (Q,) with Q <= P + 2.
    """
    import numpy as np

    start, stop = int(np.searchsorted(x, low)), int(np.searchsorted(x, high, side="right"))
    inside_x, inside_y = [x[start:stop]], [y[start:stop]]
    for edge, place in ((low, start), (high, stop)):
        if 0 < place < len(x) and x[place - 1] < edge < x[place] and np.isfinite(y[place - 1 : place + 1]).all():
            share = (edge - x[place - 1]) / (x[place] - x[place - 1])
            crossing = y[place - 1] * (1 - share) + y[place] * share
            at = 0 if place == start and edge == low else len(inside_x)
            inside_x.insert(at, np.array([edge]))
            inside_y.insert(at, np.array([crossing]))
    return np.concatenate(inside_x), np.concatenate(inside_y)


def thin(x: Floats, y: Floats, *, buckets: int) -> Any:
    """Indices of the points that matter when at most ``buckets`` columns can be told apart, ascending.

    Shape: (P,), (P,) -> (Q,) with Q <= 4 * buckets + the number of values that are not finite.
    """
    import numpy as np

    if len(x) <= 4 * buckets:
        return np.arange(len(x))
    width = (x[-1] - x[0]) / buckets
    if width <= 0:
        bucket = np.zeros(len(x), dtype=np.int64)
    else:
        bucket = np.minimum(((x - x[0]) / width).astype(np.int64), buckets - 1)
    starts = np.flatnonzero(np.diff(bucket, prepend=-1))
    ends = np.append(starts[1:], len(x)) - 1
    finite = np.isfinite(y)
    matters = ~finite
    matters[starts] = matters[ends] = True
    matters[_positions(np.where(finite, y, np.inf), np.minimum, starts, ends)] = True
    matters[_positions(np.where(finite, y, -np.inf), np.maximum, starts, ends)] = True
    return np.flatnonzero(matters)


def _positions(values: Floats, reduce: Any, starts: Any, ends: Any) -> Any:
    """Index of each bucket's extreme: the first place where the bucket's extreme value stands."""
    import numpy as np

    extremes = reduce.reduceat(values, starts)
    hits = np.flatnonzero(values == np.repeat(extremes, ends - starts + 1))
    return hits[np.searchsorted(hits, starts)]


def group_names(names: Iterable[str], *, first: str = "") -> list[tuple[str, tuple[str, ...]]]:
    """Metric names by what they measure: ``loss`` of train and val together, the group of ``first`` leading.

    >>> group_names(["train/loss", "val/loss", "val/accuracy"], first="val/accuracy")
    [('accuracy', ('val/accuracy',)), ('loss', ('train/loss', 'val/loss'))]
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names, key=_split_order):
        groups.setdefault(name.partition("/")[2] or name, []).append(name)
    leading = first.partition("/")[2] or first
    order = sorted(groups, key=lambda group: (group != leading, group != "loss", group))
    return [(group, tuple(groups[group])) for group in order]


def _split_order(name: str) -> tuple[int, str]:
    split = name.partition("/")[0]
    return ({"train": 0, "val": 1, "test": 2}.get(split, 3), name)
