"""A tour of every screen in a real terminal, at three sizes: what stands there, and that no line of it is broken."""

from __future__ import annotations

import shutil
import sys

import pytest
from rich.cells import cell_len

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

SIZES = [(80, 24), (120, 36), (200, 50)]
PANELS = {
    "1": ("1 Curves", "score by trial"),
    "2": ("2 Trials", "2+4 relu"),
    "3": ("3 Log", "hello from the worker"),
    "4": ("4 Details", "options.sample"),
    "5": ("5 Search", "Best so far, at equal trainings"),
    "6": ("6 Surrogate", "Predicted and measured"),
    "7": ("7 Architecture", "layer 1"),
}


def cells_of(line: str) -> list[str]:
    """What stands in each cell; nothing in the second cell of a wide character."""
    cells: list[str] = []
    for character in line:
        width = cell_len(character)
        if width:
            cells += [character, *[""] * (width - 1)]
    return cells


def broken(text: str, columns: int) -> list[str]:
    """What is wrong with a screen: lines wider than it, frames whose edges do not meet."""
    lines = [cells_of(line) for line in text.splitlines()]
    wrong = [f"line {y} is {len(line)} wide" for y, line in enumerate(lines) if len(line) > columns]
    for y, line in enumerate(lines):
        for x, cell in enumerate(line):
            if cell in "╭╮" and cell:
                wrong += _edge(lines, x, y)
    return wrong


def _edge(lines: list[list[str]], x: int, y: int) -> list[str]:
    """Follow an edge from its upper corner to the lower one."""
    for below in range(y + 1, len(lines)):
        cell = lines[below][x] if x < len(lines[below]) else " "
        if cell in ("╰", "╯"):
            return []
        if cell != "│" and cell not in "▁▂▃▄▅▆▇█▐▌":
            return [f"the edge from line {y}, column {x} is {cell!r} in line {below}"]
    return [f"the edge from line {y}, column {x} has no end"]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_tour_of_every_screen(home, furnished, terminal, size):
    columns, rows = size
    command = [sys.executable, "-m", "mmfuse_tui", str(home.path)]
    screen = terminal(command, columns=columns, rows=rows, ESCDELAY="20")

    def see(*words: str, modal: bool = False) -> str:
        """The screen once it shows the words and is whole: it may be looked at while it is being drawn."""

        def fits(text: str) -> bool:
            return all(word in text for word in words) and (modal or not broken(text, columns))

        text = screen.wait_until(fits, f"{' and '.join(words)}, whole")
        assert len(text.splitlines()) <= rows
        return text

    runs = see("● running", "guided", "newest first", "2 running", "q Quit")
    assert rows < 30 or ("m2 東京" in runs and "✗ crashed" in runs)

    screen.press("1", "z")
    screen.wait_until(lambda text: "newest first" not in text, "the panel alone")
    for key, words in PANELS.items():
        screen.press(key)
        see(*words)
    screen.press("Escape")
    see("newest first")

    screen.press("m")
    see("Machine", "cores", "Live runs 3, 1 in line")
    screen.press("Escape")
    see("newest first")

    screen.press("n")
    see("New run", "Option", "mmfuse search")
    screen.press("Escape")
    see("newest first")

    screen.press("/", *"seed")
    see("/seed ·", "2 of 7")
    screen.press("Enter", "C-a", "c")
    see("Compare 2 runs", "m2 seed 0", "m2 seed 1", "Results")
    screen.press("Escape")
    see("newest first")

    for key, words in {"?": "Ask the run to stop at a safe point", "C-p": "Search for commands"}.items():
        screen.press(key)
        see(words, modal=True)
        screen.press("Escape")
        screen.wait_until(lambda text, words=words: words not in text, "what was below")

    screen.press("q")
    screen.wait_for("left with 0")
