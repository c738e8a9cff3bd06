"""Looking for something in a log: words, errors, the rest of long lines."""

from __future__ import annotations

import pytest

from mmfuse_tui.launch_screen import LaunchScreen
from mmfuse_tui.log_view import LogView


@pytest.fixture
def log_of(home, dashboard, settle):
    """Opens the log of a run that printed these lines, focused and at its end."""

    async def open_log(pilot, lines):
        run = home.add("crashed", score=0.5)
        home.log(run, "\n".join(lines) + "\n")
        view = pilot.app.screen.query_one(LogView)
        await settle(pilot, lambda: len(view.lines) == len(lines))
        await pilot.press("3")
        await settle(pilot, lambda: view.has_focus and view.follow)
        return view

    return open_log


async def test_words_are_found_marked_and_gone_through_in_both_directions(dashboard, settle, screen_text, log_of):
    lines = [f"step {number}" + (" lost 10 % [OK]" if number % 100 == 7 else "") for number in range(300)]

    async with dashboard().run_test(size=(100, 30)) as pilot:
        view = await log_of(pilot, lines)
        await pilot.press("slash", *"% [ok", "enter")
        await settle(pilot, lambda: view.here == 7)
        assert "1 of 3 /% [ok" in screen_text(pilot.app)
        await pilot.press("n")
        await settle(pilot, lambda: view.here == 107)
        await pilot.press("N", "N")
        await settle(pilot, lambda: view.here == 207)
        assert not view.follow and "3 of 3" in screen_text(pilot.app)


async def test_without_words_to_look_for_n_starts_a_run(dashboard, settle, log_of):
    async with dashboard().run_test(size=(100, 30)) as pilot:
        await log_of(pilot, ["quiet"])
        await pilot.press("n")

        await settle(pilot, lambda: isinstance(pilot.app.screen, LaunchScreen))


async def test_words_that_stand_nowhere_are_told_and_capitals_count(dashboard, settle, screen_text, log_of):
    async with dashboard().run_test(size=(100, 30)) as pilot:
        view = await log_of(pilot, ["Loss", "loss"])
        view.search("LOSS")
        await settle(pilot, lambda: "no /LOSS here" in screen_text(pilot.app))

        view.search("Loss")
        await settle(pilot, lambda: view.here == 0)


async def test_e_goes_to_the_first_error_then_to_each_of_the_others_and_round(dashboard, settle, log_of):
    lines = [f"step {number}" for number in range(200)]
    for place in (20, 195, 198):
        lines[place] = f"ValueError: {place}"

    async with dashboard().run_test(size=(100, 30)) as pilot:
        view = await log_of(pilot, lines)
        for place in (20, 195, 198, 20):
            await pilot.press("e")
            await settle(pilot, lambda place=place: view.here == place)
            await settle(
                pilot, lambda place=place: view.scroll_offset.y <= place < view.scroll_offset.y + view.size.height
            )


async def test_the_rest_of_a_long_line_can_be_read(dashboard, settle, screen_text, log_of):
    async with dashboard().run_test(size=(80, 30)) as pilot:
        await log_of(pilot, ["x" * 300 + "the end"])
        assert "the end" not in screen_text(pilot.app)
        for _ in range(8):
            await pilot.press("l")
        await settle(pilot, lambda: "the end" in screen_text(pilot.app))
        for _ in range(8):
            await pilot.press("h")
        await settle(pilot, lambda: "the end" not in screen_text(pilot.app))
