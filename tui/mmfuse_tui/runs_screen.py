"""The main screen: all runs above, the selected one below."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input, Static

from mmfuse.errors import MmfuseError
from mmfuse_runs.records import RunRecord
from mmfuse_tui.chart_grid import ChartGrid
from mmfuse_tui.clean import clean
from mmfuse_tui.control import Control
from mmfuse_tui.deck import Deck
from mmfuse_tui.deeds import Deeds
from mmfuse_tui.feed import Feed
from mmfuse_tui.key_bar import KeyBar
from mmfuse_tui.log_view import LogView
from mmfuse_tui.mark_table import MarkTable
from mmfuse_tui.panels import load_panels
from mmfuse_tui.runs_pane import RunsPane
from mmfuse_tui.snapshot import RunSnapshot, StoreSnapshot
from mmfuse_tui.status_bar import StatusBar
from mmfuse_tui.table import Table
from mmfuse_tui.verbs import Name, is_possible
from mmfuse_tui.view_memory import LEAST_SHARE, MOST_SHARE, ViewMemory
from mmfuse_tui.welcome import welcome

if TYPE_CHECKING:  # screens beside this one are loaded when they are opened: the first paint waits for none of them
    from mmfuse_tui.launch_form import Form

TICK_SECONDS = 1.0
"""How often ages and times left are looked at."""
STEP_SHARE, USUAL_SHARE = 10, 40
"""Percent of the height by which the table grows or shrinks, and what it has when nobody asked for another share."""


class RunsScreen(Screen[None]):
    """Table of runs, filter line, panels; everything it shows comes from the feed."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-medium"), (170, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-normal"), (48, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "ask('stop')", "Stop", tooltip="Ask the run to stop at a safe point", id="run.stop"),
        Binding("x", "ask('kill')", "Kill", tooltip="End the run's processes at once", id="run.kill"),
        Binding("p", "pause", "Pause", tooltip="Pause the run, or let a paused one continue", id="run.pause"),
        Binding("r", "ask('resume')", "Resume", tooltip="Start the next attempt of an ended run", id="run.resume"),
        Binding("D,delete", "ask('delete')", "Delete", show=False, tooltip="Delete ended runs", id="run.delete"),
        Binding("t", "edit('tags')", "Tag", show=False, tooltip="Add tags or take them away", id="run.tag"),
        Binding("e", "edit('notes')", "Edit", show=False, tooltip="Change name, tags and notes", id="run.edit"),
        Binding("asterisk", "star", "Star", show=False, tooltip="Star runs, or take the stars away", id="run.star"),
        Binding("y", "copy", "Copy id", show=False, tooltip="Copy the ids of the runs", id="run.copy"),
        Binding("Y", "copy_command", "Copy command", show=False, tooltip="Copy what starts such a run", id="run.again"),
        Binding(
            "u",
            "undo",
            "Undo",
            show=False,
            tooltip="Take back a deletion or an edit",
            id="run.undo",
        ),
        # First in line: what is typed right after the slash must reach the filter, never the verbs of the table; and
        # what is typed right after Enter must reach the table.
        Binding("slash", "filter", "Filter", priority=True, tooltip="Show only some runs", id="runs.filter"),
        Binding(
            "enter",
            "leave_filter",
            "To the table",
            show=False,
            priority=True,
            tooltip="From the filter to the table",
            id="runs.leave-filter",
        ),
        Binding("o", "order", "Sort", show=False, tooltip="Next order of the table", id="runs.order"),
        Binding("O", "reverse", "Reverse", show=False, tooltip="Turn the order round", id="runs.reverse"),
        Binding("b", "group", "Group", show=False, tooltip="Group by dataset, search or tag", id="runs.group"),
        Binding("V", "columns", "Columns", show=False, tooltip="Choose and move columns", id="runs.columns"),
        Binding("c", "compare", "Compare", tooltip="Put the marked runs beside each other", id="runs.compare"),
        Binding("n", "launch", "New", tooltip="Start a run", id="runs.new"),
        Binding("C", "clone", "Clone", show=False, tooltip="Start a run like this one, changed", id="run.clone"),
        Binding("m", "machine", "Machine", show=False, tooltip="CPU, memory, GPUs, the line", id="runs.machine"),
        Binding("enter", "open", "Open", show=False, tooltip="Go to the panels of the run", id="runs.open"),
        Binding(
            "plus,equals_sign", "resize(1)", "Taller", show=False, tooltip="More room for the runs", id="view.taller"
        ),
        Binding("minus", "resize(-1)", "Shorter", show=False, tooltip="More room for the panels", id="view.shorter"),
        Binding("z", "zoom", "Zoom", tooltip="Give the focused part the whole screen, or take it back", id="view.zoom"),
        Binding(
            "escape",
            "back",
            "Back",
            show=False,
            tooltip="Undo zoom, marks, filter; go back to the runs",
            id="view.back",
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

    def __init__(
        self,
        feed: Feed,
        control: Control,
        *,
        home: Path,
        clock: Callable[[], float] = time.time,
        memory: ViewMemory | None = None,
    ) -> None:
        super().__init__()
        self._feed = feed
        self._home = home
        self._clock = clock
        self._memory = memory or ViewMemory()
        self._control = control
        self._deeds = Deeds(self, feed, control)
        self._awaited = ""
        self._problem = ""
        self._pane = RunsPane(feed, clock=clock, id="runs-frame")
        self._table = self._pane.table
        self._deck = Deck(id="deck")
        self._keys_for: object = None

    def compose(self) -> ComposeResult:
        """Status, table with its filter line, panels, keys."""
        yield StatusBar(self._home, id="status")
        yield Static(id="problem", markup=False)
        yield self._pane
        yield self._deck
        yield Static(id="welcome", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """Listen to the feed and begin with what it has already."""
        self._feed.store_changed.subscribe(self, self._show_store)
        self._feed.run_changed.subscribe(self, self._show_run)
        self._feed.answers_changed.subscribe(self, lambda _: self._pane.fill())
        self._feed.sparks_changed.subscribe(self, lambda _: self._table.redraw_if_stale())
        self.set_interval(TICK_SECONDS, lambda: self._table.redraw_if_stale())
        self._table.focus()
        self._pane.remembered(self._memory)
        self._divide(self._memory.share)
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

    @property
    def in_step(self) -> bool:
        """Whether the panels show the run under the cursor; it is read once the cursor stands still."""
        return self.selected is None or self._deck.run_id == self.selected.id

    @property
    def targets(self) -> tuple[RunRecord, ...]:
        """The runs that a key acts on: the marked ones, else the one under the cursor."""
        marked = self._pane.marked
        return marked or ((self.selected,) if self.selected is not None else ())

    @property
    def memory(self) -> ViewMemory:
        """How this screen should look the next time."""
        return self._pane.to_remember(self._memory)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What the curves of the run that is shown measure."""
        return self._curves.metrics

    def show_metric(self, name: str) -> None:
        """Go to the curves of a metric."""
        self._deck.focus_panel("curves")
        self._curves.show_metric(name)

    def filter_by(self, name: str) -> None:
        """Open the filter with a metric that waits for its limit."""
        self._pane.open_filter(f"{name}>")

    def go_to(self, run_id: str) -> None:
        """Put the cursor on a run, lifting the filter if that hides it."""
        if not self._table.select(run_id):
            self._pane.set_filter("")
            self._table.select(run_id)
        self._table.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Actions that make no sense for the runs they would act on are dimmed; a read-only store has none."""
        if action in ("filter", "leave_filter"):
            if action == "filter" and isinstance(self.focused, LogView):
                return False  # the key looks for words in the log
            return isinstance(self.focused, Input) is (action == "leave_filter")
        if action == "ask":
            return self._allows(str(parameters[0]))  # type: ignore[arg-type]
        if action == "pause":
            return self._allows("pause") or self._allows("continue")
        if action in ("edit", "star", "undo", "launch", "clone"):
            return None if self._feed.store.read_only else True
        return True

    def action_ask(self, verb: Name) -> None:
        """Say what the verb will do; do it when confirmed."""
        self._deeds.ask(verb, self.targets)

    def action_pause(self) -> None:
        """Pause, or continue where everything is paused."""
        paused = self.targets and all(str(run.state) == "paused" for run in self.targets)
        self.action_ask("continue" if paused else "pause")

    def action_edit(self, field: str) -> None:
        """Open the dialog for name, tags and notes."""
        self._deeds.edit(self.targets, focus=field)

    def action_star(self) -> None:
        """Star the runs, or take their stars away."""
        self._deeds.star(self.targets)

    def action_undo(self) -> None:
        """Take back the last deletion or change of names, tags, stars or notes."""
        self._deeds.undo()

    def action_filter(self) -> None:
        """Open the filter line."""
        self._pane.open_filter()

    def action_leave_filter(self) -> None:
        """From the filter line to the table."""
        self._pane.leave_filter()

    def action_order(self) -> None:
        """The next order."""
        self._pane.next_order()

    def action_reverse(self) -> None:
        """The same order, turned round."""
        self._pane.turn()

    def action_group(self) -> None:
        """The next grouping."""
        self._pane.next_group()

    @work
    async def action_columns(self) -> None:
        """Choose columns."""
        from mmfuse_tui.column_dialog import ColumnsScreen

        chosen = await self.app.push_screen_wait(ColumnsScreen(self._pane.column_names, self._pane.shown_columns))
        if chosen is not None:
            self._pane.show_columns(chosen)

    def action_compare(self) -> None:
        """The marked runs beside each other."""
        from mmfuse_tui.compare_screen import MOST_COMPARED

        runs = self._pane.marked
        if len(runs) < 2:
            self.notify("Mark two runs or more with space, then compare them.", severity="warning", markup=False)
            return
        if len(runs) > MOST_COMPARED:
            self.notify(f"the first {MOST_COMPARED} of {len(runs)} marked runs are compared", markup=False)
        self.app.push_screen(self.comparison_of([run.id for run in runs[:MOST_COMPARED]]))

    def comparison_of(self, run_ids: Sequence[str]) -> Screen[None]:
        """The page that compares these runs."""
        from mmfuse_tui.compare_screen import CompareScreen

        return CompareScreen(self._feed, run_ids)

    def action_machine(self) -> None:
        """What the machine is busy with."""
        from mmfuse_tui.machine_screen import MachineScreen

        self.app.push_screen(MachineScreen(self._feed, self._control, home=self._home))

    def action_launch(self) -> None:
        """A form for a new run."""
        from mmfuse_tui.launch_form import Form

        selected = self.selected
        self._launch(Form(source=selected.id if selected is not None else ""), title="New run")

    def action_copy(self) -> None:
        """The ids, for the command line."""
        if self.targets:
            self._copy(" ".join(run.id for run in self.targets))

    @work
    async def action_copy_command(self) -> None:
        """The command that starts a run like the one under the cursor."""
        from mmfuse_runs.specs import command_of

        run = self.selected
        if run is None:
            return
        try:
            self._copy(command_of(await asyncio.to_thread(self._control.spec, run.id)))
        except MmfuseError as error:
            self.notify(clean(error.message), title="Copy", severity="error", markup=False)

    @work
    async def action_clone(self) -> None:
        """A form filled in as the run under the cursor was."""
        from mmfuse_tui.launch_form import form_of

        run = self.selected
        if run is None:
            return
        try:
            spec = await asyncio.to_thread(self._control.spec, run.id)
            form = form_of(spec, name=run.name, tags=" ".join(run.tags), device=run.device or "auto")
        except MmfuseError as error:
            self.notify(clean(error.message), title="Clone", severity="error", markup=False)
        else:
            self._launch(form, title=f"Clone of {clean(run.label)}")

    @work
    async def _launch(self, form: Form, *, title: str) -> None:
        from mmfuse_tui.launch_screen import LaunchScreen

        started = await self.app.push_screen_wait(LaunchScreen(form, self._control, title=title))
        if started is not None:
            self.app.notify(f"started {started}", markup=False)
            self._awaited = started
            self._feed.refresh()

    def action_open(self) -> None:
        """From the table to the panels."""
        if self.selected is not None:
            self._deck.focus_panel()

    def action_panel(self, number: int) -> None:
        """A panel by its number."""
        if self.selected is not None:
            self.remove_class("-zoom-runs")
            self._deck.bring(number, of=self.selected.id)

    def action_resize(self, by: int) -> None:
        """Give the table more or less of the height."""
        share = (self._memory.share or USUAL_SHARE) + by * STEP_SHARE
        self._divide(min(MOST_SHARE, max(LEAST_SHARE, share)))
        self.post_message(RunsPane.ViewChanged())

    def action_zoom(self) -> None:
        """All room for the part that has the focus, or the usual division again."""
        if self.has_class("-zoom-runs") or self.has_class("-zoom-panel"):
            self.remove_class("-zoom-runs", "-zoom-panel")
        else:
            self.add_class("-zoom-runs" if self._on_table else "-zoom-panel")

    def action_back(self) -> None:
        """One step back: zoom, then marks, then the filter, then to the table."""
        if self.has_class("-zoom-runs") or self.has_class("-zoom-panel"):
            self.remove_class("-zoom-runs", "-zoom-panel")
        elif self._on_table and self._table.marks:
            self._table.set_marks(())
        elif self._on_table or isinstance(self.focused, Input):
            self._pane.close_filter()
        self._table.focus()

    @on(Table.Moved, "#runs")
    def _cursor_moved(self, event: Table.Moved) -> None:
        self._feed.watch(event.key)
        self.set_class(event.key is None, "-empty")
        self._refresh_keys()

    @on(Table.Scrolled, "#runs")
    def _rows_scrolled(self) -> None:
        self._feed.show(run.id for run in self._table.on_screen)

    @on(MarkTable.Marked)
    def _marked(self) -> None:
        self._refresh_keys()

    def _show_store(self, snapshot: StoreSnapshot) -> None:
        self.query_one(StatusBar).show(snapshot)
        if snapshot.problem != self._problem:  # an update lays the whole screen out again, even one to the same words
            self._problem = snapshot.problem
            problem = self.query_one("#problem", Static)
            problem.update(Text(clean(snapshot.problem)))
            problem.set_class(bool(snapshot.problem), "-open")
        self._pane.fill()
        self.set_class(not self._table.rows, "-empty")
        self._welcome(snapshot)
        if self._awaited in snapshot.by_id:
            self.go_to(self._awaited)
            self._awaited = ""
        self._refresh_keys()

    def _welcome(self, snapshot: StoreSnapshot) -> None:
        """A home without runs says how to come to one, in the room that the panels leave."""
        is_fresh = snapshot.loaded and not snapshot.runs and not snapshot.problem
        if is_fresh is not self.has_class("-fresh"):
            self.query_one("#welcome", Static).update(welcome(read_only=snapshot.read_only))
            self.set_class(is_fresh, "-fresh")

    def _show_run(self, snapshot: RunSnapshot) -> None:
        selected = self.selected
        if selected is not None and snapshot.id == selected.id:
            self._deck.show_run(snapshot)

    def _copy(self, text: str) -> None:
        """To the clipboard of the user's own machine: the terminal is asked to (OSC 52), even through ssh."""
        self.app.copy_to_clipboard(text)
        self.notify(text, title="Copied", markup=False)

    def _refresh_keys(self) -> None:
        """Dim and light the keys when what they act on changed: this redraws the footer, which is not cheap."""
        now = (self._feed.store.read_only, frozenset((str(run.state), run.damaged) for run in self.targets))
        if now != self._keys_for:
            self._keys_for = now
            self.refresh_bindings()

    @property
    def _curves(self) -> ChartGrid:
        return self._deck.query_one(ChartGrid)

    @property
    def _on_table(self) -> bool:
        """Whether keys go to the table. (A widget's own ``has_focus`` lags a message behind.)"""
        return self.focused is self._table

    def _divide(self, share: int) -> None:
        """Give the table ``share`` percent of the height; 0: as the style sheet says."""
        self._memory = replace(self._memory, share=share)
        if share:
            self._pane.styles.height = f"{share}fr"
            self._deck.styles.height = f"{100 - share}fr"

    def _allows(self, verb: Name) -> bool | None:
        """True, or None: shown dimmed."""
        possible = any(is_possible(verb, run) for run in self.targets)
        return True if possible and not self._feed.store.read_only else None
