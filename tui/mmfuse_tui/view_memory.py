"""How the dashboard of a home was left: columns, order, filter, groups, theme, bell, and the share of the table.

Kept in ``dashboard.json`` of the home, replaced whole. What cannot be read, or means nothing to this version, is as if
it had never been set: a damaged file costs its settings and nothing else.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mmfuse_runs.atomic import write_json

logger = logging.getLogger(__name__)

FILE = "dashboard.json"
LARGEST = 100_000
"""Bytes: a larger file is none of ours."""
LEAST_SHARE, MOST_SHARE = 15, 85


@dataclass(frozen=True)
class ViewMemory:
    """One dashboard's ways. ``columns`` are those shown, in order (empty: the usual ones); ``share`` is the table's
    part of the height in percent, 0 for the usual one."""

    columns: tuple[str, ...] = ()
    order: str = ""
    reversed: bool = False
    filter: str = ""
    group: str = ""
    theme: str = ""
    share: int = 0
    rings: bool = True


def load_view(home: Path) -> ViewMemory:
    """What is remembered of this home; the defaults where nothing is."""
    try:
        with (home / FILE).open("rb") as file:
            record = json.loads(file.read(LARGEST))
    except (OSError, ValueError, RecursionError):
        return ViewMemory()
    return _read(record) if isinstance(record, Mapping) else ViewMemory()


def save_view(home: Path, view: ViewMemory) -> None:
    """Remember ``view``; a home that is gone or cannot be written is left alone."""
    if not home.is_dir():
        return
    try:
        write_json(home / FILE, {"format": 1, **asdict(view)})
    except OSError as error:
        logger.debug("the view was not remembered: %s", error)


def _read(record: Mapping[str, Any]) -> ViewMemory:
    """Every field whose value has the right type; the share within its limits."""
    defaults = ViewMemory()
    known: dict[str, Any] = {}
    for field in fields(ViewMemory):
        value = record.get(field.name)
        if field.name == "columns" and isinstance(value, list):
            known["columns"] = tuple(item for item in value if isinstance(item, str))
        elif type(value) is type(getattr(defaults, field.name)):
            known[field.name] = value
    if known.get("share"):
        known["share"] = min(MOST_SHARE, max(LEAST_SHARE, known["share"]))
    return ViewMemory(**known)
