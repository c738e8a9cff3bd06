"""What can be asked of a run by a name: words, numbers, metrics, what its curves reached, its settings.

One vocabulary for filters, sorting and columns, in the command line and in the dashboard:

``kind`` ``tag`` ``score`` ``age``       what the record says (`TEXTS`, `NUMBERS`)
``val/accuracy``                         a metric of the result, or the best so far where runs are judged by it
``best(val/f1)`` ``last(train/loss)``    what a curve reached (`CURVES`)
``fit.epochs`` ``set.repeats``           a setting, as ``--set`` names it; ``set.`` goes before one without a dot

The last two are read from the run's folder, and only when they are asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mmfuse.errors import StoreError, UnknownName, unknown_name
from mmfuse_runs.states import State

if TYPE_CHECKING:
    from mmfuse_runs.folder import RunFolder
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.tail import MetricsTable

Answer = TypeVar("Answer")

SMOOTHING = 0.9
"""Weight of what was before in ``smooth(...)``; as the dashboard's middle smoothing."""
_CALL = re.compile(r"(?P<function>\w+)\((?P<metric>[^()\s]*)\)")


class Folders(Protocol):
    """Where the folders of runs are; a `mmfuse_runs.store.RunStore` is one."""

    def folder(self, run_id: str) -> RunFolder:
        """The folder of a run."""


class RunView:
    """A run as questions see it: its record, and ``folders`` for those who ask for more (None: the record must do).

    ``known`` holds what was found in the folder, by field, and is added to; whoever keeps it spares the next view that.
    """

    def __init__(
        self, record: RunRecord, *, now: float, folders: Folders | None = None, known: dict[str, Any] | None = None
    ) -> None:
        self.record = record
        self.now = now
        self._folders = folders
        self._known = {} if known is None else known

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Every setting by its dotted key; none where config.json cannot be read."""
        from mmfuse_runs.comparison import flattened

        spec = self._read(lambda folder: folder.spec()) or {}
        own = spec.get("options") or spec.get("params") or {}
        groups = {name: spec[name] for name in ("fit", "data") if isinstance(spec.get(name), Mapping)}
        return flattened({**own, **groups}) if isinstance(own, Mapping) else flattened(groups)

    @cached_property
    def curves(self) -> MetricsTable | None:
        """The run's own curves; None where there is no folder to read."""
        return self._read(lambda folder: folder.metrics())

    def recall(self, field: str, read: Callable[[], Any]) -> Any:
        """What ``read`` finds for a field of the folder; asked once."""
        if field not in self._known:
            self._known[field] = read()
        return self._known[field]

    def was_read(self, part: str) -> bool:
        """Whether somebody has asked for ``curves`` or ``settings``."""
        return part in vars(self)

    def metric(self, name: str) -> float | None:
        """A metric of the result; the best score so far where runs are judged by it."""
        if name == self.record.metric and self.record.score is not None:
            return self.record.score
        return self.record.metrics.get(name)

    def _read(self, read: Callable[[RunFolder], Answer]) -> Answer | None:
        try:
            return None if self._folders is None else read(self._folders.folder(self.record.id))
        except (StoreError, UnknownName, OSError):
            return None


@dataclass(frozen=True)
class Field:
    """Something that can be asked: its name, its value for a run (None: it has none), and how values compare.

    ``numeric`` values are numbers; ``whole`` words are compared from their beginning, not searched within, and where
    there are ``words`` it is one of them; a field with a ``setting`` may turn out to be one that no run has. What is
    ``in_folder`` records do not hold.
    """

    name: str
    read: Callable[[RunView], Any]
    numeric: bool = False
    whole: bool = False
    words: Collection[str] = ()
    seconds: bool = False
    setting: str = ""
    in_folder: bool = False


def field_named(name: str) -> Field:
    """The field called ``name``.

    Raises:
        UnknownName: nothing of runs is called so.
    """
    name = ALIASES.get(name.lower(), name)
    if name in TEXTS:
        return Field(name, TEXTS[name], whole=name in _WHOLE, words=_WORDS.get(name, ()))
    if name in NUMBERS:
        return Field(name, NUMBERS[name], numeric=True, seconds=name in _IN_SECONDS)
    call = _CALL.fullmatch(name)
    if call is not None:
        return _curve_field(name, call["function"], call["metric"])
    if "/" in name:
        return Field(name, lambda view: view.metric(name), numeric=True)
    if "." in name.strip("."):
        key = name.removeprefix("set.")
        return Field(name, lambda view: view.recall(name, lambda: view.settings.get(key)), setting=key, in_folder=True)
    raise _unknown_field(name)


