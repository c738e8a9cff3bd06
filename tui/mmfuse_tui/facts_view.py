"""A pane of titled rows: names left, values wrapped right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from mmfuse_tui.clean import fit, wrap
from mmfuse_tui.facts import Section
from mmfuse_tui.painted import Painted

Line = tuple[tuple[str, str], ...]


class FactsView(ScrollView, Painted, can_focus=True):
    """Sections of a run's details."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"facts--title", "facts--name", "facts--problem"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_down", "Down", show=False, id="facts.down"),
        Binding("up,k", "scroll_up", "Up", show=False, id="facts.up"),
        Binding("home,g", "scroll_home", "First line", show=False, id="facts.first"),
        Binding("end,G", "scroll_end", "Last line", show=False, id="facts.last"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._sections: tuple[Section, ...] = ()
        self._problems: tuple[str, ...] = ()
        self._lines: list[Line] = []

    def set_facts(self, sections: tuple[Section, ...], problems: tuple[str, ...] = ()) -> None:
        """Show these sections, under sentences about what could not be read."""
        if (sections, problems) != (self._sections, self._problems):
            self._sections, self._problems = sections, problems
            self._arrange()

    def on_resize(self) -> None:
        """Values wrap anew."""
        self._arrange()

    def render_line(self, y: int) -> Strip:
        """One line from the scroll position on."""
        index, base = self.scroll_offset.y + y, self.base
        line = self._lines[index] if index < len(self._lines) else ()
        segments = [Segment(text, base + self.part(part) if part else base) for text, part in line]
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _arrange(self) -> None:
        width = max(20, self.scrollable_content_region.width)
        self._lines = [*_problem_lines(self._problems, width), *_section_lines(self._sections, width)]
        self.virtual_size = Size(0, len(self._lines))
        self.refresh()


def _problem_lines(problems: tuple[str, ...], width: int) -> Iterator[Line]:
    for problem in problems:
        for nth, line in enumerate(wrap(problem, width - 2)):
            yield ((("  " if nth else "! ") + line, "facts--problem"),)
    if problems:
        yield ()


def _section_lines(sections: Iterable[Section], width: int) -> Iterator[Line]:
    for nth, section in enumerate(sections):
        if nth:
            yield ()
        yield ((section.title, "facts--title"),)
        name_width = min(max(len(name) for name, _ in section.rows), max(10, width // 2))
        for name, value in section.rows:
            for row, line in enumerate(wrap(value, width - name_width - 4)):
                yield (("  " + fit("" if row else name, name_width) + "  ", "facts--name"), (line, ""))
