"""NaN and the infinities in JSON: written as strings, read back as numbers.

JSON has no spelling for them. orjson writes null, which loses them; the standard library writes a bare ``NaN``, which
other readers refuse. So journals and index spell them ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``; a text that is
exactly one of these reads as the number. Standard library only.
"""

from __future__ import annotations

import math
from typing import Any

_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def spell(value: Any) -> Any:
    """The JSON value with every non-finite number spelled out."""
    if isinstance(value, float):
        return value if math.isfinite(value) else _spelling(value)
    if isinstance(value, dict):
        return {key: spell(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [spell(item) for item in value]
    return value


def unspell(value: Any) -> Any:
    """The JSON value that `spell` was given."""
    if isinstance(value, str):
        return _NUMBERS.get(value, value)
    if isinstance(value, dict):
        return {key: unspell(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unspell(item) for item in value]
    return value


def may_hold_spelling(text: bytes) -> bool:
    """Whether encoded JSON can hold a spelled number: a quick look that saves most rows the walk of `unspell`."""
    return b'"NaN"' in text or b'Infinity"' in text


def _spelling(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
