"""Parallel coordinates: an axis per choice and one for the score, a line per trial; the best quarter stands out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len

from mmfuse_tui import wording
from mmfuse_tui.braille import EMPTY, Window, draw
from mmfuse_tui.clean import fit
from mmfuse_tui.importance import Table, importances
from mmfuse_tui.sketch import Line, Piece

MOST_AXES, MOST_LINES, ROWS = 6, 80, 9
"""Axes and trials drawn, and rows of cells: more is a grey block in a terminal."""


def parallel_lines(table: Table, width: int, *, maximize: bool) -> list[Line]:
    """The choices that matter most, from left to right in their own order, then the score, higher is further up."""
    import numpy as np

    chosen = {item.name for item in importances(table, maximize=maximize)[: min(MOST_AXES, max(1, width // 14 - 1))]}
    names = [name for name in table.names if name in chosen]
    places = {name: _places(table.column(name)) for name in names}
    low, high = min(table.scores), max(table.scores)
    window = Window(width, ROWS, 0.0, float(len(names)), 0.0, 1.0)
    order = sorted(range(len(table.scores)), key=lambda nth: table.scores[nth], reverse=not maximize)[-MOST_LINES:]
    axis = np.arange(len(names) + 1, dtype=np.float64)
    lines = []
    for nth in order:
        heights = [places[name][table.column(name)[nth]] for name in names]
        score = (table.scores[nth] - low) / (high - low) if high > low else 0.5
        lines.append((axis, np.array([*heights, score if maximize else 1 - score])))
    canvas = draw(lines, window)
    first_best = len(lines) - max(1, len(lines) // 4)
    styles = ["cell--track"] * first_best + ["series--0"] * (len(lines) - first_best) + [""]
    cells = [
        [
            (character.replace(EMPTY, " "), styles[owner])
            for character, owner in zip(canvas.text(row), canvas.owner[row], strict=True)
        ]
        for row in range(ROWS)
    ]
    _write_values(cells, names, places, window)
    best, worst = (high, low) if maximize else (low, high)
    _write(cells, 0, width - 1, wording.number(best), "plot--value")
    _write(cells, ROWS - 1, width - 1, wording.number(worst), "plot--value")
    shown = f"{len(lines)} of {len(table.scores)} trials" if len(lines) < len(table.scores) else f"{len(lines)} trials"
    return [
        _titles(names, window),
        *(tuple(row) for row in cells),
        ((f"{shown}, the best quarter in colour", "plot--label"),),
    ]


def in_order(values: Iterable[str]) -> list[str]:
    """Each value once: "none", then numbers in their order, then words in the alphabet's."""
    return sorted(
        set(values),
        key=lambda value: (value != "none", not value.isdigit(), int(value) if value.isdigit() else 0, value),
    )


def _places(values: Sequence[str]) -> dict[str, float]:
    """A height between 0 and 1 for each value, in their order."""
    order = in_order(values)
    return {value: (nth + 0.5) / len(order) for nth, value in enumerate(order)}


def _titles(names: Sequence[str], window: Window) -> Line:
    text = [" "] * window.columns
    room = max(4, window.columns // (len(names) + 1) - 1)
    for nth, name in enumerate([*names, "score"]):
        _place(text, nth, fit(name, min(room, cell_len(name))), window, len(names))
    return (("".join(text), "plot--label"),)


def _place(text: list[str], nth: int, words: str, window: Window, last: int) -> None:
    column = round(float(window.dot_columns(float(nth)))) // 2
    start = 0 if nth == 0 else len(text) - len(words) if nth == last else max(0, column - len(words) // 2)
    text[start : start + len(words)] = words


def _write_values(
    cells: list[list[Piece]], names: Sequence[str], places: Mapping[str, Mapping[str, float]], window: Window
) -> None:
    for nth, name in enumerate(names):
        column = round(float(window.dot_columns(float(nth)))) // 2
        for value, height in places[name].items():
            row = round(float(window.dot_rows(height))) // 4
            _write(cells, row, column if nth == 0 else column + len(value) // 2, value, "plot--value", left=nth == 0)


def _write(cells: list[list[Piece]], row: int, column: int, words: str, style: str, *, left: bool = False) -> None:
    """``words`` into a row of cells, ending at ``column`` (or starting there), never over the edge."""
    start = column if left else column - len(words) + 1
    start = max(0, min(start, len(cells[row]) - len(words)))
    cells[row][start : start + len(words)] = [(character, style) for character in words][: len(cells[row]) - start]
