"""A table of words as CSV, Markdown or LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """How a table is written."""

    CSV = "csv"
    JSON = "json"
    MARKDOWN = "md"
    LATEX = "latex"


@dataclass(frozen=True)
class Cell:
    """A word of a table; ``bold`` where a format can show it."""

    text: str
    bold: bool = False


Rows = Sequence[Sequence[Cell]]


def as_csv(titles: Sequence[str], rows: Rows) -> str:
    """Comma-separated values with a title row; text that a spreadsheet would take for a formula is quoted."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(_defused, titles))
    writer.writerows([_defused(cell.text) for cell in row] for row in rows)
    return file.getvalue()


def as_markdown(titles: Sequence[str], rows: Rows) -> str:
    """A pipe table."""
    lines = [list(map(_markdown, titles)), ["---"] * len(titles)]
    lines += [[f"**{_markdown(cell.text)}**" if cell.bold else _markdown(cell.text) for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_latex(titles: Sequence[str], rows: Rows) -> str:
    """A tabular with booktabs rules."""
    head = [rf"\begin{{tabular}}{{{'l' * len(titles)}}}", r"\toprule", _latex_line(map(_latex, titles)), r"\midrule"]
    body = [
        _latex_line(rf"\textbf{{{_latex(cell.text)}}}" if cell.bold else _latex(cell.text) for cell in row)
        for row in rows
    ]
    return "\n".join((*head, *body, r"\bottomrule", r"\end{tabular}", ""))


WRITERS: dict[Format, Callable[[Sequence[str], Rows], str]] = {
    Format.CSV: as_csv,
    Format.MARKDOWN: as_markdown,
    Format.LATEX: as_latex,
}
"""Formats of words; JSON holds values and is written by whoever has them."""


def _defused(cell: str) -> str:
    return f"'{cell}" if cell[:1] in ("=", "@", "\t") or (cell[:1] in ("+", "-") and not _is_number(cell)) else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _markdown(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "\n": " ",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _latex(cell: str) -> str:
    return "".join(_LATEX.get(character, character) for character in cell)


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
