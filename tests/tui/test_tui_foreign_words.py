"""Names, tags and notes hold anything; wherever the dashboard shows them they stay words."""

from __future__ import annotations

from textual.widgets import Input, TextArea

from mmfuse_runs.records import RunRecord
from mmfuse_tui.launch_form import Form
from mmfuse_tui.launch_screen import LaunchScreen

HOSTILE = (
    "[/",
    "[@click=app.quit]press me[/]",
    "\\[b]",
    "back\\",
    "\x1b]0;owned\x07\x1b[2J\x9b5mred\u202etxt",
    "宽" * 400,
    "a\nb\tc",
)
ACTING = frozenset({*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), "\u202e", "\u2066", "\u200b"}) - {"\n"}


async def test_no_name_breaks_or_acts_in_palette_dialogs_toasts_or_titles(
    home, dashboard, control, settle, screen_text
):
    for name in HOSTILE:
        home.add("finished", name=name, tags=[name], notes=name, score=0.5)
    seen = []

    async with dashboard().run_test(size=(100, 30), notifications=True) as pilot:
        await settle(pilot, lambda: f"Runs {len(HOSTILE)}" in screen_text(pilot.app))
        for keys in (["ctrl+p"], ["ctrl+p", *"go to"], ["slash", *"[/ \\["], *(["e", "escape", "D"] for _ in HOSTILE)):
            await pilot.press(*keys)
            await pilot.pause()
            seen.append(screen_text(pilot.app))
            await pilot.press("escape", "escape", "j")
        for name in HOSTILE:
            pilot.app.notify(name, title=name)
            pilot.app.push_screen(LaunchScreen(Form(), control, title=f"Clone of {name}"))
            await settle(pilot, lambda: "Clone of" in screen_text(pilot.app))
            seen.append(screen_text(pilot.app) + pilot.app.export_screenshot())

    assert not ACTING & set("".join(seen))


async def test_the_palette_shows_markup_of_a_name_as_it_is(home, dashboard, settle, screen_text):
    home.add("finished", name="[b]loud[/b] run", score=0.5)

    async with dashboard().run_test(size=(100, 30), notifications=True) as pilot:
        await settle(pilot, lambda: "Runs 1" in screen_text(pilot.app))
        await pilot.press("ctrl+p", *"loud")

        await settle(pilot, lambda: "Go to [b]loud[/b] run" in screen_text(pilot.app))


def test_a_run_named_with_invisible_characters_alone_is_called_by_its_id():
    assert RunRecord(id="20261121-0001-mixmas", name=" \u200b\u3000").label == "20261121-0001-mixmas"
    assert RunRecord(id="20261121-0001-mixmas", name="宽").label == "宽"


async def test_saving_the_dialog_keeps_what_was_not_touched(home, dashboard, control, settle):
    home.add("finished", name="a\x1b[31mb", tags=["t\u202e"], notes="one\x07\ntwo", score=0.5)

    async with dashboard().run_test(size=(100, 30), notifications=True) as pilot:
        await settle(pilot, lambda: pilot.app.screen.selected is not None)
        await pilot.press("e")
        await settle(pilot, lambda: pilot.app.screen.query("#field-notes"))
        assert pilot.app.screen.query_one("#field-name", Input).value == "ab"
        pilot.app.screen.query_one("#field-notes", TextArea).text = "three"
        await pilot.press("ctrl+s")
        await settle(pilot, lambda: control.edits)

    [(_, edit)] = control.edits
    assert (edit.name, edit.tags, edit.notes) == ("a\x1b[31mb", ("t\u202e",), "three")


async def test_a_toast_of_ten_thousand_characters_is_cut(home, dashboard, settle, screen_text):
    home.add("finished", score=0.5)

    async with dashboard().run_test(size=(100, 30), notifications=True) as pilot:
        await settle(pilot, lambda: "Runs 1" in screen_text(pilot.app))
        pilot.app.notify("x" * 10_000)
        await settle(pilot, lambda: "xxxx" in screen_text(pilot.app))

        assert screen_text(pilot.app).count("x") < 400
