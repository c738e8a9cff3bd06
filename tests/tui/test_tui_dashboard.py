"""The dashboard as a user meets it: keys pressed on a home full of runs, at the sizes that terminals have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from textual import events
from textual.widgets import Input

from mmfuse.errors import RunBusy
from mmfuse_tui.chart_grid import ChartGrid
from mmfuse_tui.curves import ChartData
from mmfuse_tui.deck import Deck
from mmfuse_tui.dialogs import ConfirmScreen, HelpScreen
from mmfuse_tui.log_view import LogView
from mmfuse_tui.runs_screen import RunsScreen
from mmfuse_tui.snapshot import RunSnapshot
from mmfuse_tui.table import Table

SIZES = [(80, 24), (120, 40), (200, 50), (250, 70), (40, 12)]


def fill(home, trial) -> dict[str, Path]:
    """Four runs: a live search, a live training, a finished and a crashed one (newest first in that order)."""
    crashed = home.add("crashed", kind="train", subject="m2_mixer", name="diverged", age=9000, reason="loss is NaN")
    done = home.add("finished", name="first try", tags=["baseline"], age=8000, score=0.81)
    training = home.add(
        "running", kind="train", subject="m2_mixer", name="m2 small", age=700, progress=(30, 100, "epoch 3")
    )
    search = home.add("running", name="small search", age=100, progress=(2, 23, "encoder/image"))
    home.metrics(training, ((step, {"train/loss": 2 - step / 100, "val/accuracy": step / 120}) for step in range(100)))
    home.metrics(crashed, ((step, {"train/loss": float("nan") if step > 60 else 1.0}) for step in range(80)))
    home.log(training, "epoch 1\nepoch 2\n\x1b[31mWARNING: slow\x1b[0m\n10%\r90%")
    home.trials(search, [trial(0, block="mlp", score=0.61), trial(1, block="wave", score=0.72), trial(2)])
    return {"search": search, "training": training, "done": done, "crashed": crashed}


def runs_of(app) -> Table:
    return app.screen.query_one("#runs", Table)


def shown_run(app) -> str | None:
    return app.screen.query_one(Deck).run_id


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_size_shows_state_name_and_panels(home, trial, dashboard, settle, screen_text, size):
    fill(home, trial)
    app = dashboard()

    async with app.run_test(size=size) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4 and shown_run(app))
        text = screen_text(app)

    assert "● running" in text and "small search" in text
    if size != (40, 12):
        assert "✗ crashed" in text and "1 Curves" in text


async def test_an_empty_home_says_what_to_type(dashboard, settle, screen_text):
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: "mmfuse search mixmas" in screen_text(app))

        assert not app.screen.query_one(Deck).display


async def test_the_cursor_decides_which_run_the_panels_show(home, trial, dashboard, settle, screen_text):
    runs = fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(200, 50)) as pilot:
        await settle(pilot, lambda: shown_run(app) == runs["search"].name)
        assert "2 Trials" in screen_text(app)

        await pilot.press("j")
        await settle(pilot, lambda: shown_run(app) == runs["training"].name)
        text = screen_text(app)

    assert "2 Trials" not in text
    assert "accuracy" in text and "WARNING: slow" in text and "90%" in text and "10%" not in text
    assert "learning" not in text and "fit.epochs" in text


async def test_a_new_number_reaches_the_charts_of_the_selected_run(home, trial, dashboard, settle):
    runs = fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        await pilot.press("j")
        await settle(pilot, lambda: shown_run(app) == runs["training"].name)
        home.metrics(runs["training"], [(100, {"train/loss": 0.001})])
        await settle(pilot, lambda: _last(app.feed.run.charts, "train/loss") == 0.001)


def _last(charts: tuple[ChartData, ...], name: str) -> float:
    return next(float(curve.values[-1]) for chart in charts for curve in chart.curves if curve.name == name)


async def test_a_digit_and_z_in_one_go_zoom_the_panel(home, trial, dashboard, settle, screen_text):
    fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4 and shown_run(app))
        for key in "4z":  # none waits for what the one before it sets off
            app.post_message(events.Key(key, key))
        await settle(pilot, lambda: "newest first" not in screen_text(app))

        assert app.screen.has_class("-zoom-panel") and "4 Details" in screen_text(app)


async def test_the_filter_shows_only_what_fits_and_escape_shows_all_again(home, trial, dashboard, settle):
    fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        await pilot.press("slash", *"kind:train", "enter")
        await settle(pilot, lambda: [run.name for run in runs_of(app).rows] == ["m2 small", "diverged"])
        assert runs_of(app).has_focus

        await pilot.press("escape")
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)


async def test_the_panels_follow_the_cursor_while_a_filter_is_typed(home, trial, dashboard, settle):
    runs = fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: shown_run(app) == runs["search"].name)
        await pilot.press("slash", *"diverged")
        await settle(pilot, lambda: shown_run(app) == runs["crashed"].name)


async def test_enter_in_the_filter_gives_the_very_next_key_to_the_table(home, trial, dashboard, settle):
    fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        await pilot.press("slash", *"small")
        await settle(pilot, lambda: len(runs_of(app).rows) == 2)
        for key in ("enter", "ctrl+a"):  # none waits for what the one before it sets off
            app.post_message(events.Key(key, None))
        await settle(pilot, lambda: len(runs_of(app).marks) == 2)

        assert app.screen.query_one("#filter", Input).value == "small"


async def test_a_filter_that_makes_no_sense_says_why_and_changes_nothing(home, trial, dashboard, settle, screen_text):
    fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        await pilot.press("slash")
        app.screen.query_one("#filter", Input).value = "sate:x"
        await settle(pilot, lambda: "column 1: no field named 'sate'" in screen_text(app))
        assert len(runs_of(app).rows) == 4


async def test_sorting_goes_through_the_orders_and_the_cursor_stays_on_its_run(home, trial, dashboard, settle):
    fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        await pilot.press("j", "o")
        await settle(pilot, lambda: runs_of(app).rows[0].name == "first try")

        assert runs_of(app).selected.name == "m2 small"


@pytest.mark.parametrize(
    ("key", "confirm", "row", "verb"),
    [
        ("s", "y", "training", "stop"),
        ("s", "s", "training", "stop"),
        ("x", "x", "search", "kill"),
        ("p", "enter", "training", "pause"),
        ("r", "y", "crashed", "resume"),
    ],
)
async def test_a_confirmed_key_reaches_the_run(home, trial, dashboard, control, settle, key, confirm, row, verb):
    runs = fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        app.screen.go_to(runs[row].name)
        await pilot.press(key)
        await settle(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press(confirm)
        await settle(pilot, lambda: control.asked)

    assert control.asked == [(verb, runs[row].name)]


async def test_the_kill_dialog_names_the_process_and_is_not_one_enter_away(
    home, trial, dashboard, control, settle, screen_text
):
    runs = fill(home, trial)
    worker = json.loads((runs["search"] / "state.json").read_text())["worker"]["pid"]
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: shown_run(app) == runs["search"].name)
        await pilot.press("x")
        await settle(pilot, lambda: isinstance(app.screen, ConfirmScreen) and "SIGKILL" in screen_text(app))
        text = screen_text(app)
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(app.screen, RunsScreen))

    assert f"process {worker}" in text and "SIGKILL" in text and f"mmfuse runs kill {runs['search'].name}" in text
    assert control.asked == []


async def test_a_key_that_makes_no_sense_opens_no_dialog(home, trial, dashboard, control, settle):
    runs = fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        app.screen.go_to(runs["done"].name)
        await pilot.press("s", "x", "r", "p")
        await pilot.pause()

        assert isinstance(app.screen, RunsScreen)
    assert control.asked == []


async def test_a_refused_request_is_shown_with_its_hint(home, trial, dashboard, control, settle, screen_text):
    fill(home, trial)
    control.error = RunBusy("the run has just ended", "mmfuse runs show latest")
    app = dashboard()

    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        await pilot.press("s", "y")
        await settle(pilot, lambda: "the run has just ended" in screen_text(app))

        assert "mmfuse runs show latest" in screen_text(app)


async def test_a_read_only_dashboard_offers_no_action_and_changes_no_byte(home, trial, dashboard, control, settle):
    fill(home, trial)
    before = _bytes(home.path)
    app = dashboard(read_only=True)

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: shown_run(app))
        await pilot.press("s", "x", "p")
        await pilot.pause()
        assert isinstance(app.screen, RunsScreen)

    assert control.asked == []
    assert _bytes(home.path) == before


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


async def test_a_run_that_ends_is_announced(home, trial, dashboard, settle, screen_text):
    runs = fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        home.finish(runs["training"], 0.777)
        home.set_state(runs["training"], "finished")
        await settle(pilot, lambda: "Run finished" in screen_text(app))

        assert "m2 small · val/accuracy 0.777" in screen_text(app)


async def test_a_damaged_run_is_shown_as_such_and_its_sentence_stands_in_the_details(
    home, trial, dashboard, settle, screen_text
):
    runs = fill(home, trial)
    (runs["done"] / "state.json").write_text("{torn")
    app = dashboard()

    async with app.run_test(size=(200, 50)) as pilot:
        await settle(pilot, lambda: "! damaged" in screen_text(app))
        app.screen.go_to(runs["done"].name)
        await settle(pilot, lambda: "state.json of run" in screen_text(app))


async def test_a_run_folder_that_vanishes_leaves_the_table(home, trial, dashboard, settle):
    runs = fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: shown_run(app) == runs["search"].name)
        shutil.rmtree(runs["search"])
        await settle(pilot, lambda: len(runs_of(app).rows) == 3 and shown_run(app) == runs["training"].name)


async def test_a_home_that_vanishes_is_told_and_comes_back(home, trial, dashboard, settle, screen_text):
    fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        home.path.rename(home.path.with_name("away"))
        await settle(pilot, lambda: "is not there" in screen_text(app))
        home.path.with_name("away").rename(home.path)
        await settle(pilot, lambda: "is not there" not in screen_text(app) and len(runs_of(app).rows) == 4)


async def test_hostile_names_tags_and_logs_cannot_act_on_the_terminal(home, trial, dashboard, settle, screen_text):
    evil = "\x1b[2J[red]x[/red]\x07\u202eabc\x9b31m 深度学习 שלום"
    run = home.add("running", name=evil, tags=["[b]", "\x1b]0;title\x07"], notes=evil, dataset="a\nb")
    home.log(run, "\x1b[2J\x1b]8;;http://x\x07[bold]link\x1b\\\x00\x08 深度 שלום\n" * 5)
    home.trials(run, [trial(0, block="[reverse]\x1b[0m", score=0.5, reason="[/]\x1b")])
    home.metrics(run, [(1, {"val/[blink]\x1b[5m": 0.5})])
    app = dashboard()

    async with app.run_test(size=(250, 70)) as pilot:
        await settle(pilot, lambda: shown_run(app))
        await settle(pilot, lambda: "[bold]link" in screen_text(app))
        text = screen_text(app)

    assert "[red]x[/red]" in text and "深度学习" in text
    assert all(character.isprintable() for character in text.replace("\n", ""))


async def test_help_lists_every_key_of_the_screen(home, trial, dashboard, settle, screen_text):
    fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(120, 200)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        words = [binding.tooltip for binding in app.screen.BINDINGS if binding.tooltip]
        await pilot.press("question_mark")
        await settle(pilot, lambda: isinstance(app.screen, HelpScreen))
        text = screen_text(app)
        await pilot.press("escape")
        await settle(pilot, lambda: isinstance(app.screen, RunsScreen))

    assert words and all(word in text for word in words)
    assert "val/accuracy>0.7" in text


async def test_the_palette_offers_the_same_actions_and_goes_to_runs(home, trial, dashboard, settle):
    runs = fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        titles = {command.title for command in app.get_system_commands(app.screen)}
        await pilot.press("ctrl+p")
        await pilot.press(*"first try")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await settle(pilot, lambda: shown_run(app) == runs["done"].name)

    assert {"Stop", "Kill", "Pause", "Filter", "Sort", "Help", "Quit", "Screenshot"} <= titles
    assert "Resume" not in titles


async def test_the_palette_offers_what_other_parts_can_do_and_every_metric(home, dashboard, settle, screen_text):
    run = home.add("running", kind="train", subject="m2_mixer")
    home.metrics(run, [(step, {"train/loss": 1 / (step + 1), "val/accuracy": step / 9}) for step in range(9)])
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: shown_run(app) == run.name and app.screen.metrics)
        commands = {command.title: command for command in app.get_system_commands(app.screen)}
        assert "(a in curves)" in commands["Smooth in curves"].help and {"Down", "Next error in log"} <= commands.keys()
        await commands["Smooth in curves"].callback()
        assert app.screen.query_one(ChartGrid).view.smoothing and runs_of(app).has_focus
        await pilot.press("ctrl+p", *"chart of val/acc")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(app.focused, ChartGrid))
        await pilot.press("ctrl+p", *"filter by train/loss")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press("5")
        assert app.focused.value == "train/loss>5"


async def test_the_palette_leads_to_a_run_from_any_screen(home, trial, dashboard, settle):
    runs = fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        await pilot.press("m")
        await settle(pilot, lambda: not isinstance(app.screen, RunsScreen))
        await pilot.press("ctrl+p", *"first try")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await settle(pilot, lambda: isinstance(app.screen, RunsScreen) and shown_run(app) == runs["done"].name)


async def test_digits_and_zoom_bring_a_panel_to_the_front(home, trial, dashboard, settle, screen_text):
    fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: shown_run(app))
        await pilot.press("4")
        await settle(pilot, lambda: "Spec" in screen_text(app))
        await pilot.press("z")
        await settle(pilot, lambda: not app.screen.query_one("#runs-frame").display)
        await pilot.press("escape")
        await settle(pilot, lambda: app.screen.query_one("#runs-frame").display and runs_of(app).has_focus)


async def test_tab_goes_round_the_panes(home, trial, dashboard, settle):
    fill(home, trial)
    app = dashboard()

    async with app.run_test(size=(200, 50)) as pilot:
        await settle(pilot, lambda: shown_run(app))
        seen = [type(app.focused).__name__]
        for _ in range(4):
            await pilot.press("tab")
            seen.append(type(app.focused).__name__)

    assert seen == ["MarkTable", "ChartGrid", "Table", "FactsView", "LogView"]


async def test_the_log_follows_its_end_until_somebody_scrolls_up(home, trial, dashboard, settle):
    run = home.add("running", kind="train", subject="m2_mixer")
    home.log(run, "".join(f"line {number}\n" for number in range(200)))
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: shown_run(app))
        log = app.screen.query_one(LogView)
        await settle(pilot, lambda: log.is_vertical_scroll_end and log.scroll_offset.y > 0)
        log.focus()
        await pilot.press("k", "k")
        await settle(pilot, lambda: not log.follow)
        before = log.scroll_offset.y
        home.log(run, "more\n" * 20)
        await settle(pilot, lambda: len(log.lines) == 220)
        assert log.scroll_offset.y == before

        await pilot.press("G")
        await settle(pilot, lambda: log.follow and log.is_vertical_scroll_end)


async def test_a_screenshot_is_an_svg_in_the_current_folder(home, trial, dashboard, settle, tmp_path, monkeypatch):
    fill(home, trial)
    monkeypatch.chdir(tmp_path)
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        await pilot.press("S")
        await settle(pilot, lambda: list(tmp_path.glob("mmfuse-*.svg")))

    assert "<svg" in next(tmp_path.glob("mmfuse-*.svg")).read_text()


async def test_the_screen_is_saved_as_text_that_reads_like_it(home, trial, dashboard, settle, tmp_path, monkeypatch):
    fill(home, trial)
    monkeypatch.chdir(tmp_path)
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        await pilot.press("E")
        await settle(pilot, lambda: list(tmp_path.glob("mmfuse-*.txt")))

    text = next(tmp_path.glob("mmfuse-*.txt")).read_text()
    assert "small search" in text and "✗ crashed" in text and "\x1b" not in text


async def test_quitting_touches_no_run(home, trial, dashboard, control, settle):
    runs = fill(home, trial)
    before = {name: (run / "state.json").read_bytes() for name, run in runs.items()}
    app = dashboard()

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, lambda: len(runs_of(app).rows) == 4)
        await pilot.press("q")
        await pilot.pause()

    assert app.return_code == 0 and control.asked == []
    assert {name: (run / "state.json").read_bytes() for name, run in runs.items()} == before


async def test_a_panel_asked_for_right_after_a_move_opens_once_the_run_is_read(
    home, trial, dashboard, settle, screen_text
):
    home.add("finished", kind="train", name="training", score=0.5)
    search = home.add("finished", name="search", score=0.6)
    home.trials(search, [trial(0, score=0.6), trial(1, score=0.7)])

    async with dashboard().run_test(size=(100, 30)) as pilot:
        deck = pilot.app.screen.query_one(Deck)
        await settle(pilot, lambda: deck.run_id == search.name)
        await pilot.press("j")
        await settle(pilot, lambda: deck.run_id != search.name)
        await pilot.press("k", "5")

        await settle(pilot, lambda: "search" in deck.shown and deck.has_focus_within)


async def test_a_panel_that_every_run_has_opens_before_the_run_is_read(home, dashboard, settle):
    home.add("finished", name="a run", score=0.5)

    async with dashboard().run_test(size=(80, 24)) as pilot:
        screen = pilot.app.screen
        await settle(pilot, lambda: screen.selected is not None)
        screen.query_one(Deck)._run = RunSnapshot("")  # as long as nothing of the run was read
        await pilot.press("1", "z")

        assert screen.has_class("-zoom-panel")
