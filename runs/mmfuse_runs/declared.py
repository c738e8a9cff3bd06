"""Options as their models declare them, flat, for help and completion."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True)
class DeclaredOption:
    """One option: its dotted key, what it takes, its default as JSON (empty where it is required), what it means."""

    key: str
    takes: str
    default: str
    meaning: str


def options_model(declaration: ModuleType) -> type[BaseModel]:
    """The option model of a registered file: ``Params`` of a block or model, ``Options`` of a search or dataset.

    In this order, because files with ``Params`` may import the base class ``Options``.
    """
    model: type[BaseModel] = getattr(declaration, "Params", None) or declaration.Options
    return model


def declared_options(
    model: type[BaseModel], *, prefix: str = "", usual: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[DeclaredOption]:
    """Every option of ``model``; groups of options are taken apart into dotted keys.

    ``usual`` holds the defaults, by field, that differ from the model's own.
    """
    for name, field in model.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and hasattr(group, "model_fields"):
            yield from declared_options(group, prefix=f"{prefix}{name}.")
        else:
            meaning = " ".join((field.description or "").split())
            default = _spelled(usual[name]) if name in usual else _default(field)
            yield DeclaredOption(f"{prefix}{name}", _takes(field), default, meaning)


def _takes(field: FieldInfo) -> str:
    bounds = [
        f"{sign}{getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in _BOUNDS.items()
        if getattr(limit, name, None) is not None
    ]
    return " ".join((type_name(field.annotation), *bounds))


def type_name(annotation: Any) -> str:
    """What a value of this type is to somebody who types it: ``int``, ``warm | cold``, ``list``, ``null``."""
    origin = get_origin(annotation)
    if origin is Literal:
        return " | ".join(str(choice) for choice in get_args(annotation))
    if origin in (Union, types.UnionType):
        return " | ".join(type_name(part) for part in get_args(annotation))
    if hasattr(annotation, "__metadata__"):
        return type_name(get_args(annotation)[0])
    if annotation in (None, types.NoneType):
        return "null"
    plain = origin or annotation
    return {"tuple": "list", "Mapping": "object", "dict": "object"}.get(name := getattr(plain, "__name__", ""), name)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default = field.get_default(call_default_factory=True)
    if hasattr(default, "model_dump"):
        default = default.model_dump(mode="json")
    return _spelled(default)


def _spelled(default: Any) -> str:
    return default if isinstance(default, str) else json.dumps(default, default=str, ensure_ascii=False)
