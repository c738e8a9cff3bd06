"""Styles looked up once per repaint: asking the style sheet for every cell costs more than drawing it."""

from __future__ import annotations

from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class Painted(Widget):
    """A widget that draws line by line in its own style (`base`) and those of its component classes (`part`).

    To be named after `ScrollView`: a widget inherits the style sheet of its first base only.
    """

    _base: Style | None = None
    _parts: dict[str, Style] | None = None

    def render_lines(self, crop: Region) -> list[Strip]:
        """Begin a repaint: theme, focus or hover may have changed since the last one."""
        self._base, self._parts = None, None
        return super().render_lines(crop)

    @property
    def base(self) -> Style:
        """The widget's own style."""
        if self._base is None:
            self._base = self.rich_style
        return self._base

    def part(self, name: str) -> Style:
        """What a component class adds to the style it stands in; nothing for no name."""
        if not name:
            return Style.null()
        if self._parts is None:
            self._parts = {}
        style = self._parts.get(name)
        if style is None:
            style = self._parts[name] = self.get_component_rich_style(name, partial=True)
        return style
