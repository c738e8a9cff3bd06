"""Text that UTF-8 can spell: lone surrogates become the replacement character.

Python hands on bytes that are no UTF-8 as lone surrogates (an argument typed as ``$'\\xff'``, a file name), and JSON
may spell them (``"\\ud83d"``). Encoders refuse them, so one such name must not reach what all runs share: index,
journals, the terminal. Files of one run may hold them, escaped. Standard library only.
"""

from __future__ import annotations

import re
from typing import Any

_LONE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """``text`` with every lone surrogate replaced."""
    return text if text.isascii() else _LONE.sub("\N{REPLACEMENT CHARACTER}", text)


def well_formed_json(value: Any) -> Any:
    """The JSON value with every text in it, keys included, well formed."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, dict):
        return {well_formed(key): well_formed_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [well_formed_json(item) for item in value]
    return value
