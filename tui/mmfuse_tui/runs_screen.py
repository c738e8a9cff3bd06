"""The main screen: all runs above, the selected one below."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.markup import escape
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from mmfuse.errors import BadSpec, MmfuseError
from mmfuse_runs.records import RunRecord
from mmfuse_tui.bindings import Group, help_rows
from mmfuse_tui.board import BoardView
from mmfuse_tui.chart_grid import ChartGrid
from mmfuse_tui.clean import clean
from mmfuse_tui.deck import Deck
from mmfuse_tui.dialogs import ConfirmScreen, HelpScreen
from mmfuse_tui.feed import Feed
from mmfuse_tui.log_view import LogView
from mmfuse_tui.panels import load_panels
from mmfuse_tui.query import Query, parse_query
from mmfuse_tui.run_columns import ORDERS, Order, order_of, run_columns
from mmfuse_tui.snapshot import RunSnapshot, StoreSnapshot
from mmfuse_tui.status_bar import StatusBar
from mmfuse_tui.table import Table
from mmfuse_tui.verbs import Control, Name, is_possible, plan, why_not

NO_RUNS = "no runs yet: mmfuse search mixmas --dataset avmnist"
FRAME_LINES, LEAST_LINES = 4, 7
"""Lines of the table's frame beside its rows (border, headings, one blank), and the least it has."""
TICK_SECONDS = 1.0
"""How often ages and times left are looked at."""


