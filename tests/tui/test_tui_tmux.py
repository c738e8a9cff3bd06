"""Once for real: the program in a terminal, keys typed, the screen read, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


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
