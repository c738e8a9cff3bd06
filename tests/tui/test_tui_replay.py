"""A replay is the dashboard itself over files that grow again; it moves by keys, and refuses what reaches for runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmfuse_runs.replay.chosen import recordings_of
from mmfuse_runs.replay.player import Player
from mmfuse_runs.replay.stage import Stage
from mmfuse_tui.board import BoardView
from mmfuse_tui.compare_screen import CompareScreen
from mmfuse_tui.deck import Deck
from mmfuse_tui.replay import REFUSAL, ReplayDashboard, source_of


class Hand:
    """A clock that is moved by hand, in place of one that runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.player: Player | None = None

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds
        assert self.player is not None
        self.player.tick()


@pytest.fixture
def searched(home, trial) -> Path:
    """A search that ended: ten trials, one every minute, two of them in the first attempt, and a log with times."""
    run = home.add("finished", name="played", age=3600.0)
    began = home.now - 3600
    steps = [(0, "queued", 1), (1, "running", 1), (130, "killed", 1), (900, "queued", 2), (901, "running", 2)]
    history = [
        {"state": state, "at": began + at, "attempt": attempt, "reason": ""}
        for at, state, attempt in [*steps, (1500, "finished", 2)]
    ]
    record = json.loads((run / "state.json").read_text())
    home.write(run / "state.json", record | {"attempt": 2, "since": began + 1500, "history": history})
    home.finish(run, 0.95)
    home.write(run / "exit.json", json.loads((run / "exit.json").read_text()) | {"attempt": 2})
    with (run / "events.jsonl").open("w") as file:
        told = {"metric": "val/accuracy", "maximize": True, "label": "avmnist (stand-in)", "fingerprint": "9f3a"}
        note = {"v": 1, "ev": "note", "t": began + 5, "attempt": 1, "message": "dataset", "facts": told}
        file.write(json.dumps(note) + "\n")
        for number in range(10):
            at = 60 * (number + 1) + (0 if number < 2 else 780)
            done = trial(number, block="mlp" if number % 2 else "wave", score=0.5 + number / 100)
            row = {"v": 1, "ev": "trial", "t": began + at, "attempt": 1 + (number > 1), "trial": done.to_json()}
            file.write(json.dumps(row) + "\n")
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(began + 950))
    home.log(run, "first words\n")
    home.log(run, f"{stamp},000 INFO worker: the second\n", attempt=2)
    return run


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def replayed(home, searched, hand) -> Iterator[ReplayDashboard]:
    """The dashboard of the search, played ten times as fast by a clock that is moved by hand."""
    recordings = recordings_of(str(searched), home=home.path)
    with Stage(recordings) as stage:
        hand.player = Player(stage, speed=10, clock=hand)
        yield ReplayDashboard(hand.player, source=source_of(recordings))


def everything_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


async def test_rows_trials_log_and_state_come_in_the_order_of_their_times(
    home, replayed, hand, settle, screen_text, searched
):
    before = everything_of(home.path)

    def shows(*words: str):
        return lambda: all(word in screen_text(replayed) for word in words)

    async with replayed.run_test(size=(120, 40)) as pilot:
        await settle(pilot, shows("○ queued", "played"))
        hand.move(13)  # the first attempt is killed after 130 seconds
        await settle(pilot, shows("killed", "0.5100", "first words"))
        assert "the second" not in screen_text(replayed)
        hand.move(6.4)  # of the pause until the second one ten seconds are left
        await settle(pilot, shows("● running", "the second"))
        assert "0.5200" not in screen_text(replayed)
        hand.move(1000)
        await settle(pilot, shows("✓ finished", "0.9500", "■ REPLAY"))

    assert everything_of(home.path) == before


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["80x24", "200x50"])
async def test_every_screen_says_that_it_is_a_replay_and_where_it_stands(replayed, hand, settle, screen_text, size):
    async with replayed.run_test(size=size) as pilot:
        await settle(pilot, lambda: "played" in screen_text(replayed))
        hand.move(3)
        await settle(
            pilot, lambda: "▶ REPLAY ×10" in screen_text(replayed) and "30s of 12m19s" in screen_text(replayed)
        )
        first, *_, last = screen_text(replayed).splitlines()
        assert "mmfuse REPLAY" in first and "P Play" in last and "> Faster" in last
        assert replayed.title == "mmfuse replay"
        await pilot.press("question_mark")
        await settle(pilot, lambda: "Let the replay stand still" in screen_text(replayed))
        await pilot.press("escape")
        replayed.screen._pane.table.set_marks([run.id for run in replayed.feed.store.runs] + ["another"])
        replayed.push_screen(replayed.screen.comparison_of([run.id for run in replayed.feed.store.runs]))
        await settle(pilot, lambda: isinstance(replayed.screen, CompareScreen) and "▶ REPLAY" in screen_text(replayed))


