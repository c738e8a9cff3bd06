"""The last line: the keys that work now, dimmed where they do nothing, pressed by a click."""

from __future__ import annotations

from textual.widgets import Input

from mmfuse_tui.dialogs import ConfirmScreen
from mmfuse_tui.key_bar import KeyBar
from mmfuse_tui.runs_pane import RunsPane


def line_of(app) -> str:
    return app.screen.query_one(KeyBar).render_line(0).text


async def test_it_names_the_keys_of_the_screen_from_their_bindings(home, dashboard, settle):
    home.add("running")
    app = dashboard()

    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot, lambda: "x Kill" in line_of(app))

        assert "/ Filter" in line_of(app) and "? Help" in line_of(app) and "q Quit" in line_of(app)
        assert len(line_of(app)) == 120


async def test_a_click_presses_the_key_under_the_pointer(home, dashboard, settle):
    home.add("running")
    app = dashboard()

    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot, lambda: "x Kill" in line_of(app) and app.screen.query_one(RunsPane).table.rows)
        at = line_of(app).index("x Kill")
        await pilot.hover(KeyBar, offset=(at + 2, 0))
        tooltip = app.screen.query_one(KeyBar).tooltip
        await pilot.click(KeyBar, offset=(at + 2, 0))
        await settle(pilot, lambda: isinstance(app.screen, ConfirmScreen))

        assert tooltip == "End the run's processes at once"


async def test_a_key_that_does_nothing_now_is_dimmed_and_a_click_on_it_too(home, dashboard, settle):
    home.add("finished", score=0.5)
    app = dashboard()

    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot, lambda: "x Kill" in line_of(app) and app.screen.query_one(RunsPane).table.rows)
        segments = {segment.text: segment.style for segment in app.screen.query_one(KeyBar).render_line(0)}
        await pilot.click(KeyBar, offset=(line_of(app).index("x Kill"), 0))
        await pilot.click(KeyBar, offset=(line_of(app).index("/ Filter"), 0))
        await settle(pilot, lambda: isinstance(app.focused, Input))

        assert segments["x"].dim and not segments["/"].dim
