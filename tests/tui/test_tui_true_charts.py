"""A drawn chart says what the data say: decoded cell by cell, for series of any length and with anything in them."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmfuse_tui.curves import ChartData, make_curve
from mmfuse_tui.plot import LABEL_WIDTH, make_plot, mark_of

SIZES = st.tuples(st.integers(20, 120), st.integers(8, 30))
ANYTHING = st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf])
ALARMS = "×▴▾"


def plot_of(values, size, *, maximize=None):
    curve = make_curve("val/loss", range(len(values)), values)
    return make_plot(ChartData("loss", (curve,), maximize=maximize), *size)


def body(plot) -> list[str]:
    """The cells of the curves, row by row."""
    text = ["".join(piece for piece, _ in row) for row in plot.rows]
    return [row[LABEL_WIDTH + 1 :] for row in text[1 : 1 + plot.window.rows]]


def dot_rows(plot, column: int) -> list[int]:
    """Rows of the lit dots of a dot column, from the top."""
    order = ((0, 1, 2, 6), (3, 4, 5, 7))[column % 2]
    cells = [ord(plot.canvas.text(row)[column // 2]) - 0x2800 for row in range(plot.window.rows)]
    return [4 * row + down for row, bits in enumerate(cells) for down, bit in enumerate(order) if bits >> bit & 1]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60_000), st.integers(0, 2**32 - 1), SIZES)
def test_of_a_series_of_any_length_the_extremes_of_every_dot_column_are_lit_there_or_beside(length, seed, size):
    values = np.random.default_rng(seed).normal(size=length) ** 5

    plot = plot_of(values, size)

    window, width = plot.window, 2 * plot.window.columns
    columns = np.rint(window.dot_columns(np.arange(length))).astype(int)
    lit = {column: dot_rows(plot, column) for column in range(width)}
    for column in np.unique(columns):
        here = window.dot_rows(values[columns == column])
        around = {row for near in (column - 1, column, column + 1) for row in lit.get(near, ())}
        assert {round(float(here.min())), round(float(here.max()))} <= around


@settings(max_examples=25, deadline=None)
@given(st.integers(500, 60_000), st.integers(0, 2**32 - 1), SIZES)
def test_of_a_long_series_no_dot_lies_where_no_value_is_near(length, seed, size):
    values = np.random.default_rng(seed).normal(size=length).cumsum()

    plot = plot_of(values, size)

    window = plot.window
    columns = np.rint(window.dot_columns(np.arange(length))).astype(int)
    for column in range(2 * window.columns):
        near = window.dot_rows(values[np.abs(columns - column) <= 1])
        assert all(near.min() - 1 <= row <= near.max() + 1 for row in dot_rows(plot, column))


@settings(deadline=None)
@given(st.lists(ANYTHING, min_size=1, max_size=300), SIZES, st.sampled_from([None, True, False]))
def test_whatever_is_no_number_has_its_sign_at_its_step(values, size, maximize):
    assume(any(map(math.isfinite, values)))

    plot = plot_of(values, size, maximize=maximize)

    rows = body(plot)
    for step, value in enumerate(values):
        column = round(float(plot.window.dot_columns(float(step)))) // 2
        if not math.isfinite(value):
            edge = rows[:2] if value == math.inf else rows[-2:]
            assert any(row[column] in ALARMS for row in edge)


@settings(deadline=None)
@given(st.lists(ANYTHING, min_size=1, max_size=300), SIZES, st.sampled_from([None, True, False]))
def test_the_last_number_is_always_drawn(values, size, maximize):
    assume(any(map(math.isfinite, values)))
    last = max(place for place, value in enumerate(values) if math.isfinite(value))

    plot = plot_of(values, size, maximize=maximize)

    column = round(float(plot.window.dot_columns(float(last)))) // 2
    row = round(float(plot.window.dot_rows(values[last]))) // 4
    assert body(plot)[row][column] == mark_of(0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 39_999), st.sampled_from([math.nan, math.inf, -math.inf]), SIZES)
def test_one_value_that_is_no_number_survives_the_thinning_of_a_long_series(place, odd, size):
    values = np.sin(np.arange(40_000) / 900)
    values[place] = odd

    plot = plot_of(values, size)

    assert sum(character in ALARMS for row in body(plot) for character in row) == 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 59_999), st.booleans(), SIZES)
def test_a_single_spike_reaches_the_edge_of_the_chart(place, up, size):
    values = np.zeros(60_000)
    values[place] = 5.0 if up else -5.0

    plot = plot_of(values, size)

    lit = dot_rows(plot, round(float(plot.window.dot_columns(float(place)))))
    target = round(float(plot.window.dot_rows(values[place])))
    assert target in lit
