"""The dashboard's application: screens, keys that work everywhere, notices."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import constants
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.timer import Timer

from mmfuse_runs.store import RunStore
from mmfuse_tui.attention import call_for
from mmfuse_tui.chart_grid import ChartGrid
from mmfuse_tui.clean import clean
from mmfuse_tui.control import Control, StoreControl
from mmfuse_tui.dialogs import HelpScreen
from mmfuse_tui.feed import Feed
from mmfuse_tui.key_map import key_file, load_key_map
from mmfuse_tui.palette import MetricsProvider, RunsProvider, actions_of
from mmfuse_tui.reader import AnswersRead, ComparisonRead, RunRead, SparksRead, Store, StoreRead
from mmfuse_tui.runs_screen import RunsScreen
from mmfuse_tui.saving import as_csv, save
from mmfuse_tui.seven_bit import ascii_driver, asks_for_ascii
from mmfuse_tui.snapshot import notices
from mmfuse_tui.themes import DARK, FALLBACKS, THEMES
from mmfuse_tui.view_memory import ViewMemory, load_view, save_view

SWITCH_SECONDS = 0.0005
"""How long the reader may keep the interpreter while a key waits: a frame asks for it several times, and Python's usual
5 ms would be paid each time."""
COLLECT_AFTER = (10_000, 10, 1_000)
"""Objects after which Python looks for cycles, and how seldom among the old ones: these are thousands of runs that
stay, and walking through them holds up a key for longer than everything else."""
MEMORY_SECONDS = 0.5
"""Pause after a change of the view before it is written down."""
PROBLEM_SECONDS = 15.0
"""How long a mistake in the user's keys is shown."""
SERVER_SECONDS = 1.0
"""How often a dashboard in a browser looks whether its server is still there."""


LONGEST_TOAST, LONGEST_TITLE = 300, 60
"""Characters of a toast: beyond these it would cover what it tells about."""


