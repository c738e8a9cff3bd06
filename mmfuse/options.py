"""Option models: frozen, closed, documented by one docstring line per field, checked all at once.

Defaults live in subclasses of `Options`; the command line's help, ``--set``, presets, the dashboard's forms and the
docs are made from them. This module is free of torch.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from mmfuse.errors import BadSpec


class Options(BaseModel):
    """Base of every option model: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


AnyOptions = TypeVar("AnyOptions", bound=BaseModel)


def parse_options(
    model: type[AnyOptions], values: Mapping[str, Any], *, what: str, beside: Iterable[str] = ()
) -> AnyOptions:
    """Validate ``values`` against ``model``; ``what`` names the thing configured, such as "search mixmas".

    ``beside`` are dotted keys that belong to something else, to be named to people who forgot the part before the dot.

    Raises:
        BadSpec: naming every mistake at once, and the nearest known key for each unknown one.
    """
    problems = [(f"'{'.'.join(path)}': input should not be a switch", "") for path in _switches(model, values)]
    try:
        parsed = model.model_validate(dict(values))
        if not problems:
            return parsed
    except ValidationError as error:
        grouped: dict[tuple[Any, ...], list[Any]] = {}
        for item in error.errors():
            grouped.setdefault(_field_path(model, item["loc"]), []).append(item)
        problems += [_describe(model, path, items, [*beside]) for path, items in grouped.items()]
    raise BadSpec(f"{what}: " + "; ".join(problem for problem, _ in problems), _join_hints(problems))


def parse_together(*parts: tuple[type[BaseModel], Mapping[str, Any], str], beside: Iterable[str] = ()) -> list[Any]:
    """`parse_options` of several (model, values, what), with the mistakes of all parts in one error.

    Raises:
        BadSpec: naming every mistake at once.
    """
    parsed, mistakes = [], []
    for model, values, what in parts:
        try:
            parsed.append(parse_options(model, values, what=what, beside=beside))
        except BadSpec as mistake:
            mistakes.append(mistake)
    if mistakes:
        hints = dict.fromkeys(mistake.hint for mistake in mistakes if mistake.hint)
        raise BadSpec("; ".join(mistake.message for mistake in mistakes), "; ".join(hints))
    return parsed


def merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``overrides`` laid over it, dictionary by dictionary; neither is changed.

    A dictionary that names another ``block`` replaces the one below: parameters of one block mean nothing to another.
    """
    merged = dict(base)
    for key, value in overrides.items():
        below = merged.get(key)
        if (
            isinstance(below, Mapping)
            and isinstance(value, Mapping)
            and value.get("block") in (None, below.get("block"))
        ):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """``["a.b=3", "c=x"]`` as ``{"a": {"b": 3}, "c": "x"}``: values are JSON, else plain strings.

    Raises:
        BadSpec: for an assignment without ``=`` or with an empty key.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise BadSpec(f"'{assignment}' is not KEY=VALUE", "write for example --set repeats=3")
        value: Any = _json_or_text(text)
        for key in reversed(keys):
            value = {key: value}
        values = merge(values, value)
    return values


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _switches(
    model: type[BaseModel], values: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Where a number is given as true or false: pydantic would take ``repeats=true`` for 1, and nobody means that."""
    for name, value in values.items():
        field = model.model_fields.get(name)
        kinds = _kinds(field.annotation) if field is not None else []
        if isinstance(value, bool) and {int, float}.intersection(kinds) and bool not in kinds:
            yield *path, name
        for kind in kinds if isinstance(value, Mapping) else ():
            if hasattr(kind, "model_fields"):
                yield from _switches(kind, value, (*path, name))


def _describe(
    model: type[BaseModel], path: tuple[Any, ...], errors: Sequence[Any], beside: Sequence[str]
) -> tuple[str, str]:
    """What is wrong at one place, as (sentence, hint); a value that may be of several kinds has an error for each."""
    location = ".".join(str(part) for part in path)
    if errors[0]["type"] == "extra_forbidden":
        return f"unknown option '{location}'", _nearest(model, path, beside)
    if len(errors) > 1 and all(error["type"] in _EXPECTED for error in errors):
        expected = " or ".join(
            dict.fromkeys(_EXPECTED[error["type"]].format(**error.get("ctx", {})) for error in errors)
        )
        message = f"input should be {expected}"
    else:
        message = next((error for error in errors if error["type"] not in _EXPECTED), errors[0])["msg"]
    message = message.removeprefix("Value error, ")
    given = errors[0].get("input")
    shown = f", got {given!r}" if isinstance(given, str | int | float | list) else ""
    return f"'{location or 'options'}': {message[:1].lower()}{message[1:]}{shown}", ""


_EXPECTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "literal_error": "{expected}",
}
"""What pydantic's errors of the wrong kind of value say was expected; others are about the value itself."""


def _nearest(model: type[BaseModel], path: tuple[Any, ...], beside: Sequence[str]) -> str:
    """The key that may have been meant: of the same place, or of the same name one level down or ``beside``."""
    wanted, known = str(path[-1]), _fields_at(model, path[:-1])
    close = get_close_matches(wanted, known, n=1, cutoff=0.5)
    if not close and len(path) == 1:
        close = [key for key in [*_keys_below(model), *beside] if key.rpartition(".")[2] == wanted]
    hint = f"did you mean {' or '.join(repr(key) for key in close)}? " if close else ""
    return f"{hint}known: {', '.join(sorted(known))}"


def _keys_below(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        for kind in _kinds(field.annotation):
            yield from (f"{name}.{below}" for below in getattr(kind, "model_fields", ()))


def _field_path(model: type[BaseModel], location: tuple[Any, ...]) -> tuple[Any, ...]:
    """``location`` of an error without what pydantic adds to tell the kinds of a union apart."""
    current: Any = model
    for depth, part in enumerate(location):
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            return location
        kinds = [kind for kind in _kinds(field.annotation) if kind is not type(None)]
        if len(kinds) > 1:
            return location[: depth + 1]
        current = kinds[0]
    return location


def _kinds(annotation: Any) -> list[Any]:
    """The types that ``annotation`` allows, without constraints."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for member in get_args(annotation) for kind in _kinds(member)]
    return [annotation]


def _fields_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """The field names of the model nested at ``path`` (the root's where the path leaves the models)."""
    current: Any = model
    for part in path:
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            break
        nested = [
            kind
            for kind in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if hasattr(kind, "model_fields")
        ]
        if not nested:
            break
        current = nested[0]
    return list(current.model_fields)


def _join_hints(problems: list[tuple[str, str]]) -> str:
    return "; ".join(dict.fromkeys(hint for _, hint in problems if hint))
