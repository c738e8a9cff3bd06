"""What is drawn can be read back: braille decoded to dots agrees with the data, and thinning loses no extreme."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse_tui.axes import padded, tick_labels, ticks
from mmfuse_tui.braille import Window, draw
from mmfuse_tui.curves import ChartData, group_names, make_curve, thin
from mmfuse_tui.plot import make_plot

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)
gaps = st.lists(st.integers(0, 40), min_size=1, max_size=300)
sizes = st.tuples(st.integers(1, 60), st.integers(1, 20))


def decode(text_rows: list[str]) -> np.ndarray:
    """Braille characters to dots. Shape: R strings of C characters -> (4R, 2C) bool."""
    dots = np.zeros((4 * len(text_rows), 2 * len(text_rows[0])), dtype=bool)
    order = {0: (0, 0), 1: (1, 0), 2: (2, 0), 3: (0, 1), 4: (1, 1), 5: (2, 1), 6: (3, 0), 7: (3, 1)}
    for row, text in enumerate(text_rows):
        for column, character in enumerate(text):
            for bit, (down, right) in order.items():
                if (ord(character) - 0x2800) >> bit & 1:
                    dots[4 * row + down, 2 * column + right] = True
    return dots


def window_of(x: np.ndarray, y: np.ndarray, size: tuple[int, int]) -> Window:
    low, high = padded(float(y.min()), float(y.max()))
    return Window(*size, float(x[0]), float(max(x[-1], x[0] + 1)), low, high)


@given(values, gaps, sizes)
def test_every_sample_has_its_dot_and_every_dot_is_near_the_curve(numbers, steps, size):
    length = min(len(numbers), len(steps))
    x, y = np.cumsum(steps[:length]).astype(float), np.array(numbers[:length])
    window = window_of(x, y, size)

    canvas = draw([(x, y)], window)

    dots = decode([canvas.text(row) for row in range(size[1])])
    columns = np.rint(window.dot_columns(x)).astype(int)
    rows = window.dot_rows(y)
    assert dots[np.rint(rows).astype(int), columns].all()
    for row, column in np.argwhere(dots):
        near = np.abs(columns - column) <= 1
        left, right = columns < column, columns > column
        touched = [*rows[near], *_crossings(columns, rows, column)]
        assert near.any() or (left.any() and right.any())
        assert min(touched) - 1 <= row <= max(touched) + 1


def _crossings(columns: np.ndarray, rows: np.ndarray, column: int) -> list[float]:
    """Where the line through neighbouring samples passes the edges of a dot column."""
    found = []
    for edge in (column - 0.5, column, column + 0.5):
        for left, right, above, below in zip(columns[:-1], columns[1:], rows[:-1], rows[1:], strict=True):
            if left <= edge <= right and right > left:
                found.append(above + (below - above) * (edge - left) / (right - left))
    return found


@given(values, st.integers(1, 20))
def test_thinning_keeps_the_ends_and_the_extremes_of_every_bucket(numbers, buckets):
    x, y = np.arange(len(numbers), dtype=float), np.array(numbers)

    kept = thin(x, y, buckets=buckets)

    assert len(kept) <= max(4 * buckets, min(len(x), 4 * buckets))
    assert {0, len(x) - 1} <= set(kept)
    assert y[kept].max() == y.max() and y[kept].min() == y.min()
    assert list(kept) == sorted(set(kept))


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=200), sizes)
def test_any_numbers_make_rows_of_exactly_the_size_asked_for(numbers, size):
    curve = make_curve("val/loss", range(len(numbers)), numbers)
    width, height = size[0] + 1, size[1]

    plot = make_plot(ChartData("loss", (curve,)), width, height)

    assert len(plot.rows) == height
    assert {sum(len(text) for text, _ in row) for row in plot.rows} == {width}


def test_a_million_points_keep_a_single_spike():
    y = np.zeros(1_000_000)
    y[123_457], y[765_432] = 9.0, -7.0

    curve = make_curve("train/loss", np.arange(len(y)), y)

    assert curve.points == 1_000_000 and len(curve.values) < 20_000
    assert curve.values.max() == 9.0 and curve.values.min() == -7.0


def test_numbers_that_are_none_are_marked_on_the_frame_and_break_the_line():
    curve = make_curve("val/loss", range(9), [1, 1, 1, math.nan, 1, math.inf, 1, 1, -math.inf])

    plot = make_plot(ChartData("loss", (curve,)), 60, 12)

    text = ["".join(piece for piece, _ in row) for row in plot.rows]
    assert "▴" in text[1]
    assert "×" in text[-3] and "▾" in text[-3]
    alarms = [style for row in plot.rows for _, style in row if style == "plot--alarm"]
    assert len(alarms) == 3


def test_the_last_point_of_every_curve_carries_its_mark():
    first = make_curve("train/loss", [0, 1, 2], [3, 2, 1])
    second = make_curve("val/loss", [0, 1, 2], [5, 5, 4])

    plot = make_plot(ChartData("loss", (first, second)), 70, 14)

    body = ["".join(piece for piece, _ in row) for row in plot.rows[1:-2]]
    assert sum(row.endswith("●") for row in body) == 1
    assert sum(row.endswith("◆") for row in body) == 1


def test_the_legend_gives_last_and_best_values():
    curve = make_curve("val/accuracy", [0, 1, 2], [0.5, 0.9, 0.7])

    plot = make_plot(ChartData("accuracy", (curve,), maximize=True), 70, 12)

    assert "".join(piece for piece, _ in plot.rows[0]).split() == ["accuracy", "●", "val", "0.7000", "max", "0.9000"]


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9), st.integers(1, 20))
def test_ticks_are_inside_evenly_spaced_and_labelled_apart(low, length, most):
    low, high = padded(low, low + length)

    marks = ticks(low, high, at_most=most)

    assert len(marks) <= most + 1
    slack = (high - low) * 1e-3
    assert all(low - slack <= mark <= high + slack for mark in marks)
    assert len(set(tick_labels(marks))) == len(marks)


def test_steps_that_fall_are_put_in_order():
    curve = make_curve("val/loss", [5, 1, 3], [50.0, 10.0, 30.0])

    assert list(curve.steps) == [1, 3, 5] and list(curve.values) == [10.0, 30.0, 50.0]


def test_metrics_are_grouped_by_what_they_measure_with_the_runs_own_first():
    names = ["train/loss", "val/loss", "val/accuracy", "train/lr"]

    assert group_names(names, first="val/accuracy") == [
        ("accuracy", ("val/accuracy",)),
        ("loss", ("train/loss", "val/loss")),
        ("lr", ("train/lr",)),
    ]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 2), (12, 3), (20, 4), (200, 60)])
def test_an_empty_chart_fits_everywhere(width, height):
    plot = make_plot(ChartData("loss", ()), width, height)

    assert [sum(len(text) for text, _ in row) for row in plot.rows] == [width] * height
