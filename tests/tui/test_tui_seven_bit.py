"""The dashboard in ASCII: every cell in its place, and told apart what must be."""

from __future__ import annotations

import shutil
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mmfuse_tui.plot import MARKS
from mmfuse_tui.seven_bit import VARIABLE, asks_for_ascii, in_ascii


@given(st.text(st.characters(min_codepoint=0x80)))
def test_any_text_takes_as_many_cells_in_ascii(text):
    assert in_ascii(f"a{text}b").isascii() and len(in_ascii(text)) == cell_len(text)


def test_signs_of_curves_stay_different():
    assert len(set(in_ascii(MARKS))) == len(MARKS)


def test_dots_say_whether_a_curve_is_above_or_below():
    assert in_ascii("⠀⠉⣀⣿⡇") == " '.::"


@pytest.mark.parametrize(
    ("environment", "asked"),
    [({}, False), ({VARIABLE: "1"}, True), ({VARIABLE: "0", "TERM": "linux"}, False), ({"TERM": "linux"}, True)],
)
def test_ascii_is_asked_for_by_the_user_or_by_the_console(monkeypatch, environment, asked):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert asks_for_ascii() is asked


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_a_terminal_that_asks_for_ascii_gets_nothing_else(home, trial, terminal):
    search = home.add("running", name="深度 search", progress=(2, 23, "encoder/image"))
    home.trials(search, [trial(0, score=0.6), trial(1, score=0.7)])

    screen = terminal([sys.executable, "-m", "mmfuse_tui", str(home.path)], MMFUSE_ASCII="1")
    shown = screen.wait_for("by trial")
    screen.press("q")
    screen.wait_for("left with 0")

    assert shown.isascii() and "+- Runs 1 -" in shown and "* running" in shown and "???? search" in shown
