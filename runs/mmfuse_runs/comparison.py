"""Runs beside each other: which may be ranked, where they differ, what several seeds say together, who is on the front.

Plain arithmetic on records and settings, for the command line and the dashboard alike; nothing here reads a file.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from mmfuse.architecture import canonical_json

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

ABSENT = ""
"""Stands for the value of a key that a run does not have."""
RESAMPLES = 2000
"""Bootstrap samples of an interval: its ends then move by less than a tenth of its width from seed to seed."""
_OWN_TO_A_RUN = frozenset({"seed", "source"})
"""What of a spec differs between repetitions of one experiment."""


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing: ``low`` and ``high`` bound its mean; None where one value cannot say."""

    values: tuple[float, ...]
    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class SeedGroup:
    """Runs of one experiment that differ in nothing but their seed; ``spread`` is that of their scores, if any."""

    runs: tuple[RunRecord, ...]
    spread: Spread | None

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds there are, sorted."""
        return tuple(sorted({run.seed for run in self.runs if run.seed is not None}))


def why_not_ranked(records: Iterable[RunRecord]) -> str:
    """Why ``records`` must not be put in order; empty where they may."""
    scored = [record for record in records if record.score is not None]
    if len({record.fingerprint for record in scored}) > 1:
        labels = ", ".join(sorted({record.dataset_label for record in scored}))
        return f"the runs saw different data ({labels}; fingerprints differ)"
    if len({record.metric for record in scored}) > 1:
        return f"the runs measured different metrics ({', '.join(sorted({record.metric for record in scored}))})"
    return ""


def ranked(records: Sequence[RunRecord]) -> list[RunRecord]:
    """``records``, best score first; those without one come last."""
    scored = [record for record in records if is_number(record.score)]
    best_first = sorted(scored, key=lambda record: record.score or 0.0, reverse=any(r.maximize for r in scored))
    return [*best_first, *(record for record in records if not is_number(record.score))]


def flattened(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested groups as one level with dotted keys; lists stay whole."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= flattened(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {f"{prefix}{key}": item}
    return flat


def differing(facts: Sequence[Mapping[str, Any]], *, everything: bool = False) -> dict[str, list[Any]]:
    """For every key on which ``facts`` do not agree (or for all), the value of each; `ABSENT` where it has none."""
    keys = dict.fromkeys(key for values in facts for key in values)
    rows = {key: [values.get(key, ABSENT) for values in facts] for key in keys}
    return {key: values for key, values in rows.items() if everything or any(value != values[0] for value in values)}


def seed_groups(runs: Iterable[tuple[RunRecord, Mapping[str, Any]]]) -> list[SeedGroup]:
    """Finished runs with their specs, as experiments, in the order of their first run.

    A run that was stopped, was killed, crashed or goes on has not measured its experiment: its score so far would pull
    the mean towards where it happened to end.

    Two runs repeat one experiment when their specs agree in all but the seed, and data and metric are the same. Where
    a found architecture is trained again (``source``), the architecture counts and not the run it came from.
    """
    groups: dict[str, list[RunRecord]] = {}
    for record, spec in runs:
        if str(record.state) != "finished":
            continue
        groups.setdefault(_experiment(record, spec), []).append(record)
    return [SeedGroup(tuple(members), spread_of([run.score for run in members])) for members in groups.values()]


def spread_of(values: Iterable[float | None], *, level: float = 0.95, resamples: int = RESAMPLES) -> Spread | None:
    """Mean, standard deviation (n - 1) and bootstrap interval of the mean; None without a finite value.

    The interval holds the middle ``level`` of the means of ``resamples`` samples drawn with replacement (percentile
    bootstrap, Efron 1979), always the same ones. Of very few values it is too narrow: resampling cannot show what was
    never seen.
    """
    known = tuple(value for value in values if is_number(value))
    if not known:
        return None
    mean = statistics.fmean(known)
    if len(known) == 1:
        return Spread(known, mean)
    low, high = _bootstrap(known, level=level, resamples=resamples)
    return Spread(known, mean, statistics.stdev(known), low, high)


def pareto_front(points: Sequence[tuple[float | None, float | None]], *, maximize: bool) -> list[int]:
    """Places of the (score, cost) points that no other point beats, cheapest first; a lower cost is better.

    A point beats another when it is at least as good in both and better in one, so equal points are all on the front.
    Points without a score or a cost are on no front.
    """
    sign = 1.0 if maximize else -1.0
    known = [
        (cost, -sign * score, place)
        for place, (score, cost) in enumerate(points)
        if is_number(score) and is_number(cost)
    ]
    front: list[int] = []
    best: tuple[float, float] | None = None
    for cost, loss, place in sorted(known):
        if best is None or loss < best[1] or (cost, loss) == best:
            best = (cost, loss)
            front.append(place)
    return front


def is_number(value: float | None) -> TypeGuard[float]:
    """Whether there is a value, and a finite one."""
    return value is not None and math.isfinite(value)


def _experiment(record: RunRecord, spec: Mapping[str, Any]) -> str:
    same = {key: value for key, value in spec.items() if key not in _OWN_TO_A_RUN}
    return canonical_json([same, record.fingerprint, record.metric])


def _bootstrap(values: Sequence[float], *, level: float, resamples: int) -> tuple[float, float]:
    rng = random.Random(0)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(resamples))
    cut = (1 - level) / 2
    return means[round(cut * (resamples - 1))], means[round((1 - cut) * (resamples - 1))]
