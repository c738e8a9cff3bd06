"""Our themes keep text readable, and no state or curve is told by colour alone."""

from __future__ import annotations

import pytest
from rich.color import ColorType
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from mmfuse_tui.plot import MARKS, SERIES_STYLES
from mmfuse_tui.themes import FALLBACKS, SIXTEEN, THEMES

TEXT = ("primary", "accent", "success", "warning", "error", "foreground")
VARIABLES = ("series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "dim", "footer-key-foreground")
PALETTES = {  # black, red, green, yellow, blue, magenta, cyan, white, then the bright ones
    "xterm": "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5"
    " 7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff",
    "VGA": "000000 aa0000 00aa00 aa5500 0000aa aa00aa 00aaaa aaaaaa"
    " 555555 ff5555 55ff55 ffff55 5555ff ff55ff 55ffff ffffff",
}


def rgb(words: str, palette: str, *, on: Color | None = None) -> Color:
    """A colour of a theme as a terminal with that palette shows it; a transparent one over ``on``."""
    name, _, share = words.partition(" ")
    color = Color.parse(name)
    if color.ansi is not None:
        return Color.parse(f"#{PALETTES[palette].split()[color.ansi]}")
    return on.blend(color, float(share.rstrip("%")) / 100) if on is not None and share else color


def contrast(one: Color, other: Color) -> float:
    """Contrast ratio of WCAG 2."""

    def luminance(color: Color) -> float:
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color.normalized]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_colour_of_text_stands_out_from_its_backgrounds(theme, palette):
    texts = {name: getattr(theme, name) for name in TEXT} | {name: theme.variables[name] for name in VARIABLES}
    grounds = {name: getattr(theme, name) for name in ("background", "surface", "panel")}
    grounds["cursor"] = theme.variables["cursor"]
    background = rgb(theme.background, palette)

    pairs = {
        (text, ground): contrast(rgb(texts[text], palette), rgb(grounds[ground], palette))
        for text in texts
        for ground in grounds
    }
    for text in ("error", "warning"):
        ground = rgb(theme.variables[f"{text}-ground"], palette, on=background)
        pairs[text, f"{text}-ground"] = contrast(rgb(texts[text], palette), ground)

    assert {pair: ratio for pair, ratio in pairs.items() if ratio < 4.5} == {}


async def test_the_theme_of_sixteen_colours_asks_for_no_others(home, furnished, dashboard, settle, screen_text):
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        app.theme = SIXTEEN.name
        for key, words in {"1": "score by trial", "5": "Best so far", "question_mark": "Delete ended runs"}.items():
            await pilot.press(key)
            await settle(pilot, lambda words=words: words in screen_text(app))
            styles = [part.style for strip in app.screen._compositor.render_strips() for part in strip if part.style]
            colours = {colour for style in styles for colour in (style.color, style.bgcolor) if colour is not None}
            assert {colour for colour in colours if colour.type not in (ColorType.STANDARD, ColorType.DEFAULT)} == set()


def test_every_variable_of_ours_has_a_fallback_for_other_themes():
    textuals = {"block-cursor-text-style", "footer-key-foreground", "input-selection-background"}
    textuals |= set(BUILTIN_THEMES["ansi-dark"].variables)

    for theme in THEMES:
        assert set(theme.variables) - textuals == set(FALLBACKS), theme.name


def test_ten_marks_tell_ten_curves_apart_and_no_pair_shares_mark_and_colour():
    assert len(set(MARKS)) == len(MARKS) == 10
    assert len({(mark, SERIES_STYLES[index % len(SERIES_STYLES)]) for index, mark in enumerate(MARKS)}) == 10


@pytest.mark.parametrize("theme", ["mmfuse-light", "textual-dark", "nord", "mmfuse-16", "mmfuse-dark"])
async def test_the_dashboard_draws_in_every_theme(home, dashboard, settle, screen_text, theme):
    home.add("finished", score=0.5)
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        app.theme = theme
        await settle(pilot, lambda: "✓ finished" in screen_text(app))


async def test_without_colour_state_and_series_are_still_told_apart(home, dashboard, settle, screen_text, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    run = home.add("crashed", kind="train", subject="m2_mixer")
    home.metrics(run, ((step, {"train/loss": 2 - step / 50, "val/loss": 2 - step / 90}) for step in range(50)))
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, lambda: "● train" in screen_text(app))
        text = screen_text(app)

    assert "✗ crashed" in text and "◆ val" in text
