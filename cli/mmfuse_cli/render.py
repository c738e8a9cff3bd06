"""The one place that writes to the terminal: stdout is data, stderr is narration.

Whatever came from outside (names, notes, log lines, metric names) is cleaned here, so that it can neither move the
cursor nor pass for something else; colours appear only where a terminal shows them and NO_COLOR is not set.
"""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from mmfuse_runs.wellformed import well_formed
from mmfuse_tui.clean import clean, neutralise, strip_ansi

SCHEMA = 1
"""Version of every ``--json`` answer; it grows when a key changes its meaning or goes."""

COLOURS = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}

STATE_COLOURS = {
    "queued": "cyan",
    "starting": "cyan",
    "running": "blue",
    "paused": "yellow",
    "stopping": "yellow",
    "finished": "green",
    "stopped": "yellow",
    "killed": "magenta",
    "crashed": "red",
    "lost": "red",
    "cancelled": "dim",
}


def out(text: str) -> None:
    """Write a line of data to stdout; line breaks in ``text`` stay, every other control character goes."""
    print(safe_lines(text), file=sys.stdout)


def write_data(text: str) -> None:
    """Write a whole document to stdout, as it is but for control characters."""
    print(safe_lines(text), end="", file=sys.stdout)


def say(text: str) -> None:
    """Tell something on stderr."""
    print(safe_lines(text), file=sys.stderr, flush=True)


def redraw(line: str) -> None:
    """Write ``line`` over the present line of stderr."""
    print(f"\r{neutralise(line)}", end="", file=sys.stderr, flush=True)


def error(message: str, hint: str = "") -> None:
    """Tell what went wrong and, if known, what to type next."""
    prefix = paint("error:", "red", sys.stderr)
    print(f"{prefix} {clean(message)}", file=sys.stderr)
    if hint:
        print(f"{paint('hint:', 'cyan', sys.stderr)}  {clean(hint)}", file=sys.stderr)


def copy(text: str) -> bool:
    """Put ``text`` on the clipboard of the terminal that stderr is (OSC 52, also over ssh); False where it is none."""
    if not sys.stderr.isatty():
        return False
    print(f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a", end="", file=sys.stderr, flush=True)
    return True


def warn(message: str) -> None:
    """A line on stderr about something that may mislead."""
    print(f"{paint('note:', 'yellow', sys.stderr)} {clean(message)}", file=sys.stderr)


def out_painted(lines: list[str]) -> None:
    """Write lines whose cells were cleaned and painted by `mmfuse_cli.table` to stdout."""
    print("\n".join(lines), file=sys.stdout)


def out_json(answer: Mapping[str, Any]) -> None:
    """Write ``answer`` as JSON, its schema version first; numbers JSON does not know are spelled as in journals."""
    text = json.dumps({"schema": SCHEMA, **spelled(answer)}, indent=2, ensure_ascii=False)
    print(well_formed(text), file=sys.stdout)


def out_json_line(answer: Mapping[str, Any]) -> None:
    """Write ``answer`` as one line of JSON, at once: somebody reads along."""
    text = json.dumps({"schema": SCHEMA, **spelled(answer)}, ensure_ascii=False)
    print(well_formed(text), file=sys.stdout, flush=True)


def spelled(value: Any) -> Any:
    """``value`` in plain JSON types; NaN and infinities become the strings that journals use for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {str(key): spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [spelled(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def safe_lines(text: str) -> str:
    """``text`` with its line breaks, and nothing else that acts on a terminal."""
    return "\n".join(neutralise(line) for line in strip_ansi(text).split("\n"))


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """``text`` in ``colour`` where ``stream`` (stdout unless told) shows colours; ``text`` must be clean already."""
    if not colour or not colourful(sys.stdout if stream is None else stream):
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def colourful(stream: TextIO) -> bool:
    """Whether colours are wanted on ``stream``."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Columns of the terminal (or of ``COLUMNS``); 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns
