"""How long work on data is going to take, told to whoever asked for it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with the work done and the total, in any one unit; ``what`` names the present activity.

    `Reporter.progress` is one.
    """

    def __call__(self, done: float, total: float, *, what: str) -> None:
        """``done`` of ``total`` units are finished."""


def silent(done: float, total: float, *, what: str) -> None:
    """Tell nobody."""
