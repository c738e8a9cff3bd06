"""Progress of work this process does itself, such as building a dataset."""

from __future__ import annotations

import sys
import time

from mmfuse_cli.render import redraw, say
from mmfuse_tui.clean import clean, fit
from mmfuse_tui.wording import span

REDRAW_S = 0.1
"""Seconds between two redraws at a terminal."""


class Meter:
    """One line on stderr: redrawn in place at a terminal, else one line per activity."""

    def __init__(self) -> None:
        self._what = ""
        self._started = self._drawn = 0.0

    def __call__(self, done: float, total: float, *, what: str) -> None:
        """``done`` of ``total`` units of ``what`` are finished."""
        now = time.monotonic()
        if what != self._what:
            self.close()
            self._what, self._started, self._drawn = what, now, 0.0
            if not sys.stderr.isatty():
                say(what)
        if sys.stderr.isatty() and (now - self._drawn >= REDRAW_S or done >= total):
            self._drawn = now
            redraw(fit(self._line(done, total, now), 78))

    def close(self) -> None:
        """End the line, if one was begun."""
        if self._drawn:
            say("")
        self._drawn = 0.0

    def _line(self, done: float, total: float, now: float) -> str:
        share = min(1.0, done / total) if total else 0.0
        left = f"  {span((now - self._started) * (1 - share) / share)} left" if 0.02 < share < 1 else ""
        return f"{100 * share:3.0f}%  {clean(self._what)}{left}"
