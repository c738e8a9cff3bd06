"""The screen in ASCII, for terminals that show nothing else: cells keep their places, lines and dots become signs."""

from __future__ import annotations

import os
import re
import sys

from rich.cells import cell_len
from textual.driver import Driver

VARIABLE = "MMFUSE_ASCII"
"""Set to anything but 0, it asks for ASCII wherever the terminal does not ask for it by itself."""

_PAIRS = (
    ("─━═╌┄╸╺▔▁", "-"),
    ("│┃┊┆╎▌▐▎▏", "|"),
    ("╭╮╰╯┌┐└┘├┤┬┴┼╞╡", "+"),
    ("▂▃", "."),
    ("▄▅", "="),
    ("▆▇█", "#"),
    ("●☆", "*"),
    ("◆±", "+"),
    ("▲△▴↑", "^"),
    ("▼▽▾↓✓", "v"),
    ("■", "#"),
    ("★", "@"),
    ("✚", "&"),
    ("◇◌", "o"),
    ("◐", "%"),
    ("‖", "="),
    ("○", "O"),
    ("□", "0"),
    ("×✗", "x"),
    ("•·…", "."),
    ("▶▸→›⏵", ">"),
    ("◀◂←‹", "<"),
    ("–—−", "-"),
    ("ρ", "r"),
    ("ε", "e"),
    ("²", "2"),
    ("∞", "8"),
    ("\N{NO-BREAK SPACE}", " "),
)
_UPPER, _LOWER = 0x01 | 0x02 | 0x08 | 0x10, 0x04 | 0x20 | 0x40 | 0x80
"""Bits of the upper and the lower four dots of a braille character."""
_SIGNS = {sign: plain for signs, plain in _PAIRS for sign in signs} | {
    chr(0x2800 + bits): " '.:"[bool(bits & _UPPER) + 2 * bool(bits & _LOWER)] for bits in range(256)
}
_OTHERS = re.compile(r"[^\x00-\x7f]+")


def in_ascii(text: str) -> str:
    """``text`` in as many cells; what has no sign of its own is a question mark for every cell it takes."""
    return text if text.isascii() else _OTHERS.sub(_plain, text)


def asks_for_ascii() -> bool:
    """Whether the user, the terminal or its encoding does; the console of Linux has no braille in its font."""
    wanted = os.environ.get(VARIABLE)
    if wanted is not None:
        return wanted not in ("", "0")
    encoding = (getattr(sys.__stdout__, "encoding", None) or "utf-8").lower().replace("-", "")
    return os.environ.get("TERM") == "linux" or not encoding.startswith(("utf", "cp65001"))


def ascii_driver(base: type[Driver]) -> type[Driver]:
    """The driver of this terminal, which writes ASCII alone."""

    class AsciiDriver(base):  # type: ignore[misc, valid-type]
        """Writes signs for what is no ASCII."""

        def write(self, data: str) -> None:
            super().write(in_ascii(data))

    return AsciiDriver


def _plain(match: re.Match[str]) -> str:
    """As many signs as the characters together have cells: some only change the width of the one before."""
    signs = "".join(_SIGNS.get(character) or "?" * cell_len(character) for character in match.group())
    cells = cell_len(match.group())
    return signs[:cells].ljust(cells, "?")
