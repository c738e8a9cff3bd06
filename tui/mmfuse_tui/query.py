"""The filter line: which runs to show.

``words`` match anywhere in the run's id, name, kind, subject, dataset, architecture, tags, notes or state;
``field:text`` matches one field (``kind:search state:running,queued tag:baseline``), ``field<number`` compares
(``val/accuracy>0.7 params<=1e6 age<2d``). All terms must hold; a leading ``-`` turns one around.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from mmfuse.errors import BadSpec

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

Predicate = Callable[["RunRecord", float], bool]
"""Whether a run is shown, given the present time."""

_TERM = re.compile(r'(?P<negated>-?)(?:"(?P<quoted>[^"]*)"?|(?P<plain>\S+))')
_FIELD = re.compile(r"(?P<field>[\w/.@-]+?)(?P<relation>:|>=|<=|!=|=|>|<)(?P<value>.*)", re.DOTALL)
_NUMBER = re.compile(r"(?P<digits>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(?P<unit>[smhdwkMG%]?)", re.IGNORECASE)
_TIMES = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_SIZES = {"": 1.0, "%": 0.01, "k": 1e3, "m": 1e6, "g": 1e9}
_RELATIONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}
_TEXTS: Mapping[str, Callable[[RunRecord], str]] = {
    "id": lambda run: run.id,
    "name": lambda run: run.name,
    "kind": lambda run: run.kind,
    "subject": lambda run: run.subject,
    "model": lambda run: f"{run.subject} {run.architecture or ''}",
    "dataset": lambda run: run.dataset_label,
    "state": lambda run: "damaged" if run.damaged else str(run.state),
    "tag": lambda run: "\n".join(run.tags),
    "notes": lambda run: run.notes,
    "device": lambda run: run.device or "",
    "metric": lambda run: run.metric or "",
}
_WHOLE = frozenset({"kind", "state", "tag"})
"""Fields whose values are words of a small set: they are compared from their beginning, not searched within."""
_NUMBERS: Mapping[str, Callable[[RunRecord, float], float | None]] = {
    "score": lambda run, now: run.score,
    "params": lambda run, now: run.parameters,
    "macs": lambda run, now: run.macs,
    "seed": lambda run, now: run.seed,
    "attempt": lambda run, now: run.attempt,
    "seconds": lambda run, now: run.seconds,
    "age": lambda run, now: now - run.created,
}


@dataclass(frozen=True)
class Query:
    """A parsed filter: the text it came from and the terms that must all hold."""

    text: str = ""
    terms: tuple[Predicate, ...] = ()

    def matches(self, run: RunRecord, *, now: float) -> bool:
        """Whether the run is shown."""
        return all(term(run, now) for term in self.terms)


def parse_query(text: str) -> Query:
    """The query that ``text`` spells.

    Raises:
        BadSpec: for an unknown field or a comparison with something that is no number.
    """
    return Query(text.strip(), tuple(_term(match) for match in _TERM.finditer(text)))


def _term(match: re.Match[str]) -> Predicate:
    quoted, plain = match["quoted"], match["plain"]
    predicate = _words(quoted) if plain is None else _plain(plain)
    if match["negated"]:
        return lambda run, now: not predicate(run, now)
    return predicate


def _plain(term: str) -> Predicate:
    found = _FIELD.fullmatch(term)
    if found is None:
        return _words(term)
    field, relation, value = found["field"], found["relation"], found["value"].strip('"')
    name = {"tags": "tag", "status": "state", "data": "dataset", "parameters": "params"}.get(field.lower(), field)
    if relation == ":" or (relation == "=" and name in _TEXTS):
        return _text(name, value)
    return _comparison(name, relation, value)


def _words(text: str) -> Predicate:
    wanted = text.casefold()
    return lambda run, now: wanted in _haystack(run)


def _haystack(run: RunRecord) -> str:
    parts = (run.id, run.name, run.kind, run.subject, run.dataset_label, run.architecture or "", run.notes)
    return "\n".join((*parts, str(run.state), *run.tags)).casefold()


def _text(name: str, value: str) -> Predicate:
    if name not in _TEXTS:
        raise BadSpec(f"no field named '{name}'", _fields_hint(name))
    read, wanted = _TEXTS[name], tuple(part.casefold() for part in value.split(","))

    def matches(run: RunRecord, now: float) -> bool:
        lines = read(run).casefold().split("\n")
        if name in _WHOLE:
            return any(line.startswith(part) for line in lines for part in wanted)
        return any(part in line for line in lines for part in wanted)

    return matches


def _comparison(name: str, relation: str, value: str) -> Predicate:
    if name not in _NUMBERS and "/" not in name:
        raise BadSpec(f"'{name}' is not a number to compare", _fields_hint(name))
    compare, limit = _RELATIONS[relation], _parse_number(value, name)

    def matches(run: RunRecord, now: float) -> bool:
        read = _NUMBERS.get(name)
        measured = read(run, now) if read else _metric(run, name)
        return measured is not None and compare(measured, limit)

    return matches


def _metric(run: RunRecord, name: str) -> float | None:
    """The metric of a finished run, or its best score so far when that is the metric asked for."""
    if name == run.metric and run.score is not None:
        return run.score
    return run.metrics.get(name)


def _parse_number(text: str, name: str) -> float:
    found = _NUMBER.fullmatch(text)
    units = _TIMES if name in ("age", "seconds") else _SIZES
    if found is None or found["unit"].lower() not in units:
        raise BadSpec(f"'{text}' after {name} is not a number", "numbers such as 0.7, 70%, 1e6, 14k; ages such as 2d")
    return float(found["digits"]) * units[found["unit"].lower()]


def _fields_hint(name: str) -> str:
    known = sorted({*_TEXTS, *_NUMBERS})
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return (
        f"did you mean '{close[0]}'? " if close else ""
    ) + f"known: {', '.join(known)}, and metrics such as val/loss"