class Dashboard(App[None]):
    """Look at the runs of one home, and press."""

    TITLE = "mmfuse"
    CSS_PATH = "dashboard.tcss"
    COMMANDS = App.COMMANDS | {RunsProvider, MetricsProvider}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+p",
            "command_palette",
            "Palette",
            show=False,
            priority=True,
            tooltip="Every action, run and metric by name",
            id="app.palette",
        ),
        Binding("question_mark", "help", "Help", tooltip="Every key", id="app.help"),
        Binding("q", "quit", "Quit", tooltip="Leave the dashboard; runs go on", id="app.quit"),
        Binding("S", "screenshot", "Screenshot", show=False, tooltip="Save the screen as SVG", id="app.screenshot"),
        Binding("E", "save_text", "Save text", show=False, tooltip="Save the screen as plain text", id="app.text"),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, tooltip="To the shell; fg returns", id="app.shell"),
        Binding("B", "ring", "Bell", show=False, tooltip="Ring when a run ends, or not", id="app.bell"),
    ]

    def __init__(
        self,
        store: Store,
        *,
        control: Control | None = None,
        clock: Callable[[], float] = time.time,
        read_only: bool = False,
    ) -> None:
        super().__init__()
        self._store = store
        self._control = control or StoreControl(store.home)
        self._clock = clock
        self._memory_timer: Timer | None = None
        self.feed = Feed(self, store, read_only=read_only)
        for theme in THEMES:
            self.register_theme(theme)
        self._memory = self._saved = load_view(store.home)
        self._rings = self._memory.rings
        self.theme = self._memory.theme if self._memory.theme in self.available_themes else DARK.name

    def get_driver_class(self) -> type[Driver]:
        """That of the terminal; one that writes ASCII where nothing else can be shown. (A browser brings its own.)"""
        driver = super().get_driver_class()
        return ascii_driver(driver) if constants.DRIVER is None and asks_for_ascii() else driver

    def get_default_screen(self) -> Screen[None]:
        """The runs."""
        return RunsScreen(self.feed, self._control, home=self._store.home, clock=self._clock, memory=self._memory)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our variables under themes that do not define them."""
        return FALLBACKS

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every action that is possible now, then Textual's own."""
        for title, words, node, action in actions_of(self, screen):
            yield SystemCommand(title, words, self._runner(node, action))
        yield from (command for command in super().get_system_commands(screen) if command.title == "Theme")

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """A toast: the one door for words that come from outside, so they are made harmless and short here."""
        lines = [clean(line) for line in message[:LONGEST_TOAST].split("\n")]
        words = "\n".join(lines) + ("…" if len(message) > LONGEST_TOAST else "")
        super().notify(words, title=clean(title[:LONGEST_TITLE]), severity=severity, timeout=timeout, markup=markup)

    def go_to(self, run_id: str) -> None:
        """Put the cursor on a run, whatever screen lies above the table."""
        while len(self.screen_stack) > 1 and not isinstance(self.screen, RunsScreen):
            self.pop_screen()
        if isinstance(self.screen, RunsScreen):
            self.screen.go_to(run_id)

    def on_mount(self) -> None:
        """Start reading once there is something to draw on."""
        self.call_after_refresh(self._take_keys)
        self.feed.start()
        # The terminal is blank when fg comes back, and what has not changed would not be drawn again.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        self.theme_changed_signal.subscribe(self, lambda theme: self._remember_soon(self._memory))
        if self.is_web:
            self.set_interval(SERVER_SECONDS, partial(self._leave_without, os.getppid()))

    def on_unmount(self) -> None:
        """The reader ends with the screen; runs do not notice."""
        self.feed.stop()
        self._save(self._memory)

    def on_store_read(self, message: StoreRead) -> None:
        """Say what ended, then show the listing."""
        for notice in notices(self.feed.store, message.snapshot):
            severity = "error" if notice.failed else "information"
            self.notify(notice.message, title=notice.title, severity=severity, markup=False)  # type: ignore[arg-type]
            if self._rings and self._driver is not None and not self.is_headless:
                self._driver.write(call_for(notice))
        self.feed.take(message)

    def on_run_read(self, message: RunRead) -> None:
        """Show the run."""
        self.feed.take(message)

    def on_comparison_read(self, message: ComparisonRead) -> None:
        """Show the comparison."""
        self.feed.take(message)

    def on_answers_read(self, message: AnswersRead) -> None:
        """Filter again by what was found."""
        self.feed.take(message)

    def on_sparks_read(self, message: SparksRead) -> None:
        """Show the sparklines."""
        self.feed.take(message)

    def on_runs_pane_view_changed(self) -> None:
        """The user changed how the runs are shown."""
        if isinstance(self.screen, RunsScreen):
            self._remember_soon(self.screen.memory)

    def action_help(self) -> None:
        """Every key."""
        from mmfuse_tui.places import help_groups  # here, because it loads every screen

        groups = help_groups(self, type(self.screen))
        if groups:
            self.push_screen(HelpScreen(groups))

    def action_screenshot(self, filename: str | None = None, path: str | None = None) -> None:
        """Save the screen as SVG."""
        save(self, self.export_screenshot(), "svg", now=self._clock())

    def action_save_text(self) -> None:
        """Save the screen as plain text."""
        lines = [strip.text.rstrip() for strip in self.screen._compositor.render_strips()]
        save(self, "\n".join(lines) + "\n", "txt", now=self._clock())

    def action_ring(self) -> None:
        """Ring and notify when a run ends, or keep silent."""
        self._rings = not self._rings
        self.notify("ends of runs ring" if self._rings else "ends of runs are silent", markup=False)
        self._remember_soon(self._memory)

    def on_chart_grid_exported(self, event: ChartGrid.Exported) -> None:
        """Save the charts as CSV."""
        save(self, as_csv(event.charts), "csv", now=self._clock())

    def _take_keys(self) -> None:
        """Give actions the user's keys, once the first frame is drawn: whoever has none waits for nothing."""
        path = key_file()
        key_map = load_key_map(path)
        if key_map.keys:
            self.set_keymap(key_map.keys)
        for problem in key_map.problems:
            self.notify(problem, title=path.name, severity="warning", timeout=PROBLEM_SECONDS, markup=False)

    def _leave_without(self, server: int) -> None:
        """A page's dashboard whose server was killed has nobody to tell it to end."""
        if os.getppid() != server:
            self.exit()

    def _remember_soon(self, memory: ViewMemory) -> None:
        """Write down how the dashboard looks once the user has let go of it."""
        self._memory = replace(memory, theme=self.theme, rings=self._rings)
        if self._memory_timer is not None:
            self._memory_timer.stop()
        self._memory_timer = self.set_timer(MEMORY_SECONDS, self._remember)

    def _remember(self) -> None:
        self.run_worker(partial(self._save, self._memory), thread=True, exclusive=True, group="memory")

    def _save(self, memory: ViewMemory) -> None:
        """Nothing is written that is written already, and nothing at all where only looking was asked for."""
        if memory != self._saved and not self.feed.read_only:
            self._saved = memory
            save_view(self._store.home, memory)

    def _runner(self, node: object, action: str) -> Callable[[], object]:
        async def carry_out() -> None:
            await self.run_action(action, node)  # type: ignore[arg-type]

        return carry_out


def run(home: Path, *, read_only: bool = False) -> None:
    """Show the dashboard of ``home`` until the user quits.

    ``read_only`` changes nothing on disk: not the index, not a run.
    """
    tune_interpreter()
    Dashboard(RunStore(home, read_only=read_only), read_only=read_only).run()


def tune_interpreter() -> None:
    """Let keys be answered at once while a thread reads and thousands of runs lie in memory."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*COLLECT_AFTER)
