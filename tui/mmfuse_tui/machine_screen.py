"""The machine: what it is busy with, which runs use it, and who stands in line; stop, kill and pause from here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen

from mmfuse.errors import MmfuseError
from mmfuse_runs.folder import RunFolder
from mmfuse_runs.machine import Machine, MachineProbe
from mmfuse_tui.board import Block, BoardView
from mmfuse_tui.control import Control
from mmfuse_tui.deeds import Deeds
from mmfuse_tui.feed import Feed
from mmfuse_tui.key_bar import KeyBar
from mmfuse_tui.literal import titled
from mmfuse_tui.machine_rows import MachineRow, machine_columns, machine_rows, meter_lines
from mmfuse_tui.mark_table import MarkTable
from mmfuse_tui.run_reader import processes_of
from mmfuse_tui.table import Table
from mmfuse_tui.verbs import Name, is_possible

if TYPE_CHECKING:
    from mmfuse_runs.line_order import Where
    from mmfuse_runs.records import RunRecord

LOOK_SECONDS = 1.0
"""Pause between two looks at the machine; a look takes a few milliseconds and is made in a thread of its own."""


class MachineScreen(Screen[None]):
    """Meters above, live runs and the line below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,m", "app.pop_screen", "Back", tooltip="Back to the runs", id="machine.back"),
        Binding("s", "ask('stop')", "Stop", tooltip="Ask the run to stop at a safe point", id="machine.stop"),
        Binding("x", "ask('kill')", "Kill", tooltip="End the run's processes at once", id="machine.kill"),
        Binding("p", "pause", "Pause", tooltip="Pause the run, or let a paused one continue", id="machine.pause"),
        Binding("u", "move('up')", "Up", tooltip="One place nearer to the head of the line", id="machine.up"),
        Binding("d", "move('down')", "Down", tooltip="One place nearer to the end of the line", id="machine.down"),
        Binding("f", "move('first')", "First", tooltip="To the head of the line", id="machine.first"),
        Binding("l", "move('last')", "Last", tooltip="To the end of the line", id="machine.last"),
    ]

    def __init__(self, feed: Feed, control: Control, *, home: Path, probe: MachineProbe | None = None) -> None:
        super().__init__()
        self._feed = feed
        self._home = home
        self._probe = probe or MachineProbe(home)
        self._deeds = Deeds(self, feed, control)
        self._looking = False
        self._seen: tuple[Machine, Mapping[str, int]] | None = None

    def compose(self) -> ComposeResult:
        """Meters, runs, keys."""
        with Container(id="machine-meters", classes="panel") as frame:
            frame.border_title = "[b]Machine[/]"
            yield BoardView(empty="looking at the machine …", id="machine-board")
        with Container(id="machine-runs", classes="panel") as frame:
            frame.border_title = "[b]Live runs[/]"
            yield MarkTable(
                machine_columns(), key=lambda row: row.record.id, empty="no run is live", id="machine-table"
            )
        yield KeyBar()

    def on_mount(self) -> None:
        """Look now and then."""
        self._feed.store_changed.subscribe(self, lambda _: self._show())
        self.set_interval(LOOK_SECONDS, self._look_soon)
        self._look_soon()
        self._table.focus()

    @property
    def targets(self) -> tuple[RunRecord, ...]:
        """The marked runs, else the one under the cursor."""
        table = self._table
        marked = [row.record for row in table.rows if row.record.id in table.marks]
        selected = [table.selected.record] if table.selected is not None else []
        return tuple(marked or selected)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What makes no sense now is dimmed."""
        if action == "ask":
            return self._allows(str(parameters[0]))  # type: ignore[arg-type]
        if action == "pause":
            return self._allows("pause") or self._allows("continue")
        if action == "move":
            return True if self._waiting and not self._feed.store.read_only else None
        return True

    def action_ask(self, verb: Name) -> None:
        """Say what the verb will do; do it when confirmed."""
        self._deeds.ask(verb, self.targets)

    def action_pause(self) -> None:
        """Pause, or continue where everything is paused."""
        paused = self.targets and all(str(run.state) == "paused" for run in self.targets)
        self.action_ask("continue" if paused else "pause")

    def action_move(self, where: Where) -> None:
        """Move those of the runs that wait within the line."""
        if self._waiting:
            self._deeds.move(self._waiting, where, then=self._look_soon)

    @on(Table.Moved)
    @on(MarkTable.Marked)
    def _target_changed(self) -> None:
        self.refresh_bindings()

    @property
    def _waiting(self) -> list[RunRecord]:
        return [run for run in self.targets if run.state == "queued"]

    @property
    def _table(self) -> MarkTable[MachineRow]:
        return self.query_one("#machine-table", MarkTable)

    def _look_soon(self) -> None:
        """In a thread, and never two at once: a driver may take its time to answer."""
        if not self._looking:
            self._looking = True
            self.run_worker(self._look, thread=True, group="machine")

    def _look(self) -> None:
        workers = {run.id: pid for run in self._feed.store.runs if run.live and (pid := self._worker(run.id))}
        machine = self._probe.look(workers)
        self.app.call_from_thread(partial(self._take, machine, workers))

    def _worker(self, run_id: str) -> int | None:
        try:
            return processes_of(RunFolder(self._home / "runs" / run_id).state()).get("worker")
        except MmfuseError:
            return None

    def _take(self, machine: Machine, workers: Mapping[str, int]) -> None:
        self._looking = False
        self._seen = (machine, workers)
        if self.is_attached:
            self._show()

    def _show(self) -> None:
        if self._seen is None:
            return
        machine, workers = self._seen
        rows = machine_rows(self._feed.store.runs, machine, workers)
        with self.app.batch_update():
            meters = self.query_one("#machine-meters")
            meters.styles.height = min(5 + max(1, 2 * len(machine.gpus)), max(6, self.size.height // 2))
            meters.border_title = titled("Machine", machine.host)
            self.query_one(BoardView).set_blocks((Block("", partial(meter_lines, machine)),))
            waiting = sum(row.record.state == "queued" for row in rows)
            self.query_one("#machine-runs").border_title = f"[b]Live runs[/] {len(rows)}, {waiting} in line"
            self._table.set_rows(rows)

    def _allows(self, verb: Name) -> bool | None:
        possible = any(is_possible(verb, run) for run in self.targets)
        return True if possible and not self._feed.store.read_only else None
