"""How the dashboard behaves towards its terminal and a store that others write: measured and pressed for real."""

from __future__ import annotations

import base64
import csv
import fcntl
import math
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator

import pytest

from mmfuse.spec import resolve_search
from mmfuse_runs.specs import command_of
from mmfuse_runs.store import RunStore
from mmfuse_tui.app import Dashboard
from mmfuse_tui.attention import call_for
from mmfuse_tui.chart_grid import ChartGrid
from mmfuse_tui.curves import ChartData, make_curve
from mmfuse_tui.launch_screen import LaunchScreen
from mmfuse_tui.runs_screen import RunsScreen
from mmfuse_tui.saving import HEADINGS, as_csv
from mmfuse_tui.snapshot import Notice
from mmfuse_tui.view_memory import load_view

PATIENCE_SECONDS = 30


class Tty:
    """The dashboard on a pseudo-terminal whose bytes are counted and kept."""

    def __init__(self, home, *options: str, columns: int = 120, rows: int = 36) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        command = [sys.executable, "-m", "mmfuse_tui", str(home.path), *options]
        environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": ""}
        for size in ("COLUMNS", "LINES"):  # which runners of tests set, and which go before the terminal's own
            environment.pop(size, None)
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.seen = b""

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._ours, keys.encode())

    def wait_for(self, *words: str) -> None:
        """Until all these were written; fails when they never are."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(word.encode() in self.seen for word in words):
            assert time.monotonic() < deadline and self.read(0.1) is not None, (
                f"never saw {words}: {self.seen[-2000:]!r}"
            )

    def quiet(self) -> None:
        """Until nothing was written for a moment."""
        while self.read(0.3):
            pass

    def read(self, seconds: float) -> int | None:
        """Bytes written by the time ``seconds`` have passed without any, at most a piece; None once it has ended."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return 0
        try:
            piece = os.read(self._ours, 65536)
        except OSError:
            return None
        self.seen += piece
        return len(piece)

    def count(self, seconds: float) -> int:
        """Bytes written during that time."""
        before, deadline = len(self.seen), time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.read(left)
        return len(self.seen) - before

    def end(self) -> None:
        """End it if it did not by itself."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)


@pytest.fixture
def tty() -> Iterator[Callable[..., Tty]]:
    """Opens dashboards and ends them."""
    opened: list[Tty] = []

    def open_tty(home, *options: str) -> Tty:
        opened.append(Tty(home, *options))
        return opened[-1]

    yield open_tty
    for each in opened:
        each.end()


def test_a_dashboard_in_which_nothing_changes_writes_next_to_nothing(home, furnished, tty):
    screen = tty(home)
    screen.wait_for("guided", "hello from the worker")
    screen.quiet()

    written = screen.count(1.0)

    assert written < 3_000  # nothing, or one time that has become a minute longer


def test_eight_live_runs_leave_room_on_a_slow_line(home, furnished, tty):
    runs = [home.add("running", kind="train", subject="m2_mixer", name=f"live {nth}", age=9000) for nth in range(8)]
    for run in runs:
        home.metrics(run, [(0, {"train/loss": 1.0})])
    screen = tty(home)
    screen.wait_for("live 7")
    screen.quiet()

    written, steps = 0, 10
    for step in range(1, steps + 1):
        for run in runs:
            home.metrics(run, [(step, {"train/loss": 1 / step, "val/accuracy": step / 30})])
            home.progress(run, step, 30, "epoch", started=home.now)
        written += screen.count(0.1)

    assert 0 < written / steps < 12_000  # less than a paint of the whole screen for news of eight runs


def test_the_end_of_a_run_rings_and_notifies_unless_silenced(home, furnished, tty):
    screen = tty(home)
    screen.wait_for("guided", "hello from the worker")
    screen.quiet()

    home.set_state(furnished["guided"], "finished")
    screen.wait_for("\x1b]9;mmfuse run finished: guided", "\x1b\\\a")

    screen.press("B")
    screen.wait_for("silent")
    screen.quiet()
    screen.seen = b""
    home.set_state(furnished["m2 now"], "crashed")
    screen.wait_for("✗ 2 crashed")
    screen.quiet()
    screen.press("q")
    while screen.read(PATIENCE_SECONDS) is not None:
        pass

    assert b"\x1b]9;" not in screen.seen and screen.process.wait(PATIENCE_SECONDS) == 0
    assert load_view(home.path).rings is False


def test_a_name_cannot_act_through_the_notice():
    call = call_for(Notice("Run crashed", "evil\a\x1b]52;c;aGk=\a\x1b[2J name\x9c" + "x" * 500))

    inside = call.removeprefix("\x1b]9;").removesuffix("\x1b\\\a")
    assert inside.isprintable() and len(inside) <= 120 and "evil" in inside


def test_y_copies_ids_and_the_command_through_the_terminal(home, furnished, tty):
    spec = resolve_search("mixmas", "toy", preset="small", settings=["repeats=4"], seed=3)
    home.write(furnished["guided"] / "config.json", spec.model_dump(mode="json"))
    screen = tty(home)
    screen.wait_for("guided", "hello from the worker")

    for key, text in {"y": furnished["guided"].name, "Y": command_of(spec)}.items():
        screen.press(key)
        screen.wait_for(f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a")


def test_exported_charts_hold_every_value_as_it_was_measured():
    whole = make_curve("train/loss", [0, 1, 2], [1.5, float("nan"), 0.25], times=[10.0, 20.0, 30.5])
    other = make_curve("val/loss", [1.5], [2.0])

    rows = list(csv.reader(as_csv((ChartData("loss", (whole, other)),)).splitlines()))

    assert rows == [
        list(HEADINGS),
        ["loss", "train/loss", "0", "1.5", "10.0", "3"],
        ["loss", "train/loss", "1", "nan", "20.0", "3"],
        ["loss", "train/loss", "2", "0.25", "30.5", "3"],
        ["loss", "val/loss", "1.5", "2.0", "", "1"],
    ]


async def test_e_saves_the_charts_in_the_current_folder(
    home, furnished, dashboard, settle, screen_text, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    app = dashboard()

    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot, lambda: "score by trial" in screen_text(app))
        await pilot.press("1", "e")
        await settle(pilot, lambda: list(tmp_path.glob("mmfuse-*.csv")))

    [path] = tmp_path.glob("mmfuse-*.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    measured = [float(row["value"]) for row in rows if row["metric"] == "trial"]
    assert measured == [0.5 + 0.37 * math.sin(1 + number / 7) for number in range(10)]


async def test_a_home_that_vanishes_is_told_and_comes_back(home, furnished, dashboard, settle, screen_text):
    app = dashboard()

    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot, lambda: "guided" in screen_text(app))
        home.path.rename(home.path.with_name("elsewhere"))
        await settle(pilot, lambda: "is not there" in screen_text(app))
        for key in ("1", "j", "3", "m", "escape", "k", "z", "z"):
            await pilot.press(key)
        home.path.with_name("elsewhere").rename(home.path)
        await settle(pilot, lambda: "is not there" not in screen_text(app) and "guided" in screen_text(app))

        assert isinstance(app.screen, RunsScreen)


async def test_a_home_that_was_never_made_welcomes_and_starts_runs(tmp_path, control, settle, screen_text):
    home = tmp_path / "none" / "yet"
    app = Dashboard(RunStore(home), control=control)

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: "Three ways to a first run" in screen_text(app))
        assert "is not there" not in screen_text(app) and "read-only" not in screen_text(app)
        assert "mmfuse search mixmas --dataset avmnist  in a shell; it shows up here" in screen_text(app)
        await pilot.press("n")
        await settle(pilot, lambda: isinstance(app.screen, LaunchScreen))

    assert not home.exists()


async def test_a_home_of_others_without_runs_offers_no_form(tmp_path, settle, screen_text):
    app = Dashboard(RunStore(tmp_path / "none", read_only=True), read_only=True)

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: "Two ways to a first run" in screen_text(app))


async def test_ten_processes_writing_at_once_neither_stop_nor_confuse_the_dashboard(
    home, furnished, dashboard, settle, screen_text
):
    writer = """
