"""A log pane: lines drawn as they are needed, following the end until the reader scrolls up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from mmfuse_tui.clean import clean
from mmfuse_tui.log_excerpt import Excerpt, Hidden, first_excerpt
from mmfuse_tui.painted import Painted

_SEVERE = re.compile(r"\b(?:error|critical|fatal|traceback|exception|killed)\b|^\s*\w+Error:", re.IGNORECASE)
SEVERE_WORDS = ("error", "critical", "fatal", "traceback", "exception", "killed")
_WARNING = re.compile(r"\bwarn(?:ing)?\b", re.IGNORECASE)


class LogView(ScrollView, Painted, can_focus=True):
    """Clean lines; ``follow`` keeps the last one in view."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--severe",
        "log--warning",
        "log--rule",
        "log--found",
        "log--here",
        "cell--dim",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_down", "Down", show=False, id="log.down"),
        Binding("up,k", "scroll_up", "Up", show=False, id="log.up"),
        Binding("home,g", "scroll_home", "First line", show=False, id="log.first"),
        Binding("end,G", "scroll_end", "Last line", show=False, id="log.last"),
        Binding("right,l", "pan(0.5)", "Right", show=False, tooltip="The rest of long lines", id="log.right"),
        Binding("left,h", "pan(-0.5)", "Left", show=False, tooltip="The beginning of long lines", id="log.left"),
        Binding("slash", "search", "Search", show=False, tooltip="Look for words", id="log.search"),
        Binding("n", "next_match(1)", "Next match", show=False, tooltip="The next line with them", id="log.next"),
        Binding("N", "next_match(-1)", "Match before", show=False, tooltip="The line before", id="log.previous"),
        Binding(
            "e", "next_error(1)", "Next error", show=False, tooltip="The first error, then the next", id="log.error"
        ),
        Binding("f", "toggle_follow", "Follow the end", show=False, id="log.follow"),
    ]

    follow: reactive[bool] = reactive(True)

    def __init__(self, *, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: tuple[str, ...] = ()
        self._empty = empty
        self._sought = ""
        self._here: int | None = None
        self._of = ""
        self._tail: tuple[str, ...] = ()
        self._hidden: Hidden | None = None
        self._excerpt: Excerpt | None = None

    @property
    def here(self) -> int | None:
        """Index of the line that a search or the key for errors went to last."""
        return self._here

    @property
    def lines(self) -> tuple[str, ...]:
        """What is shown."""
        return self._lines

    def set_lines(self, lines: tuple[str, ...], *, hidden: Hidden | None = None, of: str = "") -> None:
        """Show these lines of run ``of``, clean already; ``hidden`` is what stands above them.

        Somebody who looks at an earlier part of the log goes on looking at that; another run's is shown at its end.
        """
        if of != self._of:
            self._of, self._excerpt, self._here = of, None, None
            self.follow = True
            self._say("")
        self._tail, self._hidden = lines, hidden
        if self._excerpt is None:
            self._show(lines)

    def _show(self, lines: tuple[str, ...]) -> None:
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
        style = base + self.part(part) if part else base
        if index == self._here:
            style += self.part("log--here")
        found = style + self.part("log--found")
        strip = Strip([Segment(text, found if is_match else style) for text, is_match in _pieces(line, self._sought)])
        return strip.crop(offset.x, offset.x + width).adjust_cell_length(width, base)

    def watch_follow(self, follow: bool) -> None:
        """Catch up."""
        if follow:
            self._to_end()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling up stops following; coming back to the end starts it again."""
        super().watch_scroll_y(old_value, new_value)
        if self.is_vertical_scroll_end:
            self.follow = self._excerpt is None
        elif new_value < old_value:
            self.follow = False

    def on_resize(self) -> None:
        """Stay at the end."""
        if self.follow:
            self._to_end()

    def action_toggle_follow(self) -> None:
        """Follow the end, or stay here; what is looked for next begins at the top again."""
        self._to_tail()
        self.follow, self._here = not self.follow, None

    def action_pan(self, share: float) -> None:
        """Show another part of long lines."""
        self.scroll_to(x=self.scroll_offset.x + int(share * self.size.width), animate=False, force=True)

    @work
    async def action_search(self) -> None:
        """Ask what to look for, and go to the first line with it from here on."""
        sought = await self.app.push_screen_wait(SearchLine(self._sought))
        if sought is not None:
            self.search(sought)

    def search(self, sought: str) -> None:
        """Mark the words wherever they stand, and go to the first line with them that is on the screen or below."""
        top = self.scroll_offset.y
        self._sought, self._here = sought, top - 1 if top and self._hidden is None else None
        self.action_next_match(1)

    def action_next_match(self, by: int) -> None:
        """Go to the next line with the words, or the one before; round at the ends."""
        sought = self._sought
        if sought:
            self._go(lambda line: bool(_places(line, sought)), by, f"/{sought}", words=(sought,))
        else:
            self._here = None
            self._say("")
            self.refresh()

    def action_next_error(self, by: int) -> None:
        """Go to the first line that sounds like an error, then to the next one; round at the end."""
        self._go(lambda line: bool(_SEVERE.search(line)), by, "errors", words=SEVERE_WORDS)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without words to look for the key goes to the screen behind, which starts runs with it."""
        return bool(self._sought) if action == "next_match" else True

    def _go(self, is_hit: Callable[[str], bool], by: int, what: str, *, words: tuple[str, ...]) -> None:
        """To the next hit; what is not shown of a large log comes before what is."""
        hits = [index for index, line in enumerate(self._lines) if is_hit(line)]
        here = -1 if self._here is None else self._here
        ahead = [index for index in hits if index > here] if by > 0 else [index for index in hits if index < here][::-1]
        is_start = self._here is None and self._excerpt is None
        if self._hidden is not None and by > 0 and (is_start or not ahead):
            self._say(f"looking for {what} …")
            start = self._excerpt.next if self._excerpt is not None else 0
            self._look(self._hidden, words, is_hit, start, what)
            return
        target = next(iter(ahead or hits[:: 1 if by > 0 else -1]), None)
        self._arrive(target)
        place = f"{hits.index(target) + 1} of {len(hits)} {what}" if target is not None else f"no {what} here"
        self._say(place if self._hidden is None else f"{place}, in this part")

    @work(thread=True, exclusive=True, group="log-search")
    def _look(
        self, hidden: Hidden, words: tuple[str, ...], is_hit: Callable[[str], bool], start: int, what: str
    ) -> None:
        """Through the part of the file that is not shown; runs in a thread, since it may be a gigabyte."""
        try:
            found = first_excerpt(hidden, words, is_hit, start=start)
        except OSError:  # the run was deleted meanwhile
            found = None
        self.app.call_from_thread(self._looked, found, is_hit, what)

    def _looked(self, found: Excerpt | None, is_hit: Callable[[str], bool], what: str) -> None:
        """Show what was found above; where there is nothing more, go on in what is shown at the end of the log."""
        if found is not None:
            self.follow = False
            self._excerpt = found
            self._show(found.lines)
            self._arrive(found.here)
            self._say(f"{what}, far above; f goes to the end")
            return
        self._to_tail()
        hits = [index for index, line in enumerate(self._lines) if is_hit(line)]
        self._arrive(next(iter(hits), None))
        self._say(f"1 of {len(hits)} {what}, in this part" if hits else f"no {what} in all of the log")

    def _arrive(self, target: int | None) -> None:
        """Mark the line and bring it into view."""
        self._here = target
        if target is not None:
            self.follow = False
            left, _ = next(iter(_places(self._lines[target], self._sought)), (0, 0))
            x = self.scroll_offset.x if left < self.size.width else left - self.size.width // 2
            self.scroll_to(x=x, y=max(0, target - self.size.height // 3), animate=False, force=True, immediate=True)
        self.refresh()

    def _to_tail(self) -> None:
        if self._excerpt is not None:
            self._excerpt, self._here = None, None
            self._show(self._tail)

    def _say(self, words: str) -> None:
        """In the frame below."""
        if isinstance(self.parent, Widget):
            self.parent.border_subtitle = Content(clean(words))

    def _to_end(self) -> None:
        """Once the new lines have their place, unless the reader scrolled up meanwhile."""
        self.call_after_refresh(self._to_end_now)

    def _to_end_now(self) -> None:
        if self.follow:
            self.scroll_end(animate=False, immediate=True, x_axis=False)


class SearchLine(ModalScreen[str | None]):
    """One line over the lower edge: what to look for; empty for nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Leave", id="search.leave")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The line."""
        with Horizontal(id="search-line"):
            yield Static("/", id="search-mark")
            yield Input(self._text, placeholder="words in the log", id="search-text")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer."""
        self.dismiss(event.value)


def _places(line: str, sought: str) -> list[tuple[int, int]]:
    """Where the words begin and end; capitals count only where they are asked for."""
    if not sought:
        return []
    flags = re.IGNORECASE if sought == sought.lower() else re.NOFLAG
    return [match.span() for match in re.finditer(re.escape(sought), line, flags)]


def _pieces(line: str, sought: str) -> Iterator[tuple[str, bool]]:
    """The line in pieces, and which of them are the words."""
    shown = 0
    for start, end in _places(line, sought):
        yield line[shown:start], False
        yield line[start:end], True
        shown = end
    yield line[shown:], False


def _part_of(line: str) -> str:
    if line.startswith("── "):
        return "log--rule"
    if _SEVERE.search(line):
        return "log--severe"
    return "log--warning" if _WARNING.search(line) else ""
