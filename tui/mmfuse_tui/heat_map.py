"""What was tried where and how it went: options against positions, a cell for each with count, mean and best."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from mmfuse_tui import wording
from mmfuse_tui.clean import fit
from mmfuse_tui.importance import Table
from mmfuse_tui.parallel import in_order
from mmfuse_tui.sketch import Line, Piece

SHADES = "·░▒▓█"
"""From the worst mean of a map to its best; told apart without colours."""
CELL = 16
"""Cells of a column: shade, mean, and how often it was tried; below it the best."""
_LAYER = re.compile(r"(layer \d+) (.+)")


@dataclass(frozen=True)
class Cell:
    """The trials that had one option at one position."""

    trials: int
    mean: float
    best: float


@dataclass(frozen=True)
class HeatMap:
    """Cells by option (rows) and position (columns); ``title`` says what the options are, where that is not plain."""

    title: str
    options: tuple[str, ...]
    positions: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]


def heat_maps(table: Table, *, maximize: bool) -> list[HeatMap]:
    """A map of everything that was chosen; of chains of layers one for each thing that is chosen in every layer.

    Choices that never differed are left out; "none" stands for layers that a chain does not have.
    """
    positions: dict[str, dict[str, str]] = {}
    for name in table.names:
        layer = _LAYER.fullmatch(name)
        title, position = (layer[2], layer[1]) if layer else ("", name)
        positions.setdefault(title, {})[position] = name
    return [_heat_map(table, title, named, maximize=maximize) for title, named in positions.items()]


def heat_lines(heat: HeatMap, width: int) -> list[Line]:
    """The map, two lines an option; positions for which there is no room stand below the others."""
    names = max([cell_len(option) for option in heat.options] + [len(heat.title)])
    names = min(names, max(8, width // 3))
    beside = max(1, (width - names - 1) // CELL)
    means = [cell.mean for cell in heat.cells.values()]
    scale = (min(means), max(means))
    lines: list[Line] = []
    for start in range(0, len(heat.positions), beside):
        shown = heat.positions[start : start + beside]
        lines += [()] if start else []
        head = "".join(fit(position, CELL - 1) + " " for position in shown)
        lines.append(((fit(heat.title, names) + " ", "plot--title"), (head, "plot--label")))
        for option in heat.options:
            if any((option, position) in heat.cells for position in shown):
                lines += _option_lines(heat, option, shown, names, scale=scale)
    return lines


def _heat_map(table: Table, title: str, named: Mapping[str, str], *, maximize: bool) -> HeatMap:
    scores: dict[tuple[str, str], list[float]] = {}
    for position, name in named.items():
        for option, score in zip(table.column(name), table.scores, strict=True):
            scores.setdefault((option, position), []).append(score)
    best = max if maximize else min
    cells = {place: Cell(len(found), statistics.fmean(found), best(found)) for place, found in scores.items()}
    options = sorted(in_order(option for option, _ in cells), key=lambda option: option == "none")
    return HeatMap(title, tuple(options), tuple(named), cells)


def _option_lines(
    heat: HeatMap,
    option: str,
    positions: Sequence[str],
    names: int,
    *,
    scale: tuple[float, float],
) -> list[Line]:
    above: list[Piece] = [(fit(option, names) + " ", "")]
    below: list[Piece] = [(" " * (names + 1), "")]
    for position in positions:
        cell = heat.cells.get((option, position))
        if cell is None:
            above.append((" " * CELL, ""))
            below.append((" " * CELL, ""))
            continue
        low, high = scale
        share = (cell.mean - low) / (high - low) if high > low else 0.5
        shade = SHADES[min(len(SHADES) - 1, int(share * len(SHADES)))] * 2
        above.append((shade, "cell--bar"))
        above.append((fit(f" {wording.number(cell.mean)} ×{cell.trials}", CELL - 2), ""))
        below.append((fit(f"   {wording.number(cell.best)} best", CELL), "plot--label"))
    return [tuple(above), tuple(below)]
