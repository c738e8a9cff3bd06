"""The panels of the selected run: side by side where there is room, behind each other where there is not."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.geometry import Offset, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

from mmfuse_tui.panels import Panel, load_panels
from mmfuse_tui.snapshot import RunSnapshot
from mmfuse_tui.tiling import Tile, tile


class DeckLayout(Layout):
    """Places every panel at its tile."""

    name = "deck"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        """Textual asks for the regions of the displayed children."""
        assert isinstance(parent, Deck)
        places = {tile.shown: tile for tile in parent.tiles(size)}
        return [_placement(child, places[child.name]) for child in children if child.name in places]


class Deck(Container):
    """All panels that have something to say about the run; digits bring one to the front."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._panels = load_panels()
        self._widgets: dict[str, Widget] = {}
        self._active: list[str] = []
        self._wish: tuple[str, int] | None = None
        self._run = RunSnapshot("")
        self._deck_layout = DeckLayout()

    @property
    def layout(self) -> Layout:
        """Own tiles instead of a layout from the style sheet."""
        return self._deck_layout

    @property
    def panels(self) -> tuple[Panel, ...]:
        """The panels that apply to the run shown."""
        return tuple(panel for panel in self._panels if panel.applies(self._run))

    @property
    def run_id(self) -> str:
        """The run shown; empty before the first."""
        return self._run.id

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the panels in front, left to right."""
        return tuple(tile.shown for tile in self.tiles(self.size))

    def compose(self) -> ComposeResult:
        """One frame per panel."""
        for panel in self._panels:
            widget = panel.build()
            self._widgets[panel.name] = widget
            yield Container(widget, name=panel.name, classes="panel")

    def show_run(self, run: RunSnapshot) -> None:
        """Bring every panel up to date."""
        before = self.panels
        self._run = run
        for panel in self._panels:
            panel.show(self._widgets[panel.name], run)
        if self.panels != before:
            self._rearrange()
        if self._wish is not None and self._wish[0] == run.id:
            self.bring(self._wish[1], of=run.id)

    def bring(self, number: int, *, of: str) -> None:
        """Show the panel of that number in front and focus it; if run ``of`` has it and is not here yet, once it is."""
        panel = next((panel for panel in self.panels if panel.order == number), None)
        self._wish = (of, number) if panel is None and of != self._run.id else None
        if panel is not None:
            self.focus_panel(panel.name)

    def focus_panel(self, name: str | None = None) -> None:
        """Focus a panel, by default the one in front at the left."""
        name = name or next(iter(self.shown), None)
        if name is None:
            return
        self._active = [name, *(other for other in self._active if other != name)]
        self._rearrange()
        self.screen.set_focus(self._widgets[name])  # at once: the next key is for the panel

    def tiles(self, size: Size) -> tuple[Tile, ...]:
        """Where everything goes at this size."""
        named = [(panel.name, panel.place) for panel in self.panels]
        return tile(named, width=size.width, height=size.height, active=self._active) if named else ()

    def on_mount(self) -> None:
        """Titles and places for the first time."""
        self._rearrange()

    def on_resize(self, event: events.Resize) -> None:
        """Another size, another arrangement."""
        self._rearrange()

    def _rearrange(self) -> None:
        """Display the panels in front and write every frame's title."""
        fronts = {tile.shown: tile for tile in self.tiles(self.size)}
        for frame in self.children:
            name = frame.name or ""
            frame.display = name in fronts
            if name in fronts:
                frame.border_title = self._title(fronts[name])
        self.refresh(layout=True)

    def _title(self, tile: Tile) -> str:
        """The panels of a tile with their digits, the front one standing out; the others lose their names for room."""
        members = [panel for panel in self._panels if panel.name in tile.members]
        room = tile.width - 6
        named = sum(len(f"{panel.order} {panel.title}") + 3 for panel in members) - 3 <= room
        words = []
        for panel in members:
            is_front = panel.name == tile.shown
            label = f"{panel.order} {panel.title}" if named or is_front else str(panel.order)
            words.append(f"[b $foreground]{label}[/]" if is_front else f"[$dim]{label}[/]")
        return " [$frame]·[/] ".join(words)


def _placement(widget: Widget, tile: Tile) -> WidgetPlacement:
    return WidgetPlacement(Region(tile.x, tile.y, tile.width, tile.height), Offset(0, 0), Spacing(), widget)
