"""The filter language: which runs are meant. The command line and the dashboard speak the same.

``words`` match anywhere in the run's id, name, kind, subject, dataset, architecture, tags, notes or state;
``field:text`` and ``field~text`` look into one field (``kind:search state:running,queued arch~hyper``);
``field<number`` compares (``best(val/accuracy)>0.7 params<=1e6 age<2d fit.epochs=30``). What can be a field is in
`mmfuse_runs.fields`. Terms beside each other must all hold; ``or``, ``not`` (or a leading ``-``), ``and`` and
parentheses say the rest. ``and`` binds closer than ``or``.
"""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmfuse.errors import BadSpec, UnknownName, unknown_name
from mmfuse_runs.fields import Field, Folders, RunView, check_settings, field_named

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

Predicate = Callable[[RunView], bool]

DEEPEST = 40
"""Parentheses inside each other that are still read."""
_TOKEN = re.compile(
    r"""\s+
    | (?P<open>\() | (?P<close>\))
    | (?P<term>(?P<field>\w+\([^\s()]*\)|[\w/.@][\w/.@-]*?)(?P<relation>:|~|>=|<=|!=|==?|>|<)
        (?P<value>"[^"]*"?|[^\s()]*))
    | "(?P<quoted>[^"]*)"?
    | (?P<minus>-)(?=\S)
    | (?P<word>[^\s()]+)""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"(?P<digits>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(?P<unit>[smhdwkMG%]?)", re.IGNORECASE)
_TIMES = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_SIZES = {"": 1.0, "%": 0.01, "k": 1e3, "m": 1e6, "g": 1e9}
_RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}
_CONNECTIVES = frozenset({"and", "or", "not"})


class BadQuery(BadSpec):
    """A filter that means nothing; ``column`` counts from 1 and is where the trouble begins."""

    def __init__(self, message: str, hint: str = "", *, column: int) -> None:
        super().__init__(f"column {column}: {message}", hint)
        self.column = column


@dataclass(frozen=True)
class Query:
    """A parsed filter: the text it came from, the test that runs must pass, and the fields it asks for."""

    text: str = ""
    accepts: Predicate = lambda view: True
    fields: tuple[Field, ...] = ()

    @property
    def opens_folders(self) -> bool:
        """Whether it asks for what records do not hold."""
        return any(field.in_folder for field in self.fields)

    def chosen(self, records: Sequence[RunRecord], folders: Folders, *, now: float | None = None) -> list[RunRecord]:
        """The ``records`` that are meant, in their order; folders are opened only for what records do not hold.

        Raises:
            UnknownName: the filter asks for a setting that none of them has.
        """
        moment = time.time() if now is None else now
        views = [RunView(record, now=moment, folders=folders) for record in records]
        check_settings(self.fields, views)
        return [view.record for view in views if self.accepts(view)]


def parse_query(text: str) -> Query:
    """The query that ``text`` spells.

    Raises:
        BadQuery: for an unknown field, a comparison with something that is no number, or a term that is missing.
    """
    if not text.strip():
        return Query()
    parser = _Parser(text)
    return Query(text.strip(), parser.whole(), tuple(parser.fields))


def parse_span(text: str) -> float:
    """Seconds that ``text`` such as ``30d`` or ``90s`` says.

    Raises:
        BadSpec: it is no length of time.
    """
    found = _NUMBER.fullmatch(text)
    if found is None or found["unit"].lower() not in _TIMES:
        raise BadSpec(f"'{text}' is no length of time", "such as 90s, 12h, 30d, 2w")
    return float(found["digits"]) * _TIMES[found["unit"].lower()]


def is_connective(word: str) -> bool:
    """Whether ``word`` joins terms instead of being one."""
    return word.casefold() in _CONNECTIVES


class _Parser:
    """Recursive descent: either = both {or both}; both = single {[and] single}; single = not, group or term."""

    def __init__(self, text: str) -> None:
        self.fields: list[Field] = []
        self._end = len(text) + 1
        self._tokens = [match for match in _TOKEN.finditer(text) if match.lastgroup]
        self._next = 0
        self._depth = 0

    def whole(self) -> Predicate:
        predicate = self._either()
        token = self._peek()
        if token is not None:  # only a closing parenthesis ends an expression early
            raise BadQuery("nothing is open that ')' could close", column=token.start() + 1)
        return predicate

    def _either(self) -> Predicate:
        parts = [self._both()]
        while self._take_word("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda view: any(part(view) for part in parts)

    def _both(self) -> Predicate:
        parts = [self._single()]
        while self._take_word("and") or self._begins_term():
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else lambda view: all(part(view) for part in parts)

    def _single(self) -> Predicate:
        token = self._peek()
        if token is None or token["close"] or _connective_of(token) in ("and", "or"):
            after = f"after '{self._tokens[self._next - 1].group()}'" if self._next else "to begin with"
            raise BadQuery(
                f"a term is missing {after}", 'quote "and", "or", "not" to search for them', column=self._column()
            )
        self._next += 1
        if token["minus"] or _connective_of(token) == "not":
            inner = self._nested(self._single, token)
            return lambda view: not inner(view)
        if token["open"]:
            return self._group(token)
        if token["term"]:
            return self._term(token)
        return _words(token["word"] if token["quoted"] is None else token["quoted"])

    def _group(self, opening: re.Match[str]) -> Predicate:
        predicate = self._nested(self._either, opening)
        token = self._peek()
        if token is None or not token["close"]:
            raise BadQuery("this '(' is not closed", column=opening.start() + 1)
        self._next += 1
        return predicate

    def _nested(self, parse: Callable[[], Predicate], token: re.Match[str]) -> Predicate:
        if self._depth >= DEEPEST:
            raise BadQuery(f"more than {DEEPEST} terms inside each other", column=token.start() + 1)
        self._depth += 1
        predicate = parse()
        self._depth -= 1
        return predicate

    def _term(self, token: re.Match[str]) -> Predicate:
        try:
            field = field_named(token["field"])
        except UnknownName as error:
            raise BadQuery(error.message, error.hint, column=token.start() + 1) from error
        self.fields.append(field)
        relation, value = token["relation"].replace("==", "="), token["value"].strip('"')
        try:
            return _test_of(field, relation, value)
        except BadSpec as error:
            raise BadQuery(error.message, error.hint, column=token.start("value") + 1) from error

    def _peek(self) -> re.Match[str] | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _column(self) -> int:
        token = self._peek()
        return self._end if token is None else token.start() + 1

    def _take_word(self, connective: str) -> bool:
        token = self._peek()
        if token is None or _connective_of(token) != connective:
            return False
        self._next += 1
        return True

    def _begins_term(self) -> bool:
        token = self._peek()
        return token is not None and not token["close"] and _connective_of(token) not in ("and", "or")


def _connective_of(token: re.Match[str]) -> str:
    word = (token["word"] or "").casefold()
    return word if word in _CONNECTIVES else ""


def _test_of(field: Field, relation: str, value: str) -> Predicate:
    """The test that a term makes.

    Raises:
        BadSpec: the value cannot be compared with the field, or is none that the field can have.
    """
    if field.numeric:
        return _comparison(field, "=" if relation in (":", "~") else relation, value)
    if field.setting and (relation not in (":", "~")):
        return _setting(field, relation, value)
    if relation in (":", "~", "=", "!="):
        contains = _text(field, relation, value)
        return (lambda view: not contains(view)) if relation == "!=" else contains
    raise BadSpec(f"'{field.name}' is not a number to compare", f"{field.name}:TEXT looks into it")


def _words(text: str) -> Predicate:
    wanted = text.casefold()
    return lambda view: wanted in _haystack(view.record)


def _haystack(run: RunRecord) -> str:
    parts = (run.id, run.name, run.kind, run.subject, run.dataset_label, run.architecture, run.notes)
    return "\n".join((*parts, str(run.state), *run.tags)).casefold()


def _text(field: Field, relation: str, value: str) -> Predicate:
    wanted = tuple(part.casefold() for part in value.split(","))
    whole = field.whole and relation != "~"
    if whole and field.words:
        _check_words(field, wanted)

    def matches(view: RunView) -> bool:
        read = field.read(view)
        lines = "" if read is None else str(read).casefold()
        if whole:
            return any(line.startswith(part) for line in lines.split("\n") for part in wanted)
        return any(part in lines for part in wanted)

    return matches


def _check_words(field: Field, wanted: Sequence[str]) -> None:
    """Refuse the beginning of no word that the field can hold: it is a slip, and would quietly find nothing.

    Raises:
        BadSpec: with the nearest word that it can.
    """
    for part in wanted:
        if not any(word.startswith(part) for word in field.words):
            raise BadSpec(f"no run can be '{part}'", unknown_name(field.name, part, field.words).hint)


def _comparison(field: Field, relation: str, value: str) -> Predicate:
    compare, limit = _RELATIONS[relation], _parse_number(value, field)

    def matches(view: RunView) -> bool:
        measured = field.read(view)
        return measured is not None and compare(measured, limit)

    return matches


def _setting(field: Field, relation: str, value: str) -> Predicate:
    """Numbers compare as numbers, anything else as the text that ``--set`` would take."""
    compare, found = _RELATIONS[relation], _NUMBER.fullmatch(value)
    if relation not in ("=", "!=") and found is None:
        raise BadSpec(f"'{value}' after {field.name} is not a number", "= and : compare text")
    limit = None if found is None else _parse_number(value, field)

    def matches(view: RunView) -> bool:
        read = field.read(view)
        if limit is not None and isinstance(read, int | float) and not isinstance(read, bool):
            return compare(read, limit)
        return relation in ("=", "!=") and read is not None and compare(str(read).casefold(), value.casefold())

    return matches


def _parse_number(text: str, field: Field) -> float:
    found = _NUMBER.fullmatch(text)
    units = _TIMES if field.seconds else _SIZES
    if found is None or found["unit"].lower() not in units:
        raise BadSpec(
            f"'{text}' after {field.name} is not a number", "numbers such as 0.7, 70%, 1e6, 14k; ages such as 2d"
        )
    return float(found["digits"]) * units[found["unit"].lower()]
