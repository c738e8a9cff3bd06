"""Words for the terminal around the dashboard, which may be out of sight: something happened, come and look."""

from __future__ import annotations

from mmfuse_tui.clean import clean
from mmfuse_tui.snapshot import Notice

BELL = "\a"
LONGEST = 120
"""Characters of a notice: desktops show a line or two."""


def call_for(notice: Notice) -> str:
    """The sequence that makes a terminal notify its user (OSC 9, of iTerm2), then the bell for those that cannot.

    Names and reasons of runs come from outside: neither a bell nor an escape in them may end the sequence or begin one.
    """
    words = clean(f"mmfuse {notice.title.lower()}: {notice.message}")[:LONGEST]
    return f"\x1b]9;{words}\x1b\\{BELL}"
