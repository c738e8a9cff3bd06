"""Axes and legends say what is drawn: labels read back, zoom shows what is there, one axis for all charts of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmfuse_runs.tail import MetricsTable
from mmfuse_tui.axes import power_labels, tick_labels, ticks
from mmfuse_tui.chart_view import PLAIN, arranged
from mmfuse_tui.charts import run_charts
from mmfuse_tui.curves import ChartData, between, make_curve
from mmfuse_tui.plot import LABEL_WIDTH, make_plot

UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def read(label: str) -> float:
    return float(label[:-1]) * UNITS[label[-1]] if label[-1] in UNITS else float(label)


def text(plot) -> str:
    return "\n".join("".join(piece for piece, _ in row) for row in plot.rows)


def lit(plot) -> dict[int, list[int]]:
    """Rows of the lit dots of every dot column, from the top."""
    found: dict[int, list[int]] = {}
    for row in range(plot.window.rows):
        for column, character in enumerate(plot.canvas.text(row)):
            bits = ord(character) - 0x2800
            for bit, (down, right) in enumerate(((0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1))):
                if bits >> bit & 1:
                    found.setdefault(2 * column + right, []).append(4 * row + down)
    return found


@example(low=225179981369.40625, length=6.103515625e-05, at_most=3, width=7)  # where floats are as far apart as ticks
@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12), st.integers(1, 8), st.integers(7, 12))
def test_labels_read_back_as_their_ticks(low, length, at_most, width):
    marks = ticks(low, low + length, at_most=at_most)

    labels = tick_labels(marks, width=width)

    assert all(len(label) <= width for label in labels)
    # Where the others are told by what is added, or not at all, the first is as close as so few cells allow.
    if sum(map(bool, labels)) > 1 and not any(label.startswith("+") for label in labels):
        step = marks[1] - marks[0]
        assert all(abs(read(label) - mark) <= 0.06 * step for label, mark in zip(labels, marks, strict=True) if label)
    assert len(set(filter(None, labels))) == len(list(filter(None, labels)))


@pytest.mark.parametrize(
    ("marks", "labels"),
    [
        ((99_990.0, 99_995.0, 100_000.0), ("99990", "99995", "100000")),
        ((0.00025, 0.0005, 0.00075), ("2.5e-4", "5.0e-4", "7.5e-4")),
        ((0.0, 25_000.0, 50_000.0), ("0k", "25k", "50k")),
        ((1e300, 2e300), ("1e300", "2e300")),
        ((0.123_456_0, 0.123_456_1, 0.123_456_2), ("0.123456", "+1e-7", "+2e-7")),
    ],
)
def test_ticks_that_lie_close_together_have_different_labels(marks, labels):
    assert tick_labels(marks, width=8) == labels


def test_powers_beyond_what_a_float_holds_have_labels():
    assert power_labels([-300.0, 0.0, 325.0]) == ("1e-300", "1.0", "1e325")


def test_a_line_is_drawn_where_it_only_passes_through():
    chart = ChartData("loss", (make_curve("val/loss", [0, 100], [0.0, 10.0]),))

    plot = make_plot(chart, 60, 14, replace(PLAIN, span=(0.4, 0.6)))

    dots = lit(plot)
    assert set(dots) == set(range(2 * plot.window.columns))
    for column, rows in dots.items():
        x = plot.window.x_low + column / (2 * plot.window.columns - 1) * (plot.window.x_high - plot.window.x_low)
        expected = float(plot.window.dot_rows(x / 10))
        assert all(abs(row - expected) <= 1 for row in rows)


def test_a_line_that_broke_is_not_drawn_where_it_would_have_passed():
    x, y = between(np.array([0.0, 10.0, 20.0]), np.array([0.0, np.nan, 2.0]), 4.0, 16.0)

    assert x.tolist() == [10.0] and np.isnan(y).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 7))
def test_a_closer_look_shows_the_extremes_of_every_column_it_has(seed, nth):
    values = np.random.default_rng(seed).normal(size=16_000) ** 3
    chart = ChartData("loss", (make_curve("val/loss", range(16_000), values),))

    plot = make_plot(chart, 80, 16, replace(PLAIN, span=(nth / 8, (nth + 1) / 8)))

    window, dots = plot.window, lit(plot)
    steps = np.arange(16_000)
    inside = (steps >= window.x_low) & (steps <= window.x_high)
    columns = np.rint(window.dot_columns(steps[inside])).astype(int)
    for column in np.unique(columns):
        here = window.dot_rows(values[inside][columns == column])
        around = {row for near in (column - 1, column, column + 1) for row in dots.get(near, ())}
        assert {round(float(here.min())), round(float(here.max()))} <= around


def test_what_was_measured_a_minute_later_stands_a_minute_further_right():
    train = make_curve("train/loss", [1, 2], [2.0, 1.0], times=[1000.0, 1120.0])
    val = make_curve("val/loss", [2], [1.5], times=[1060.0])

    seen = arranged(ChartData("loss", (train, val)), replace(PLAIN, x="time"))

    assert [curve.steps.tolist() for curve in seen.curves] == [[0.0, 2.0], [1.0]]


def test_all_charts_of_a_run_have_one_axis(tmp_path):
    journal = tmp_path / "metrics.jsonl"
    rows = ['{"v":1,"run":"r","attempt":1,"t0":0,"resume_step":null}']
    rows += [f'{{"s":{step},"e":null,"t":{step}.0,"n":null,"m":{{"train/loss":1.0}}}}' for step in range(0, 101, 10)]
    rows += ['{"s":50,"e":null,"t":50.0,"n":null,"m":{"val/accuracy":0.5}}']
    journal.write_text("\n".join(rows) + "\n")
    table = MetricsTable(journal)
    table.poll()

    charts = run_charts(table, [], metric="val/accuracy", maximize=True)

    windows = [make_plot(chart, 60, 12).window for chart in charts]
    timed = [make_plot(chart, 60, 12, replace(PLAIN, x="time")).window for chart in charts]
    assert {(window.x_low, window.x_high) for window in windows} == {(0.0, 100.0)}
    assert {(window.x_low, window.x_high) for window in timed} == {(0.0, 100 / 60)}


@pytest.mark.parametrize("value", [1e300, -1e300, 1e-300])
@pytest.mark.parametrize("log", [False, True])
def test_very_large_and_very_small_numbers_are_numbers(value, log):
    chart = ChartData("loss", (make_curve("val/loss", [0, 1], [value, value / 2]),))

    shown = text(make_plot(chart, 70, 14, replace(PLAIN, log=log)))

    assert f"{value / 2:.1e}".replace("e+", "e") in shown and "∞" not in shown
    assert ("no positive number" in shown) is (log and value < 0)
    assert all(len(row.split("┤")[0]) == LABEL_WIDTH for row in shown.split("\n") if "┤" in row)


@settings(max_examples=50)
@given(st.floats(-1e6, 1e6), st.floats(1e-4, 1e6), st.integers(7, 30))
def test_every_chart_has_two_labels_to_read_its_scale_from(low, length, height):
    plot = make_plot(ChartData("loss", (make_curve("val/loss", [0, 1], [low, low + length]),)), 60, height)

    assert sum("┤" in piece for row in plot.rows for piece, _ in row) > 1


def test_a_legend_says_how_many_curves_it_has_no_room_for():
    curves = tuple(make_curve(f"seed {nth}", [0, 1], [nth, nth]) for nth in range(10))

    plot = make_plot(ChartData("loss", curves), 40, 12)

    head = "".join(piece for piece, _ in plot.rows[0])
    named = head.count("seed")
    assert 0 < named < 10 and head.rstrip().endswith(f"+{10 - named}")


def test_a_legend_keeps_the_slash_of_a_run_s_name():
    curves = (make_curve("exp/1", [0, 1], [1, 2]), make_curve("exp/2", [0, 1], [2, 3]))

    assert "exp/1" in text(make_plot(ChartData("val/loss", curves), 60, 12))