async def test_keys_pause_hasten_slow_and_seek_and_a_step_back_takes_everything_back(
    replayed, hand, settle, screen_text
):
    async with replayed.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: replayed.screen.query_one(Deck).run_id)
        await pilot.press("greater_than_sign")
        await settle(pilot, lambda: "×20" in screen_text(replayed))
        await pilot.press("less_than_sign", "less_than_sign", "P")
        await settle(pilot, lambda: "‖ REPLAY ×5" in screen_text(replayed))
        hand.move(1000)
        assert hand.player.standing.position == 0
        await pilot.press("right_curly_bracket")
        await settle(pilot, lambda: "5 Search" in screen_text(replayed))
        await pilot.press("5")
        await settle(pilot, lambda: "search 0.59" in screen_text(replayed) and "finished" in screen_text(replayed))
        await pilot.press(*["left_square_bracket"] * 10)
        await settle(pilot, lambda: "search 0.54" in screen_text(replayed) and "● running" in screen_text(replayed))
        await pilot.press("left_curly_bracket", "3")
        await settle(pilot, lambda: "queued" in screen_text(replayed) and "first words" not in screen_text(replayed))
        assert not replayed.screen.query(BoardView).first().is_on_screen


async def test_what_reaches_for_runs_is_refused_in_a_sentence(replayed, hand, settle):
    refused = ["s", "x", "p", "r", "D", "t", "e", "asterisk", "u", "n", "C", "m"]

    async with replayed.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: replayed.screen.query_one(Deck).run_id)
        hand.move(10)
        for nth, key in enumerate(refused, start=1):
            await pilot.press(key)
            await settle(pilot, lambda nth=nth: len(replayed._notifications) == nth)
        assert {notice.message for notice in replayed._notifications} == {REFUSAL}


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_a_replay_in_a_real_terminal_plays_to_its_end_and_leaves_nothing_behind(
    home, searched, terminal, tmp_path, monkeypatch
):
    before = everything_of(home.path)
    (tmp_path / "stages").mkdir()
    command = [sys.executable, "-m", "mmfuse_tui", str(home.path), "--replay", "latest", "--speed", "500"]

    screen = terminal(command, columns=100, rows=30, TMPDIR=str(tmp_path / "stages"))
    screen.wait_for("mmfuse REPLAY")
    screen.press("s")
    screen.wait_for("This is a replay")
    screen.wait_for("✓ finished")
    screen.wait_for("12m19s of 12m19s")
    assert len(list((tmp_path / "stages").iterdir())) == 1
    screen.press("q")
    screen.wait_for("left with 0")

    assert list((tmp_path / "stages").iterdir()) == []
    assert everything_of(home.path) == before


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_a_replay_whose_terminal_is_closed_removes_its_copies(home, searched, terminal, tmp_path):
    stages = tmp_path / "stages"
    stages.mkdir()
    script = 'echo $$ > "$0"; exec "$@"'
    command = [sys.executable, "-m", "mmfuse_tui", str(home.path), "--replay", str(searched)]
    screen = terminal(["sh", "-c", script, str(tmp_path / "pid"), *command], TMPDIR=str(stages))
    screen.wait_for("mmfuse REPLAY")

    os.kill(int((tmp_path / "pid").read_text()), signal.SIGHUP)
    screen.wait_for("left with")

    assert list(stages.iterdir()) == []
