"""`mmfuse tui --replay`: what is played how fast, and what cannot be."""

from __future__ import annotations

import shlex

import pytest

from mmfuse_cli import dashboard
from mmfuse_tui import replay
from mmfuse_tui.serve import dashboard_command


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "at_terminal", lambda: True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--speed", "5"], "--speed says how fast --replay plays"),
        (["--replay", "latest", "--speed", "0"], "0 times as fast"),
        (["--replay", "latest", "--speed", "nan"], "nan times as fast"),
        (["--replay", "nowhere"], "no run named 'nowhere'"),
    ],
)
def test_what_cannot_be_replayed_is_told_in_a_sentence(mmfuse, make_run, at_a_terminal, words, says):
    make_run("finished")

    result = mmfuse("tui", *words)

    assert result.exit_code == 2
    assert says in result.stderr


def test_a_run_that_goes_on_is_not_replayed(mmfuse, make_run, at_a_terminal):
    result = mmfuse("tui", "--replay", make_run("running"))

    assert result.exit_code == 2
    assert "still goes on" in result.stderr and "mmfuse tui" in result.stderr


def test_a_run_is_named_as_everywhere_and_played_twenty_times_as_fast_unless_told_otherwise(
    mmfuse, make_run, store, at_a_terminal, monkeypatch
):
    played = []
    monkeypatch.setattr(replay, "replay", lambda what, *, home, speed: played.append((what, home, speed)))
    run_id = make_run("finished", name="first")

    mmfuse("tui", "--replay", "first")
    mmfuse("tui", "--replay", run_id, "--speed", "3")

    assert played == [("first", store.home, 20.0), (run_id, store.home, 3.0)]


def test_a_page_in_a_browser_plays_the_same(store, tmp_path):
    words = shlex.split(dashboard_command(store.home, read_only=True, options=("--replay", "a run", "--speed", "5.0")))

    assert words[-5:] == ["--read-only", "--replay", "a run", "--speed", "5.0"]
    assert words[3] == "mmfuse_tui" and words[4] == str(store.home)
