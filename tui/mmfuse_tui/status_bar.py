"""The first line: whose runs these are and how they are."""

from __future__ import annotations

from pathlib import Path

from rich.cells import cell_len
from rich.text import Text
from textual.widget import Widget

from mmfuse_tui.clean import clean, fit
from mmfuse_tui.snapshot import StoreSnapshot
from mmfuse_tui.states import STATE_STYLES, look_of_state

_ORDER = ("running", "starting", "paused", "stopping", "queued", "finished", "stopped", "killed", "crashed", "lost")


class StatusBar(Widget):
    """Name, home and the number of runs in each state."""

    COMPONENT_CLASSES = {*STATE_STYLES, "cell--dim", "cell--accent"}

    def __init__(self, home: Path, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.program = "mmfuse"
        self._home = home
        self._snapshot = StoreSnapshot(loaded=False)

    def show(self, snapshot: StoreSnapshot) -> None:
        """Count again."""
        self._snapshot = snapshot
        self.refresh()

    def render(self) -> Text:
        """One line that gives up the home's beginning first, then the rarer states."""
        left = Text.assemble((self.program, "bold"), "  ")
        right = self._counts(self.size.width - cell_len(left.plain) - 12)
        room = self.size.width - cell_len(left.plain) - cell_len(right.plain) - 1
        home = _short(self._home, max(0, room))
        dim = self.get_component_rich_style("cell--dim", partial=True)
        left.append(fit(home, max(0, room)) + " ", dim)
        return left.append_text(right)

    def _counts(self, room: int) -> Text:
        counts = self._snapshot.counts
        text = Text()
        if self._snapshot.read_only:
            text.append("read-only", self.get_component_rich_style("cell--accent", partial=True))
        ordered = [*_ORDER, *sorted(counts.keys() - set(_ORDER))]
        for state in (state for state in ordered if counts.get(state)):
            look = look_of_state(state) if state != "damaged" else look_of_state("lost")
            piece = f"{'  ' if text else ''}{look.glyph} {counts[state]} {state}"
            if cell_len(text.plain) + cell_len(piece) > room:
                break
            text.append(piece, self.get_component_rich_style(look.style, partial=True))
        return text


def _short(home: Path, room: int) -> str:
    """The home with ``~`` for the user's folder; its end matters most."""
    path = clean(str(home))
    user = str(Path.home())
    if path == user or path.startswith(user + "/"):
        path = "~" + path[len(user) :]
    return path if cell_len(path) <= room else "…" + path[len(path) - max(0, room - 1) :]
