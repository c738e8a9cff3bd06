"""Columns of a table: what stands in a cell, how wide it is, and which columns go first when there is no room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.cells import cell_len

from mmfuse_tui.clean import fit

Item = TypeVar("Item")
Piece = tuple[str, str]
"""Text and the component class that colours it ("" for the row's own style)."""


ESSENTIAL = 5
"""Columns up to this rank join at their least width."""


@dataclass(frozen=True)
class Column(Generic[Item]):
    """One column.

    ``width`` cells are the least it is useful with, ``wish`` what it should have before less important columns join,
    ``most`` the widest it may grow; ``rank`` says how long it stays when the table gets narrow (0 always, higher ranks
    leave first). ``pieces`` gives the cell of an item at a width.
    """

    name: str
    title: str
    pieces: Callable[[Item, int], Sequence[Piece]]
    width: int
    rank: int
    wish: int = 0
    most: int = 0
    right: bool = False


def choose_columns(columns: Sequence[Column[Item]], room: int, *, gap: int) -> tuple[tuple[Column[Item], int], ...]:
    """The columns that fit into ``room`` cells, in order, each with its width.

    Columns join in the order of their rank until the next one does not fit; those beyond `ESSENTIAL` only once the
    others have the width they wish for. What is left goes to the wishes first, then to those that may grow.
    """
    chosen: list[Column[Item]] = []
    used = -gap
    for column in sorted(columns, key=lambda column: column.rank):
        wishes = sum(max(0, other.wish - other.width) for other in chosen) if column.rank > ESSENTIAL else 0
        if chosen and used + gap + column.width + wishes > room:
            break
        chosen.append(column)
        used += gap + column.width
    widths = {column.name: column.width for column in chosen}
    widths = _grow(widths, {column.name: column.wish for column in chosen}, room - used)
    left = room - used - sum(widths[column.name] - column.width for column in chosen)
    widths = _grow(widths, {column.name: column.most for column in chosen}, left)
    return tuple((column, widths[column.name]) for column in columns if column in chosen)


def _grow(widths: dict[str, int], most: dict[str, int], spare: int) -> dict[str, int]:
    """Widths after ``spare`` cells were shared evenly among the columns below what they may have at most."""
    widths = dict(widths)
    while spare > 0:
        growing = [name for name in widths if widths[name] < most[name]]
        if not growing:
            break
        share = max(1, spare // len(growing))
        for name in growing:
            step = min(share, most[name] - widths[name], spare)
            widths[name] += step
            spare -= step
    return widths


def fit_pieces(pieces: Iterable[Piece], width: int, *, right: bool = False) -> list[Piece]:
    """The pieces in exactly ``width`` cells, cut with an ellipsis or padded."""
    kept: list[Piece] = []
    room = width
    pending = [piece for piece in pieces if piece[0]]
    for index, (text, style) in enumerate(pending):
        used = cell_len(text)
        is_last = index == len(pending) - 1
        if used > room or (used == room and not is_last):
            kept.append((fit(text if is_last or used > room else text + " ", room), style))
            room = 0
            break
        kept.append((text, style))
        room -= used
    if room:
        kept.insert(0 if right else len(kept), (" " * room, ""))
    return kept
