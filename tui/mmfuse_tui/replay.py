"""The dashboard of a replay: the same screens over files that grow again, marked as such on every one of them.

The reader, the charts and the panels know nothing of it. What is new is a line that says where the replay stands, the
keys that move it, and a sentence for whoever asks something of a run that ended long ago.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget

from mmfuse_runs.replay.chosen import recordings_of
from mmfuse_runs.replay.player import Player, Standing
from mmfuse_runs.replay.recording import Recording
from mmfuse_runs.replay.stage import Stage, StageStore
from mmfuse_tui import wording
from mmfuse_tui.app import Dashboard, tune_interpreter
from mmfuse_tui.clean import clean, fit
from mmfuse_tui.compare_screen import CompareScreen
from mmfuse_tui.runs_screen import RunsScreen
from mmfuse_tui.status_bar import StatusBar
from mmfuse_tui.verbs import Name

TICK_SECONDS = 0.2
STEP = 0.05
"""Share of the whole that a key moves by."""
REFUSED = frozenset({"ask", "pause", "edit", "star", "undo", "launch", "clone", "machine"})
"""Actions of the screen of runs that would reach for processes or files."""
REFUSAL = "This is a replay: what it shows has ended, and nothing can be asked of it. q leaves; mmfuse tui is live."


class ReplayBar(Widget):
    """One line: that this is a replay, of when, how fast, and how far."""

    DEFAULT_CSS = """
    ReplayBar { height: 1; padding: 0 1; background: $warning-ground; color: $warning; }
    """

    def __init__(self, player: Player) -> None:
        super().__init__()
        self._player = player

    def on_mount(self) -> None:
        """Look again now and then."""
        self.set_interval(TICK_SECONDS, self.refresh)

    def render(self) -> Text:
        """The bar takes what the words leave."""
        stands = self._player.standing
        left, right = _words(stands)
        room = self.size.width - cell_len(left) - cell_len(right) - 2
        share = stands.position / stands.length if stands.length else 1.0
        filled, rest = wording.bar(share, max(0, min(room, 60)))
        return Text(fit(f"{left} {filled}{rest} {right}", self.size.width), no_wrap=True)


class ReplayCompareScreen(CompareScreen):
    """Recorded runs beside each other, as far as they are."""

    def __init__(self, player: Player, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._player = player

    def compose(self) -> ComposeResult:
        """Where the replay stands, then the page."""
        yield ReplayBar(self._player)
        yield from super().compose()


class ReplayScreen(RunsScreen):
    """The runs as they were; nothing can be asked of them."""

    def __init__(self, player: Player, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self._player = player

    def compose(self) -> ComposeResult:
        """Where the replay stands comes right below whose runs these are."""
        status, *rest = super().compose()
        assert isinstance(status, StatusBar)
        status.program = "mmfuse REPLAY"
        yield status
        yield ReplayBar(self._player)
        yield from rest

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """The replay's own first: the line of keys has no room for all, and most of the others are refused."""
        found = super().active_bindings.items()
        return dict(sorted(found, key=lambda item: not (item[1].binding.id or "").startswith("replay.")))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is refused is not dimmed: a dimmed key says nothing, and who presses it wants to know."""
        return True if action in REFUSED else super().check_action(action, parameters)

    def comparison_of(self, run_ids: Sequence[str]) -> CompareScreen:
        """The page that compares these runs."""
        return ReplayCompareScreen(self._player, self._feed, run_ids)

    def action_ask(self, verb: Name) -> None:
        """Refuse."""
        self._refuse()

    def action_pause(self) -> None:
        """Refuse, and say which key pauses the replay."""
        self._refuse()

    def action_edit(self, field: str) -> None:
        """Refuse."""
        self._refuse()

    def action_star(self) -> None:
        """Refuse."""
        self._refuse()

    def action_undo(self) -> None:
        """Refuse."""
        self._refuse()

    def action_launch(self) -> None:
        """Refuse."""
        self._refuse()

    def action_clone(self) -> None:  # type: ignore[override]  # the one it stands for works in the background
        """Refuse."""
        self._refuse()

    def action_machine(self) -> None:
        """Refuse: the machine of today has nothing to do with these runs."""
        self._refuse()

    def _refuse(self) -> None:
        self.notify(REFUSAL, title="Replay", severity="warning", markup=False)


class ReplayDashboard(Dashboard):
    """Look at recorded runs as they happen again."""

    TITLE = "mmfuse replay"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("P", "replay_toggle", "Play", tooltip="Let the replay stand still, or go on", id="replay.toggle"),
        Binding("greater_than_sign", "replay_speed(1)", "Faster", tooltip="Play faster", id="replay.faster"),
        Binding("less_than_sign", "replay_speed(-1)", "Slower", tooltip="Play slower", id="replay.slower"),
        Binding("right_square_bracket", f"replay_seek({STEP})", "On", tooltip="Go on by a 20th", id="replay.on"),
        Binding("left_square_bracket", f"replay_seek({-STEP})", "Back", tooltip="Go back by a 20th", id="replay.back"),
        Binding("right_curly_bracket", "replay_seek(1)", "End", show=False, tooltip="To the end", id="replay.end"),
        Binding("left_curly_bracket", "replay_seek(-1)", "Start", show=False, tooltip="Begin anew", id="replay.start"),
    ]

    def __init__(self, player: Player, *, source: Path) -> None:
        super().__init__(StageStore(player.stage), clock=player.now, read_only=True)
        self._player = player
        self._source = source

    def get_default_screen(self) -> Screen[None]:
        """The runs that are played."""
        return ReplayScreen(self._player, self.feed, self._control, home=self._source, clock=self._clock)

    def on_mount(self) -> None:
        """Play once there is something to be seen."""
        self._player.start()

    def on_unmount(self) -> None:
        """Nothing is written any more."""
        self._player.stop()

    def action_replay_toggle(self) -> None:
        """Stand still, go on, or begin anew."""
        self._move(self._player.toggle)

    def action_replay_speed(self, by: int) -> None:
        """The next speed."""
        self._player.change_speed(by)
        self._redraw_bars()

    def action_replay_seek(self, share: float) -> None:
        """On or back."""
        self._move(partial(self._player.seek, share))

    def _move(self, move: Callable[[], None]) -> None:
        """Move, in a thread: a long run has to be read first, and many files may have to be written."""
        self.run_worker(partial(self._moved, move), thread=True, group="replay")

    def _moved(self, move: Callable[[], None]) -> None:
        before = self._player.standing.position
        move()
        if self._player.standing.position < before:  # what was read of a later time is void
            self.feed.read_anew()
        self.feed.refresh()
        self.call_from_thread(self._redraw_bars)

    def _redraw_bars(self) -> None:
        for bar in self.screen.query(ReplayBar):
            bar.refresh()


def replay(what: str, *, home: Path, speed: float) -> None:
    """Show the dashboard of recorded runs until the user quits; what is played is only read.

    Raises:
        UnknownName, BadSpec, StoreError: as `mmfuse_runs.replay.chosen.recordings_of`.
    """
    recordings = recordings_of(what, home=home)
    tune_interpreter()
    for number in (signal.SIGTERM, signal.SIGHUP):  # a closed window must not leave the copies behind
        signal.signal(number, _leave)
    with Stage(recordings) as stage:
        ReplayDashboard(Player(stage, speed=speed), source=source_of(recordings)).run()


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def source_of(recordings: Sequence[Recording]) -> Path:
    """What is played: the run's folder, or the home of several."""
    first = recordings[0].folder.path
    return first if len(recordings) == 1 else first.parents[1]


def _words(stands: Standing) -> tuple[str, str]:
    """What stands before and behind the bar."""
    if stands.problem:
        return f"! REPLAY stopped: {clean(stands.problem)}", ""
    glyph = "▶" if stands.playing else "■" if stands.position >= stands.length else "‖"
    reached = f"{wording.span(stands.position)} of {wording.span(stands.length)}"
    return f"{glyph} REPLAY ×{stands.speed:g}", f"{reached} · {wording.moment(stands.moment)}"
