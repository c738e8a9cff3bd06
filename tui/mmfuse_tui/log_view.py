"""A log pane: lines drawn as they are needed, following the end until the reader scrolls up."""

from __future__ import annotations

import re
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from mmfuse_tui.painted import Painted

_SEVERE = re.compile(r"\b(?:error|critical|fatal|traceback|exception|killed)\b|^\s*\w+Error:", re.IGNORECASE)
_WARNING = re.compile(r"\bwarn(?:ing)?\b", re.IGNORECASE)


class LogView(ScrollView, Painted, can_focus=True):
    """Clean lines; ``follow`` keeps the last one in view."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--severe", "log--warning", "log--rule", "cell--dim"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_down", "Down", show=False, id="log.down"),
        Binding("up,k", "scroll_up", "Up", show=False, id="log.up"),
        Binding("home,g", "scroll_home", "First line", show=False, id="log.first"),
        Binding("end,G", "scroll_end", "Last line", show=False, id="log.last"),
        Binding("e", "next_error", "Next error", show=False, id="log.error"),
        Binding("f", "toggle_follow", "Follow the end", show=False, id="log.follow"),
    ]

    follow: reactive[bool] = reactive(True)

    def __init__(self, *, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: tuple[str, ...] = ()
        self._empty = empty

    @property
    def lines(self) -> tuple[str, ...]:
        """What is shown."""
        return self._lines

    def set_lines(self, lines: tuple[str, ...]) -> None:
        """Show these lines; they are free of control characters already."""
        if lines is self._lines or lines == self._lines:
            return
        self._lines = lines
        self.virtual_size = Size(max(map(cell_len, lines), default=0), len(lines))
        if self.follow:
            self._to_end()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line from the scroll position on, coloured by how bad it sounds."""
        offset, width = self.scroll_offset, self.size.width
        index = offset.y + y
        base = self.base
        if index >= len(self._lines):
            text = f"  {self._empty}" if not self._lines and y == 1 else ""
            return Strip([Segment(text, base + self.part("cell--dim"))]).adjust_cell_length(width, base)
        line = self._lines[index]
        part = _part_of(line)
        strip = Strip([Segment(line, base + self.part(part) if part else base)])
        return strip.crop(offset.x, offset.x + width).adjust_cell_length(width, base)

    def watch_follow(self, follow: bool) -> None:
        """Catch up."""
        if follow:
            self._to_end()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling up stops following; coming back to the end starts it again."""
        super().watch_scroll_y(old_value, new_value)
        if self.is_vertical_scroll_end:
            self.follow = True
        elif new_value < old_value:
            self.follow = False

    def on_resize(self) -> None:
        """Stay at the end."""
        if self.follow:
            self._to_end()

    def action_toggle_follow(self) -> None:
        """Follow the end, or stay here."""
        self.follow = not self.follow

    def action_next_error(self) -> None:
        """Go to the next line that sounds like an error, from the top again after the last one."""
        hits = [index for index, line in enumerate(self._lines) if _SEVERE.search(line)]
        if hits:
            self.follow = False
            below = [index for index in hits if index > self.scroll_offset.y]
            self.scroll_to(y=(below or hits)[0], animate=False)

    def _to_end(self) -> None:
        """Once the new lines have their place, unless the reader scrolled up meanwhile."""
        self.call_after_refresh(self._to_end_now)

    def _to_end_now(self) -> None:
        if self.follow:
            self.scroll_end(animate=False, immediate=True, x_axis=False)


def _part_of(line: str) -> str:
    if line.startswith("── "):
        return "log--rule"
    if _SEVERE.search(line):
        return "log--severe"
    return "log--warning" if _WARNING.search(line) else ""