def check_settings(fields: Iterable[Field], views: Sequence[RunView]) -> None:
    """Refuse a setting that none of ``views`` has: it is a slip, and would quietly find nothing.

    Raises:
        UnknownName: with the nearest setting that one of them has.
    """
    for field in fields:
        if field.setting and views and not any(field.setting in view.settings for view in views):
            raise unknown_name("setting of these runs", field.setting, {key for view in views for key in view.settings})


def _lines(words: Iterable[str]) -> str:
    return "\n".join(words)


FACTS: Mapping[str, Callable[[RunRecord], bool]] = {
    "live": lambda run: run.live,
    "starred": lambda run: run.starred,
    "stand-in": lambda run: run.stand_in,
    "orphan": lambda run: run.orphan,
    "damaged": lambda run: run.damaged,
    "named": lambda run: bool(run.name),
    "tagged": lambda run: bool(run.tags),
}
"""What ``is:`` can ask."""


def _is(view: RunView) -> str:
    return _lines(word for word, holds in FACTS.items() if holds(view.record))


ALIASES: Mapping[str, str] = {
    "tags": "tag",
    "status": "state",
    "data": "dataset",
    "parameters": "params",
    "arch": "architecture",
    "algo": "subject",
    "note": "notes",
    "time": "seconds",
}
"""Other names people use."""
TEXTS: Mapping[str, Callable[[RunView], str]] = {
    "id": lambda view: view.record.id,
    "name": lambda view: view.record.name,
    "kind": lambda view: view.record.kind,
    "subject": lambda view: view.record.subject,
    "model": lambda view: f"{view.record.subject} {view.record.architecture}",
    "architecture": lambda view: view.record.architecture,
    "key": lambda view: view.record.architecture_key,
    "dataset": lambda view: view.record.dataset_label,
    "fingerprint": lambda view: view.record.fingerprint,
    "state": lambda view: "damaged" if view.record.damaged else str(view.record.state),
    "reason": lambda view: view.record.reason,
    "tag": lambda view: _lines(view.record.tags),
    "notes": lambda view: view.record.notes,
    "device": lambda view: view.record.device,
    "metric": lambda view: view.record.metric,
    "waiting": lambda view: view.record.waiting,
    "is": _is,
}
"""Words that runs are known by."""
_WHOLE = frozenset({"kind", "state", "tag", "is"})
_WORDS: Mapping[str, Collection[str]] = {"state": (*map(str, State), "damaged"), "is": FACTS}
NUMBERS: Mapping[str, Callable[[RunView], float | None]] = {
    "score": lambda view: view.record.score,
    "params": lambda view: view.record.parameters,
    "macs": lambda view: view.record.macs,
    "latency": lambda view: view.record.latency_ms,
    "seed": lambda view: view.record.seed,
    "attempt": lambda view: view.record.attempt,
    "seconds": lambda view: view.record.seconds,
    "eta": lambda view: view.record.eta_seconds,
    "age": lambda view: view.now - view.record.created,
    "created": lambda view: view.record.created,
}
"""Numbers that records hold."""
_IN_SECONDS = frozenset({"seconds", "age", "eta"})


def _final(values: Sequence[float]) -> float:
    return values[-1]


def _smooth(values: Sequence[float]) -> float:
    """The end of the exponential moving average, corrected for its start (Kingma & Ba 2014, section 3)."""
    average = weight = 0.0
    for value in values:
        average = SMOOTHING * average + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
    return average / weight


CURVES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "best": max,
    "last": _final,
    "min": min,
    "max": max,
    "smooth": _smooth,
}
"""What can be asked of a metric's curve; ``best`` is the smallest value where less is better."""


def less_is_better(record: RunRecord, metric: str) -> bool:
    """Whether a run wants ``metric`` small: as it says of the one it is judged by; else losses and errors are."""
    bare = metric.rpartition("/")[2]
    if record.metric and bare == record.metric.rpartition("/")[2]:
        return not record.maximize
    return any(word in bare for word in ("loss", "error", "rank", "mae", "mse"))


def _curve_field(name: str, function: str, metric: str) -> Field:
    if function not in CURVES:
        raise unknown_name("function of a curve", function, CURVES)
    if not metric:
        raise UnknownName(f"{name} names no metric", f"such as {function}(val/accuracy)")

    def read(view: RunView) -> float | None:
        values = [] if view.curves is None else view.curves.series(metric)[1]
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            # Results that are measured once (test/accuracy) have no curve.
            return view.metric(metric)
        reached = min if function == "best" and less_is_better(view.record, metric) else CURVES[function]
        return reached(finite)

    return Field(name, lambda view: view.recall(name, lambda: read(view)), numeric=True, in_folder=True)


def _unknown_field(name: str) -> UnknownName:
    known = unknown_name("field", name, {*TEXTS, *NUMBERS})
    return UnknownName(known.message, f"{known.hint}; metrics such as val/loss, best(val/loss); settings (fit.epochs)")
