"""Our themes keep text readable, and no state or curve is told by colour alone."""

from __future__ import annotations

import pytest
from textual.color import Color

from mmfuse_tui.plot import MARKS, SERIES_STYLES
from mmfuse_tui.themes import FALLBACKS, THEMES

TEXT = ("primary", "accent", "success", "warning", "error", "foreground")
VARIABLES = ("series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "dim")


def contrast(one: Color, other: Color) -> float:
    """Contrast ratio of WCAG 2."""

    def luminance(color: Color) -> float:
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color.normalized]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_colour_of_text_stands_out_from_its_backgrounds(theme):
    texts = [getattr(theme, name) for name in TEXT] + [theme.variables[name] for name in VARIABLES]
    backgrounds = [theme.background, theme.surface, theme.panel, theme.variables["cursor"]]

    worst = min(contrast(Color.parse(text), Color.parse(ground)) for text in texts for ground in backgrounds)

    assert worst >= 4.5


def test_every_variable_of_ours_has_a_fallback_for_other_themes():
    ours = {name for theme in THEMES for name in theme.variables if name in FALLBACKS or name.startswith("series")}

    assert ours == set(FALLBACKS)


def test_ten_marks_tell_ten_curves_apart_and_no_pair_shares_mark_and_colour():
    assert len(set(MARKS)) == len(MARKS) == 10
    assert len({(mark, SERIES_STYLES[index % len(SERIES_STYLES)]) for index, mark in enumerate(MARKS)}) == 10


@pytest.mark.parametrize("theme", ["mmfuse-light", "textual-dark", "nord", "mmfuse-dark"])
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
