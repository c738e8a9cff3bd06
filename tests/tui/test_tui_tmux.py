"""Once for real: the program in a terminal, keys typed, the screen read, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Terminal:
    """One program in a tmux server of its own, 80 by 24."""

    def __init__(self, socket: Path, command: list[str]) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        environment = os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        new = [
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            "sh",
            "-c",
            '"$@"; echo left with $?; sleep 120',
            "sh",
            *command,
        ]
        subprocess.run([*self._tmux, *new], check=True, env=environment)

    def press(self, *keys: str) -> None:
        """Type keys, in tmux's names."""
        subprocess.run([*self._tmux, "send-keys", *keys], check=True)

    def text(self) -> str:
        """What stands on the screen."""
        return subprocess.run([*self._tmux, "capture-pane", "-p"], check=True, capture_output=True, text=True).stdout

    def wait_for(self, words: str) -> str:
        """The screen once it shows the words; fails when it never does."""
        return self.wait_until(lambda text: words in text, repr(words))

    def wait_until(self, fits: Callable[[str], bool], what: str) -> str:
        """The screen once it fits; fails when it never does."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            text = self.text()
            if fits(text):
                return text
            time.sleep(0.05)
        raise AssertionError(f"never saw {what}; the screen shows:\n{self.text()}")

    def end(self) -> None:
        """End the tmux server."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[[list[str]], Terminal]]:
    """Opens terminals and ends them."""
    opened: list[Terminal] = []

    def open_terminal(command: list[str]) -> Terminal:
        opened.append(Terminal(tmp_path / "tmux.socket", command))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.end()


def test_the_dashboard_lives_in_a_real_terminal_and_quits_cleanly(home, trial, terminal):
    search = home.add("running", name="small search", progress=(2, 23, "encoder/image"))
    home.add("finished", name="first try", score=0.81, age=9000)
    home.trials(search, [trial(0, score=0.6), trial(1, score=0.7)])
    home.log(search, "hello from the worker\n")
    state = (search / "state.json").read_bytes()

    screen = terminal([sys.executable, "-m", "mmfuse_tui", str(home.path)])
    first = screen.wait_for("by trial")
    screen.press("x")
    asked = screen.wait_for("SIGKILL")
    screen.press("n")
    screen.wait_for("newest first")
    screen.press("3")
    screen.wait_for("hello from the worker")
    screen.press("z")
    screen.wait_until(lambda text: "newest first" not in text, "the log alone")
    screen.press("Escape")  # seen to work before the next key: with one right behind it, it reads as Alt
    screen.wait_for("newest first")
    screen.press("/", "f", "i", "r", "s", "t")  # in one go, as a quick hand or a paste does; s and r are verbs too
    screen.wait_until(lambda text: "1 of 2" in text and "/first ·" in text, "the filter, all of it")
    # That Enter has left the line cannot be read off the screen; that Escape has lifted the filter can.
    screen.press("Enter")
    screen.press("Escape")
    screen.wait_until(lambda text: "/first" not in text, "all runs again")
    screen.press("q")
    screen.wait_for("left with 0")

    assert "● running" in first and "✓ finished" in first and "0.8100" in first
    assert f"process {os.getpid()}" in asked
    assert (search / "state.json").read_bytes() == state
