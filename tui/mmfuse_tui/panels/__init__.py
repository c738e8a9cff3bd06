"""Panels about one run: a panel is one file here, found by its name.

A panel file declares ``TITLE``, ``PLACE`` (``main``, ``side`` or ``wing``: the column it goes to where there is room),
``ORDER`` (its number and digit key), ``applies(run)`` (whether it has anything to show of a run), ``build()`` (its
widget) and ``show(widget, run)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from textual.widget import Widget

from mmfuse.registry import Registry
from mmfuse_tui.snapshot import RunSnapshot

Place = Literal["main", "side", "wing"]

PANELS = Registry("panel", "mmfuse_tui.panels", ("TITLE", "PLACE", "ORDER", "applies", "build", "show"))


@dataclass(frozen=True)
class Panel:
    """What a panel file declares; ``show`` takes the widget that ``build`` made."""

    name: str
    title: str
    place: Place
    order: int
    applies: Callable[[RunSnapshot], bool]
    build: Callable[[], Widget]
    show: Callable[[Any, RunSnapshot], None]


def load_panels() -> tuple[Panel, ...]:
    """All panels, in their order."""
    modules = {name: PANELS.get(name) for name in PANELS.names()}
    panels = [
        Panel(name, file.TITLE, file.PLACE, file.ORDER, file.applies, file.build, file.show)
        for name, file in modules.items()
    ]
    return tuple(sorted(panels, key=lambda panel: (panel.order, panel.name)))