class RunsScreen(Screen[None]):
    """Table of runs, filter line, panels; everything it shows comes from the feed."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-medium"), (170, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-normal"), (48, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "ask('stop')", "Stop", tooltip="Ask the run to stop at a safe point", id="run.stop"),
        Binding("x", "ask('kill')", "Kill", tooltip="End the run's processes at once", id="run.kill"),
        Binding("p", "pause", "Pause", tooltip="Pause the run, or let a paused one continue", id="run.pause"),
        Binding("r", "ask('resume')", "Resume", tooltip="Start the next attempt of an ended run", id="run.resume"),
        # First in line: what is typed right after the slash must reach the filter, never the verbs of the table.
        Binding("slash", "filter", "Filter", priority=True, tooltip="Show only some runs", id="runs.filter"),
        Binding("o", "order", "Sort", tooltip="Next order of the table", id="runs.order"),
        Binding("O", "reverse", "Reverse", show=False, tooltip="Turn the order round", id="runs.reverse"),
        Binding("enter", "open", "Open", show=False, tooltip="Go to the panels of the run", id="runs.open"),
        Binding("z", "zoom", "Zoom", tooltip="Give the focused part the whole screen, or take it back", id="view.zoom"),
        Binding(
            "escape", "back", "Back", show=False, tooltip="Undo zoom and filter, go back to the runs", id="view.back"
        ),
        *(
            Binding(
                str(panel.order),
                f"panel({panel.order})",
                panel.title,
                show=False,
                tooltip=f"Go to {panel.title.lower()}",
                id=f"view.panel-{panel.name}",
            )
            for panel in load_panels()
        ),
    ]

    def __init__(self, feed: Feed, control: Control, *, home: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._feed = feed
        self._control = control
        self._home = home
        self._clock = clock
        self._filter = Query()
        self._order: Order = ORDERS[0]
        self._reversed = False
        self._keys_for: object = None

    def compose(self) -> ComposeResult:
        """Status, table with its filter line, panels, keys."""
        yield StatusBar(self._home, id="status")
        yield Static(id="problem", markup=False)
        with Container(id="runs-frame"):
            columns = run_columns(self._clock, self._feed.sparks)
            yield Table(columns, key=lambda run: run.id, empty="reading the store …", id="runs")
            with Horizontal(id="filter-line"):
                yield Static("/", id="filter-mark")
                yield Input(
                    placeholder="words  kind:search  state:running  tag:x  val/accuracy>0.7  age<2d", id="filter"
                )
                yield Static(id="filter-says", markup=False)
        yield Deck(id="deck")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Listen to the feed and begin with what it has already."""
        self._feed.store_changed.subscribe(self, self._show_store)
        self._feed.run_changed.subscribe(self, self._show_run)
        self._feed.sparks_changed.subscribe(self, lambda _: self._table.redraw_if_stale())
        self.set_interval(TICK_SECONDS, lambda: self._table.redraw_if_stale())
        self._table.focus()
        if self._feed.store.loaded:
            self._show_store(self._feed.store)

    @property
    def store(self) -> StoreSnapshot:
        """The listing as last read."""
        return self._feed.store

    @property
    def selected(self) -> RunRecord | None:
        """The run under the cursor."""
        return self._table.selected

    def go_to(self, run_id: str) -> None:
        """Put the cursor on a run, lifting the filter if that hides it."""
        if not self._table.select(run_id):
            self._set_filter("")
            self._table.select(run_id)
        self._table.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Actions senseless for the selected run are dimmed; a read-only store has none; text keeps its slash."""
        if action == "filter":
            return not isinstance(self.focused, Input)
        if action == "ask":
            return self._allows(str(parameters[0]))  # type: ignore[arg-type]
        if action == "pause":
            return self._allows("pause") or self._allows("continue")
        return True

    def action_ask(self, verb: Name) -> None:
        """Say what the verb will do; do it when confirmed."""
        run = self.selected
        if run is None or not is_possible(verb, run):
            self.notify(why_not(verb, run), severity="warning", markup=False)
            return
        self._confirm(verb, run)

    def action_pause(self) -> None:
        """Pause, or continue what is paused."""
        run = self.selected
        self.action_ask("continue" if run is not None and str(run.state) == "paused" else "pause")

    def action_filter(self) -> None:
        """Open the filter line; it has the focus on return, not a message later as with ``focus()``."""
        self.query_one("#filter-line").add_class("-open")
        self.set_focus(self.query_one("#filter", Input))

    def action_order(self) -> None:
        """The next order."""
        self._sort(ORDERS[(ORDERS.index(self._order) + 1) % len(ORDERS)])

    def action_reverse(self) -> None:
        """The same order, turned round."""
        self._sort(self._order, turned=not self._reversed)

    def action_open(self) -> None:
        """From the table to the panels."""
        if self.selected is not None:
            self._deck.focus_panel()

    def action_panel(self, number: int) -> None:
        """A panel by its number."""
        if self.selected is not None:
            self.remove_class("-zoom-runs")
            self._deck.bring(number)

    def action_zoom(self) -> None:
        """All room for the part that has the focus, or the usual division again."""
        if self.has_class("-zoom-runs") or self.has_class("-zoom-panel"):
            self.remove_class("-zoom-runs", "-zoom-panel")
        else:
            self.add_class("-zoom-runs" if self._table.has_focus else "-zoom-panel")

    def action_back(self) -> None:
        """One step back: zoom, then the filter, then to the table."""
        if self.has_class("-zoom-runs") or self.has_class("-zoom-panel"):
            self.remove_class("-zoom-runs", "-zoom-panel")
        elif self._table.has_focus or self.query_one("#filter", Input).has_focus:
            self._set_filter("")
            self.query_one("#filter-line").remove_class("-open")
        self._table.focus()

    def help_groups(self) -> list[Group]:
        """The keys of this screen and of everything on it."""
        app = self.app
        return [
            ("Runs", help_rows(app, self.BINDINGS)),
            ("In a table", help_rows(app, Table.BINDINGS)),
            ("In the curves", help_rows(app, ChartGrid.BINDINGS)),
            ("In the log", help_rows(app, LogView.BINDINGS)),
            ("In search, surrogate and architecture", help_rows(app, BoardView.BINDINGS)),
            (
                "Filter",
                [
                    ("words", "anywhere in id, name, dataset, architecture, tags, notes"),
                    ("kind: state: tag: dataset: model:", "a field; several values with commas"),
                    ("val/accuracy>0.7  params<1e6  age<2d", "a number"),
                    ("-tag:old", "not that"),
                ],
            ),
        ]

    @on(Table.Moved, "#runs")
    def _cursor_moved(self, event: Table.Moved) -> None:
        self._feed.watch(event.key)
        self.set_class(event.key is None, "-empty")
        self._refresh_keys()

    @on(Table.Scrolled)
    def _rows_scrolled(self, event: Table.Scrolled) -> None:
        if event.table is self._table:
            self._feed.show(run.id for run in self._table.on_screen)

    @on(Table.HeadPressed)
    def _head_pressed(self, event: Table.HeadPressed) -> None:
        order = order_of(event.column)
        if event.table is self._table and order is not None:
            self._sort(order, turned=order is self._order and not self._reversed)

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self._apply_filter(event.value)

    @on(Input.Submitted, "#filter")
    def _filter_submitted(self) -> None:
        if not self._filter.text:
            self.query_one("#filter-line").remove_class("-open")
        self._table.focus()

    @property
    def _table(self) -> Table[RunRecord]:
        return self.query_one("#runs", Table)

    @property
    def _deck(self) -> Deck:
        return self.query_one(Deck)

    def _show_store(self, snapshot: StoreSnapshot) -> None:
        self.query_one(StatusBar).show(snapshot)
        problem = self.query_one("#problem", Static)
        problem.update(Text(clean(snapshot.problem)))
        problem.set_class(bool(snapshot.problem), "-open")
        self._fill_table()

    def _show_run(self, snapshot: RunSnapshot) -> None:
        selected = self.selected
        if selected is not None and snapshot.id == selected.id:
            self._deck.show_run(snapshot)

    def _fill_table(self) -> None:
        """Filter and sort what the store holds now."""
        now, all_runs = self._clock(), self._feed.store.runs
        shown = [run for run in all_runs if self._filter.matches(run, now=now)]
        ordered = self._order.apply(shown, reverse=self._reversed)
        empty = "no run fits the filter" if all_runs else NO_RUNS
        with self.app.batch_update():
            self._table.sorted_by = self._order.column
            self._table.descending = self._order.descending is not self._reversed
            self._table.set_rows(ordered, empty=empty)
            self.set_class(not ordered, "-empty")
            self._write_titles(len(ordered), len(all_runs))
            self.query_one("#runs-frame").styles.max_height = max(LEAST_LINES, len(all_runs) + FRAME_LINES)
        self._refresh_keys()

    def _refresh_keys(self) -> None:
        """Dim and light the keys when what they act on changed: this redraws the footer, which is not cheap."""
        run = self.selected
        now = (self._feed.store.read_only, None if run is None else (str(run.state), run.damaged))
        if now != self._keys_for:
            self._keys_for = now
            self.refresh_bindings()

    def _write_titles(self, shown: int, total: int) -> None:
        frame = self.query_one("#runs-frame")
        frame.border_title = f"[b]Runs[/] {shown} of {total}" if shown != total else f"[b]Runs[/] {total}"
        words = self._order.words + (", reversed" if self._reversed else "")
        frame.border_subtitle = escape(f"/{self._filter.text} · {words}" if self._filter.text else words)
        if self._filter.text:
            self._say(f"{shown} of {total}")

    def _sort(self, order: Order, *, turned: bool = False) -> None:
        self._order, self._reversed = order, turned
        self._fill_table()

    def _set_filter(self, text: str) -> None:
        self.query_one("#filter", Input).value = text
        self._apply_filter(text)

    def _apply_filter(self, text: str) -> None:
        """Filter as the user types; what does not parse leaves the table as it is and says why."""
        try:
            self._filter = parse_query(text)
        except BadSpec as error:
            self._say(error.message, bad=True)
            return
        self._say("")
        self._fill_table()

    def _say(self, words: str, *, bad: bool = False) -> None:
        says = self.query_one("#filter-says", Static)
        says.update(Text(words))
        says.set_class(bad, "-bad")

    def _allows(self, verb: Name) -> bool | None:
        """True, or None: shown dimmed."""
        run = self.selected
        return True if not self._feed.store.read_only and is_possible(verb, run) else None

    @work
    async def _confirm(self, verb: Name, run: RunRecord) -> None:
        if await self.app.push_screen_wait(ConfirmScreen(plan(verb, run, self._feed.run))):
            self._carry_out(verb, run)

    @work(thread=True, group="control")
    def _carry_out(self, verb: Name, run: RunRecord) -> None:
        """Ask in a thread of its own: the request may wait for a lock."""
        label = clean(run.label)
        try:
            self._control.ask(verb, run.id)
        except MmfuseError as error:
            self.app.notify(
                f"{clean(error.message)}\n{clean(error.hint)}".strip(),
                title=f"{verb.capitalize()} {label}",
                severity="error",
                markup=False,
            )
        else:
            self.app.notify(f"asked {label} to {verb}", markup=False)
        self._feed.refresh()

    def open_help(self, everywhere: list[Group]) -> None:
        """Show every key, those of the app last."""
        self.app.push_screen(HelpScreen([*self.help_groups(), *everywhere]))