import sys
from mmfuse_runs.store import RunStore
store = RunStore(sys.argv[1])
for step in range(15):
    store.set_meta(sys.argv[2], name=f"{sys.argv[3]} {step}", tags=[str(step)])
store.close()
"""
    runs = [home.add("finished", name=f"writer {nth}", score=0.5, age=nth) for nth in range(10)]
    app = dashboard()

    async with app.run_test(size=(120, 50)) as pilot:
        await settle(pilot, lambda: "writer 9" in screen_text(app))
        command = [sys.executable, "-c", writer, str(home.path)]
        writers = [subprocess.Popen([*command, run.name, f"writer {nth}"]) for nth, run in enumerate(runs)]
        await settle(pilot, lambda: all(writer.poll() is not None for writer in writers))
        await settle(pilot, lambda: all(f"writer {nth} 14" in screen_text(app) for nth in range(10)))

        assert [writer.returncode for writer in writers] == [0] * 10
        assert not app.feed.store.problem and len(app.feed.store.runs) == 17


async def test_every_size_in_a_row_keeps_the_run_and_the_focus(home, furnished, dashboard, settle, screen_text):
    app = dashboard()

    async with app.run_test(size=(250, 70)) as pilot:
        await settle(pilot, lambda: "score by trial" in screen_text(app))
        await pilot.press("j", "1")
        for columns, rows in ((80, 24), (20, 5), (200, 50), (1, 1), (81, 24), (250, 70)):
            await pilot.resize_terminal(columns, rows)
            lines = screen_text(app).split("\n")
            assert len(lines) == rows
        await settle(pilot, lambda: "accuracy" in screen_text(app))

        assert app.screen.selected.name == "m2 now" and isinstance(app.focused, ChartGrid)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_ctrl_z_gives_the_terminal_back_and_fg_the_dashboard(home, terminal):
    home.add("finished", name="nothing-changes-here", score=0.5)
    shell = terminal(["bash", "--norc", "--noprofile", "-i"], ESCDELAY="20", PS1="ready$ ")
    shell.wait_for("$")
    shell.press(f"{sys.executable} -m mmfuse_tui {home.path}", "Enter")
    shell.wait_for("newest first")

    shell.press("C-z")
    shell.wait_until(lambda text: "Stopped" in text and "newest first" not in text, "the shell")
    time.sleep(1.2)  # longer than ages stay as they are: what is drawn below is drawn for fg
    shell.press("fg", "Enter")
    shell.wait_until(
        lambda text: all(
            words in text for words in ("mmfuse", "✓ 1 finished", "nothing-changes", "newest first", "q Quit")
        ),
        "all of the screen",
    )
    shell.resize(100, 30)
    shell.wait_until(lambda text: len(text.splitlines()) == 30 and "q Quit" in text.splitlines()[-1], "the new size")
    shell.press("q")
    shell.wait_until(lambda text: text.rstrip().endswith("ready$"), "the shell again")


async def test_coming_back_from_the_shell_asks_for_the_whole_screen(home, dashboard, settle, monkeypatch):
    home.add("finished", score=0.5)
    app = dashboard()

    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot, lambda: app.feed.store.loaded)
        asked = []
        monkeypatch.setattr(app, "refresh", lambda **how: asked.append(how))
        app.app_resume_signal.publish(app)
        await settle(pilot, lambda: {"layout": True} in asked)
