"""Looking at curves: log axis, smoothing with its shadow, time, zoom, reading values off, the star at the best."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse_tui.chart_grid import ChartGrid
from mmfuse_tui.chart_view import CLOSEST, PLAIN, ChartView, arranged, logarithmic
from mmfuse_tui.curves import ChartData, make_curve
from mmfuse_tui.deck import Deck
from mmfuse_tui.plot import make_plot, value_at

WAYS = st.lists(
    st.one_of(
        st.tuples(st.just("zoom"), st.floats(0.1, 4)),
        st.tuples(st.just("pan"), st.floats(-2, 2)),
        st.tuples(st.just("read"), st.floats(-0.5, 1.5)),
    ),
    max_size=12,
)


def chart(values, *, steps=None, maximize=None, times=None) -> ChartData:
    curve = make_curve("val/loss", range(len(values)) if steps is None else steps, values, times=times)
    return ChartData("loss", (curve,), "step", maximize)


def text(plot) -> str:
    return "\n".join("".join(piece for piece, _ in row) for row in plot.rows)


@given(WAYS)
def test_zoom_and_pan_never_leave_the_axis_and_never_close_up(ways):
    view = PLAIN
    for what, amount in ways:
        view = view.zoomed(amount) if what == "zoom" else view.panned(amount) if what == "pan" else view.read_at(amount)
        low, high = view.span
        assert 0 <= low < high <= 1 + 1e-9 and high - low >= CLOSEST - 1e-9
        assert view.cursor is None or 0 <= view.cursor <= 1


def test_zooming_in_keeps_the_value_under_the_cursor_where_it_is():
    view = replace(PLAIN, cursor=0.25)

    closer = view.zoomed(0.5)

    low, high = closer.span
    assert low + 0.25 * (high - low) == pytest.approx(0.25)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.sampled_from([0.6, 0.9]))
def test_smoothing_is_the_weighted_mean_of_what_came_before(values, weight):
    smooth = arranged(chart(values), replace(PLAIN, smoothing=weight)).curves

    for place in range(len(values)):
        weights = np.array([weight ** (place - before) for before in range(place + 1)])
        expected = float(weights @ np.array(values[: place + 1]) / weights.sum())
        assert smooth[1].values[place] == pytest.approx(expected, abs=1e-9)
    assert smooth[0].shadow and list(smooth[0].values) == values


def test_what_is_no_number_is_neither_smoothed_nor_spread():
    smooth = arranged(chart([1.0, math.nan, 1.0, math.inf, 1.0]), replace(PLAIN, smoothing=0.9)).curves[1].values

    assert math.isnan(smooth[1]) and smooth[3] == math.inf
    assert [smooth[place] for place in (0, 2, 4)] == pytest.approx([1, 1, 1])


def test_a_log_axis_puts_decades_at_equal_distances_and_marks_what_has_no_logarithm():
    values = [1000.0, 100.0, 10.0, 1.0, 0.1, 0.0, -3.0]
    plot = make_plot(chart(values), 80, 27, replace(PLAIN, log=True))

    rows = [float(plot.window.dot_rows(math.log10(value))) for value in values[:5]]
    distances = np.diff(rows)

    assert distances == pytest.approx([distances[0]] * 4)
    drawn = text(plot)
    assert drawn.count("▾") == 2 and "1e3┤" in drawn and "0.10┤" in drawn and "· log" in drawn
    assert logarithmic(np.array([math.nan])).tolist() != [0.0]


def test_over_time_the_axis_counts_minutes_from_the_first_value():
    timed = arranged(chart([1.0, 2.0, 3.0], times=[600.0, 660.0, 900.0]), replace(PLAIN, x="time"))

    assert list(timed.curves[0].steps) == [0.0, 1.0, 5.0] and timed.x_label == "minutes"
    assert arranged(chart([1.0, 2.0]), replace(PLAIN, x="time")).x_label == "step"


def test_a_zoomed_chart_scales_to_what_is_shown_and_draws_nothing_else():
    values = [100.0] * 50 + [1.0 + nth / 100 for nth in range(50)]

    plot = make_plot(chart(values), 80, 20, replace(PLAIN, span=(0.6, 1.0)))

    assert plot.window.y_high < 3 and plot.window.x_low == pytest.approx(0.6 * 99)


def test_the_cursor_reads_off_the_nearest_value():
    steps = [0, 10, 20, 30]
    curve = make_curve("val/loss", steps, [4.0, 3.0, 2.0, 1.0])

    plot = make_plot(chart([4.0, 3.0, 2.0, 1.0], steps=steps), 60, 12, replace(PLAIN, cursor=0.65))

    assert value_at(curve, 19.5) == 2.0
    assert "@ 19.50" in text(plot) and "val 2" in text(plot) and "┊" in text(plot)


@pytest.mark.parametrize(("maximize", "place"), [(True, 7), (False, 3)])
def test_a_star_stands_at_the_best_value_that_was_measured(maximize, place):
    values = [5.0, 4.0, 3.0, 1.0, 4.0, 5.0, 6.0, 9.0, 5.0, 5.0]

    for view in (PLAIN, replace(PLAIN, smoothing=0.9)):
        plot = make_plot(chart(values, maximize=maximize), 60, 16, view)
        starred = [(row.index("☆") - 8) for row in text(plot).split("\n")[1:] if "☆" in row]
        assert starred == [round(float(plot.window.dot_columns(float(place)))) // 2]


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20), st.integers(1, 90), st.integers(1, 20), WAYS
)
def test_no_view_of_anything_ever_fails_or_leaves_its_cells(values, width, height, ways):
    view = replace(PLAIN, log=len(ways) % 2 == 0, smoothing=0.9 if len(values) % 2 else 0.0)
    for what, amount in ways:
        view = view.zoomed(amount) if what == "zoom" else view.panned(amount) if what == "pan" else view.read_at(amount)

    plot = make_plot(chart(values, maximize=True), width, height, view)

    assert len(plot.rows) == height
    assert all(len("".join(piece for piece, _ in row)) == width for row in plot.rows)


async def test_keys_and_mouse_change_the_view_of_all_charts(home, dashboard, settle, screen_text):
    run = home.add("running", kind="train", subject="m2_mixer")
    home.metrics(run, ((step, {"train/loss": math.exp(-step / 10), "val/accuracy": step / 100}) for step in range(100)))
    app = dashboard()

    async with app.run_test(size=(120, 40)) as pilot:
        await settle(
            pilot, lambda: app.screen.query_one(Deck).run_id == run.name and app.screen.query_one(ChartGrid).charts
        )
        await pilot.press("1")
        grid = app.screen.query_one(ChartGrid)
        await settle(pilot, lambda: grid.has_focus)
        await pilot.press("y", "a", "plus", "X")
        await settle(pilot, lambda: grid.view == ChartView(True, 0.6, "time", (0.5, 1.0)))
        await settle(pilot, lambda: "log · smoothed 0.6 · 2x" in screen_text(app) and "minutes" in screen_text(app))
        await pilot.press("H", "full_stop", "comma")
        await settle(pilot, lambda: grid.view.span == (0.375, 0.875) and grid.view.cursor is not None)
        await pilot.press("0")
        await settle(pilot, lambda: grid.view == PLAIN)
        await pilot.click(ChartGrid, offset=(30, 5))
        await settle(pilot, lambda: grid.view.cursor is not None and " @ " in screen_text(app))
        grid.post_message(_wheel(grid))
        await settle(pilot, lambda: grid.view.span != (0.0, 1.0))


def _wheel(grid):
    from textual import events

    return events.MouseScrollUp(grid, 30, 5, 0, 0, 0, False, False, False)
