"""Columns that somebody wants to see again: lists of fields by name, kept in the home."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mmfuse.errors import BadSpec, StoreError, UnknownName
from mmfuse_runs.atomic import write_json
from mmfuse_runs.fields import field_named

FILE = "columns.json"
_NAME = re.compile(r"[A-Za-z][\w-]*")


def saved_sets(home: Path) -> dict[str, str]:
    """The sets there are, as they were typed.

    Raises:
        StoreError: the file is damaged.
    """
    path = home / FILE
    try:
        sets = json.loads(path.read_bytes())["sets"]
        return {str(name): str(columns) for name, columns in sets.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} cannot be read: {error}", f"mv {path}{{,.bad}}") from error


def save_set(home: Path, name: str, columns: str) -> None:
    """Keep ``columns`` under ``name``; an earlier set of that name is replaced.

    Raises:
        BadSpec: the name is no word, or means a field already.
        StoreError: the home cannot be written.
    """
    if _NAME.fullmatch(name) is None or _means_field(name):
        raise BadSpec(f"'{name}' cannot name columns", "a word that is no field, such as paper")
    try:
        home.mkdir(parents=True, exist_ok=True)
        write_json(home / FILE, {"format": 1, "sets": saved_sets(home) | {name: columns}})
    except OSError as error:
        raise StoreError(f"{home / FILE} cannot be written: {error.strerror}", "another --home") from error


def expanded(home: Path, columns: str) -> str:
    """``columns``, or those of the set that they name."""
    return saved_sets(home).get(columns, columns) if _NAME.fullmatch(columns) else columns


def _means_field(name: str) -> bool:
    try:
        field_named(name)
    except UnknownName:
        return False
    return True
