"""The last line: the keys that work now, drawn as one line.

Textual's footer is a widget per key, all of which are made anew whenever one of them is dimmed: more work than the rest
of a key press, and a quarter of the way to the first paint.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import ActiveBinding
from textual.screen import Screen
from textual.strip import Strip

from mmfuse_tui.bindings import in_order
from mmfuse_tui.painted import Painted


class Entry(NamedTuple):
    """One key: what is pressed, how that is written, what it does, and whether it can be done now."""

    key: str
    shown: str
    words: str
    tooltip: str
    enabled: bool


class KeyBar(Painted):
    """Keys and what they do; a click does the same."""

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; background: $panel; color: $footer-description-foreground; }
    KeyBar > .keys--key { color: $footer-key-foreground; text-style: bold; }
    KeyBar > .keys--off { text-style: dim; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"keys--key", "keys--off"}
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._entries: tuple[Entry, ...] = ()

    def on_mount(self) -> None:
        """Hear of every change of what can be done."""
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def render_line(self, y: int) -> Strip:
        """All keys that fit."""
        base = self.base
        segments = []
        for entry in self._entries:
            off = self.part("" if entry.enabled else "keys--off")
            segments += [Segment(entry.shown, base + self.part("keys--key") + off)]
            segments += [Segment(f" {entry.words}", base + off), Segment(" ", base)]
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Say more about the key under the pointer."""
        entry = self._entry_at(event.x)
        self.tooltip = entry.tooltip if entry is not None else None

    def on_click(self, event: events.Click) -> None:
        """Press the key under the pointer."""
        entry = self._entry_at(event.x)
        if entry is not None and entry.enabled:
            self.app.simulate_key(entry.key)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        shown: dict[str, ActiveBinding] = {}
        for active in in_order(screen.active_bindings.values()):
            if active.binding.show:
                shown.setdefault(active.binding.action, active)  # the first key of an action stands for all of them
        entries = tuple(
            Entry(
                active.binding.key,
                self.app.get_key_display(active.binding),
                active.binding.description,
                active.tooltip,
                active.enabled,
            )
            for active in shown.values()
        )
        if entries != self._entries:
            self._entries = entries
            self.refresh()

    def _entry_at(self, x: int) -> Entry | None:
        """The key drawn at a column."""
        ends = [0]
        for entry in self._entries:
            ends.append(ends[-1] + cell_len(f"{entry.shown} {entry.words} "))
        places = zip(self._entries, pairwise(ends), strict=True)
        return next((entry for entry, (left, right) in places if left <= x < right - 1), None)
