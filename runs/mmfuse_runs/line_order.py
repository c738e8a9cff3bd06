"""The order in which those who wait for slots are served: as they came, unless somebody moved them.

Tickets in ``<home>/queue/`` are numbered as they are drawn and keep their names. Who moves runs writes the whole line
of a host, in its new order, to ``order.<host>.json`` beside the tickets; whoever draws one later stands behind it. That
file is a wish about tickets that may be gone by now: without it, or with one that cannot be read, the line is as it was
drawn. It decides only who tries first. That no slot is taken twice is the business of the lock on the slot.

Standard library only: the supervisor imports this without site-packages.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from mmfuse_runs.atomic import write_json

Where = Literal["first", "last", "up", "down", "before", "after"]
"""Where to: to an end of the line, one place, or next to another run (the anchor)."""


def tickets(queue: Path, host: str) -> list[str]:
    """Names of a host's tickets, next first; those of the dead are among them.

    Raises:
        OSError: the folder cannot be read.
    """
    drawn = sorted(name for name in os.listdir(queue) if name.split(".", 2)[2:] == [host])  # noqa: PTH208 - names suffice
    wished = {name: place for place, name in enumerate(_wished(queue, host))}
    return sorted(drawn, key=lambda name: wished.get(name, len(wished)))


def arrange(queue: Path, host: str, names: Sequence[str]) -> None:
    """Have these tickets served in this order, before those that are drawn from now on.

    Raises:
        OSError: the disk is full or read-only; the order is as it was.
    """
    write_json(_file(queue, host), {"format": 1, "tickets": list(names)})


def moved(line: Sequence[str], chosen: Collection[str], where: Where, *, anchor: str | None = None) -> list[str]:
    """The line after ``chosen`` were moved; they keep their order among themselves, and so do all others.

    ``anchor`` is whom they are to stand before or after; it is not one of them.
    """
    block, rest = [name for name in line if name in chosen], [name for name in line if name not in chosen]
    if where == "up":
        return _one_up(line, chosen)
    if where == "down":
        return _one_up(line[::-1], chosen)[::-1]
    if where in ("first", "last"):
        return block + rest if where == "first" else rest + block
    place = rest.index(str(anchor)) + (where == "after")
    return [*rest[:place], *block, *rest[place:]]


def _one_up(line: Sequence[str], chosen: Collection[str]) -> list[str]:
    """Everybody chosen passes the one before, unless that one is at the head or is chosen and cannot pass either."""
    line = list(line)
    for place in range(1, len(line)):
        if line[place] in chosen and line[place - 1] not in chosen:
            line[place - 1 : place + 1] = line[place], line[place - 1]
    return line


def _wished(queue: Path, host: str) -> list[str]:
    try:
        return [str(name) for name in json.loads(_file(queue, host).read_bytes())["tickets"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def _file(queue: Path, host: str) -> Path:
    return queue / f"order.{host}.json"
