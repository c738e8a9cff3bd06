"""Looking for something in a log: words, errors, the rest of long lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse_tui.launch_screen import LaunchScreen
from mmfuse_tui.log_excerpt import Hidden, first_excerpt
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


async def test_errors_and_words_far_above_in_a_large_log_are_found_in_their_order(home, dashboard, settle, screen_text):
    run = home.add("crashed", score=0.5)
    filler = "".join(f"step {number} with some words to fill the line\n" for number in range(30_000))
    home.log(run, f"ValueError: first\n{filler}KeyError: second needle\nKeyError: third\n{filler}OSError: last\n")

    async with dashboard().run_test(size=(100, 30)) as pilot:
        view = pilot.app.screen.query_one(LogView)
        await settle(pilot, lambda: view.lines and "last" in view.lines[-1])
        await pilot.press("3")
        for error in ("ValueError: first", "KeyError: second needle", "KeyError: third", "OSError: last"):
            await pilot.press("e")
            await settle(pilot, lambda error=error: view.here is not None and view.lines[view.here] == error)
            await settle(pilot, lambda error=error: error in screen_text(pilot.app))
        await pilot.press("slash", *"needle", "enter")
        await settle(pilot, lambda: view.here is not None and view.lines[view.here] == "KeyError: second needle")
        await pilot.press("f")
        await settle(pilot, lambda: view.follow and "OSError: last" in screen_text(pilot.app))


@given(st.integers(0, 40), st.integers(1, 200), st.sampled_from(["\n", "\r\n"]))
def test_an_excerpt_shows_the_line_that_was_found(tmp_path_factory, place, width, end):
    path = tmp_path_factory.mktemp("log") / "log.1.txt"
    lines = [f"line {number} " + "x" * width for number in range(41)]
    lines[place] += " Error"
    data = "".join(line + end for line in lines).encode()
    path.write_bytes(data)

    found = first_excerpt(Hidden(path, len(data)), ["error"], lambda line: "Error" in line)

    assert found is not None and found.lines[found.here] == lines[place]
    assert first_excerpt(Hidden(path, len(data)), ["absent"], lambda line: True) is None
    assert first_excerpt(Hidden(path, len(data)), ["error"], lambda line: True, start=found.next) is None
