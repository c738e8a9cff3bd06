"""Option models: frozen, closed, documented by one docstring line per field, checked all at once.

Defaults live in subclasses of `Options`; the command line's help, ``--set``, presets, the dashboard's forms and the
docs are made from them. This module is free of torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from mmfuse.errors import BadSpec


class Options(BaseModel):
    """Base of every option model: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


AnyOptions = TypeVar("AnyOptions", bound=BaseModel)


def parse_options(model: type[AnyOptions], values: Mapping[str, Any], *, what: str) -> AnyOptions:
    """Validate ``values`` against ``model``; ``what`` names the thing configured, such as "search mixmas".

    Raises:
        BadSpec: naming every mistake at once, and the nearest known key for each unknown one.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        problems = [_describe(model, item) for item in error.errors()]
    raise BadSpec(f"{what}: " + "; ".join(problem for problem, _ in problems), _join_hints(problems))


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


def _describe(model: type[BaseModel], error: Any) -> tuple[str, str]:
    """One problem as (sentence, hint)."""
    location = ".".join(str(part) for part in error["loc"]) or "options"
    if error["type"] != "extra_forbidden":
        message = error["msg"].removeprefix("Value error, ")
        given = error.get("input")
        shown = f", got {given!r}" if isinstance(given, str | int | float | bool | list) else ""
        return f"'{location}': {message[:1].lower()}{message[1:]}{shown}", ""
    known = _fields_at(model, error["loc"][:-1])
    close = get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"unknown option '{location}'", f"{hint}known: {', '.join(sorted(known))}"


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
