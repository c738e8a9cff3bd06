"""The usual diagram of a multimodal model: a branch per modality, joined by a fusion, then one chain to the head.

Boxes where there is room for them, else one line per branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from mmfuse_tui.clean import clean
from mmfuse_tui.sketch import BOX_HEIGHT, Line, Sketch, width_of

GUTTER = 4
"""Cells between two boxes, for the wire and its arrow."""


@dataclass(frozen=True)
class Part:
    """One box: what it is called and what is said inside it."""

    title: str
    words: str = ""

    @property
    def width(self) -> int:
        """Cells of its box."""
        return max(cell_len(self.title), cell_len(self.words)) + 4


def draw_branches(branches: Sequence[Sequence[Part]], trunk: Sequence[Part], *, width: int) -> list[Line]:
    """``branches`` (parts from left to right, one branch per modality) joined into ``trunk``, within ``width``."""
    branches = [[_cleaned(part) for part in branch] for branch in branches]
    trunk = [_cleaned(part) for part in trunk]
    boxes = _in_boxes(branches, trunk)
    return boxes if width_of(boxes) <= width else _in_lines(branches, trunk)


def _cleaned(part: Part) -> Part:
    return Part(clean(part.title), clean(part.words))


def _in_boxes(branches: Sequence[Sequence[Part]], trunk: Sequence[Part]) -> list[Line]:
    sketch = Sketch()
    middle = (len(branches) * BOX_HEIGHT - 1) // 2
    x = 0
    for nth in range(max(map(len, branches), default=0)):
        column = [branch[nth] for branch in branches if nth < len(branch)]
        wide = max(part.width for part in column)
        for row, branch in enumerate(branches):
            y = row * BOX_HEIGHT + 1
            if nth < len(branch):
                sketch.box(x, y - 1, wide, branch[nth].title, branch[nth].words)
            else:
                sketch.wire((x - 1, y), (x + wide, y))
            last = nth == max(map(len, branches)) - 1
            if not last:
                _arrow(sketch, x + wide, y)
        x += wide + GUTTER
    join = x - GUTTER + 1
    for row in range(len(branches)):
        sketch.wire((join - 1, row * BOX_HEIGHT + 1), (join, row * BOX_HEIGHT + 1), (join, middle), (join + 1, middle))
    for part in trunk:
        sketch.text(x - 1, middle, "▶", "plot--axis")
        sketch.wire((x - 3, middle), (x - 2, middle))
        sketch.box(x, middle - 1, part.width, part.title, part.words, style="series--0")
        x += part.width + GUTTER
        if part is not trunk[-1]:
            sketch.wire((x - GUTTER, middle), (x - 2, middle))
    return sketch.lines()


def _arrow(sketch: Sketch, x: int, y: int) -> None:
    sketch.wire((x, y), (x + GUTTER - 2, y))
    sketch.text(x + GUTTER - 1, y, "▶", "plot--axis")


def _in_lines(branches: Sequence[Sequence[Part]], trunk: Sequence[Part]) -> list[Line]:
    """One line per branch, bracketed; the trunk follows below them."""
    texts = [_chain(branch) for branch in branches]
    wide = max(map(cell_len, texts), default=0)
    lines: list[Line] = []
    for nth, text in enumerate(texts):
        corner = "┤" if nth else "┐"
        lines.append(((text + " ", ""), ("─" * (wide - cell_len(text)) + corner, "plot--axis")))
    lines.append((("  ╭" + "─" * max(0, wide - 2) + "╯", "plot--axis"),))
    lines.append((("  ╰▸ ", "plot--axis"), (_chain(trunk), "series--0")))
    return lines


def _chain(parts: Sequence[Part]) -> str:
    return " ▸ ".join(f"{part.title} {part.words}".strip() for part in parts)
