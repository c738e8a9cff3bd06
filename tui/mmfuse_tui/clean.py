"""Text that came from outside, made safe to draw: names, notes, log lines.

A run's name or log may hold anything. Nothing that reaches the terminal may move its cursor, change its colours or
reorder its cells, so control characters become visible and direction overrides disappear; letters of every script stay.
"""

from __future__ import annotations

import re
import unicodedata

from rich.cells import cell_len, chop_cells, set_cell_size

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS = "…"

_ESCAPES = re.compile(
    r"""
      \x1b \[ [0-?]* [ -/]* [@-~]?                 # CSI: colours, cursor moves, screen clears
    | \x9b [0-?]* [ -/]* [@-~]?                    # the same, opened by one C1 character
    | (?: \x1b [\]PX^_] | [\x9d\x90\x98\x9e\x9f] ) # OSC, DCS, SOS, PM, APC: strings for the terminal itself
      [^\x07\x1b\x9c\n]* (?: \x07 | \x1b\\ | \x9c )?
    | \x1b [ -/]* [0-~]                            # two-character and charset escapes
    """,
    re.VERBOSE,
)


def strip_ansi(text: str) -> str:
    """``text`` without terminal escape sequences; a sequence cut off at the end goes too."""
    return _ESCAPES.sub("", text) if "\x1b" in text or _has_c1(text) else text


def neutralise(text: str) -> str:
    """One line that cannot act on the terminal.

    Tabs and line breaks become blanks, other control characters and lone surrogates the replacement character, and
    invisible format characters (direction overrides, joiners) vanish.
    """
    if text.isprintable():
        return text
    return "".join(map(_harmless, text))


def clean(text: str) -> str:
    """A name or note ready for a cell: escapes stripped, the rest neutralised, outer blanks gone."""
    return neutralise(strip_ansi(text)).strip()


def fit(text: str, width: int, *, right: bool = False) -> str:
    """``text`` in exactly ``width`` terminal cells, cut with an ellipsis or padded; wide characters count twice."""
    if width <= 0:
        return ""
    used = cell_len(text)
    if used > width:
        return set_cell_size(text, width - 1) + ELLIPSIS
    padding = " " * (width - used)
    return padding + text if right else text + padding


def wrap(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` cells, broken at blanks where there are some; one empty line for none."""
    width = max(2, width)
    lines = [""]
    for word in text.split():
        candidate = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(candidate) <= width:
            lines[-1] = candidate
            continue
        if not lines[-1]:
            lines.pop()
        lines += chop_cells(word, width)
    return lines


def _has_c1(text: str) -> bool:
    return not text.isascii() and any("\x80" <= character <= "\x9f" for character in text)


def _harmless(character: str) -> str:
    if character in "\t\n\r\v\f\x85\u2028\u2029":
        return " "
    if character.isprintable():
        return character
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    return " " if category == "Zs" else REPLACEMENT
