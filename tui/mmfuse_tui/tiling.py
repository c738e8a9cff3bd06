"""Where the panels of a run go at a given size: pure arithmetic, no widgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

TWO_COLUMNS, THREE_COLUMNS = 120, 190
"""Widths from which the panels stand in two and in three columns."""
SPLIT_HEIGHT = 22
"""Height from which the panels of one column stand below each other instead of behind each other."""

Place = Literal["main", "side", "wing"]


@dataclass(frozen=True)
class Tile:
    """A rectangle in cells with the panels that share it; ``shown`` is the one in front."""

    x: int
    y: int
    width: int
    height: int
    members: tuple[str, ...]
    shown: str


def tile(panels: Sequence[tuple[str, Place]], *, width: int, height: int, active: Sequence[str]) -> tuple[Tile, ...]:
    """Tiles that cover ``width`` x ``height`` exactly.

    ``panels`` are names and places in order; ``active`` names panels most recently asked for first: of several panels
    in one tile the one asked for last is in front.
    """
    stacks = [stack for stack in _stacks(panels, width, height) if stack]
    tiles: list[Tile] = []
    for nth, column in enumerate(stacks):
        left, right = _edge(width, stacks, nth), _edge(width, stacks, nth + 1)
        for row, members in enumerate(column):
            top, bottom = height * row // len(column), height * (row + 1) // len(column)
            tiles.append(Tile(left, top, right - left, bottom - top, members, _front(members, active)))
    return tuple(tiles)


def _stacks(panels: Sequence[tuple[str, Place]], width: int, height: int) -> list[list[tuple[str, ...]]]:
    """Columns of rows of panel names that share a tile."""
    if width < TWO_COLUMNS:
        return [[tuple(name for name, _ in panels)]]
    columns: Mapping[Place, list[str]] = {"main": [], "side": [], "wing": []}
    for name, place in panels:
        columns["main" if place == "wing" and width < THREE_COLUMNS else place].append(name)
    side: list[tuple[str, ...]] = [tuple(columns["side"])]
    if height >= SPLIT_HEIGHT:
        side = [(name,) for name in columns["side"]]
    return [
        [tuple(columns["main"])] if columns["main"] else [],
        side,
        [tuple(columns["wing"])] if columns["wing"] else [],
    ]


def _edge(width: int, stacks: Sequence[object], nth: int) -> int:
    """Left edge of a column; the first is somewhat wider than its share."""
    if len(stacks) == 1 or nth in (0, len(stacks)):
        return width if nth else 0
    first = width * (44 if len(stacks) == 3 else 52) // 100
    return first + (width - first) * (nth - 1) // (len(stacks) - 1)


def _front(members: Sequence[str], active: Sequence[str]) -> str:
    return next((name for name in active if name in members), members[0])
