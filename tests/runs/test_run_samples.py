"""A few values of a long journal are values of the journal, evenly spread, with the last one, and no step twice."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mmfuse_runs.samples import metric_samples


def write(path: Path, rows: list[dict[str, object]], *, end: str = "\n") -> None:
    path.write_text("\n".join(map(json.dumps, rows)) + end)


def row(step: int, value: float | str, *, trial: int | None = None, name: str = "val/f1", more: int = 0):
    return {"s": step, "e": None, "t": 1.0, "n": trial, "m": {name: value, "train/loss": 0.5}, "pad": "y" * more}


@given(st.lists(st.integers(0, 300), min_size=1, max_size=120), st.integers(1, 20))
def test_samples_are_values_of_the_journal_in_order_and_end_with_the_last(tmp_path_factory, lengths, points):
    path = tmp_path_factory.mktemp("journal") / "metrics.jsonl"
    rows = [row(step, float(step), more=length) for step, length in enumerate(lengths)]
    write(path, [{"v": 1, "attempt": 1, "resume_step": None}, *rows])

    samples = metric_samples(path, "val/f1", points=points)

    assert samples[-1] == len(lengths) - 1
    assert len(samples) <= points
    assert list(samples) == sorted(set(samples)) and set(samples) <= set(map(float, range(len(lengths))))


def test_of_rows_of_equal_length_every_part_gives_one(tmp_path):
    write(tmp_path / "m", [row(step, step + 1000.0) for step in range(1000, 2200)])

    samples = metric_samples(tmp_path / "m", "val/f1", points=12)

    assert samples == tuple(2000.0 + 100 * (part + 1) - 1 for part in range(12))


def test_rows_of_trials_other_metrics_torn_and_damaged_ones_are_passed_over(tmp_path):
    good = [row(1, 0.25), row(2, 0.9, trial=3), row(3, 0.8, name="val/f1_macro"), {"s": "?", "m": {"val/f1": 1}}]
    write(tmp_path / "m", [*good, row(4, 0.7)], end="")

    assert metric_samples(tmp_path / "m", "val/f1", points=1) == (0.25,)


def test_steps_that_a_resumed_attempt_went_through_again_are_shown_once(tmp_path):
    head = {"v": 1, "attempt": 2, "t0": 1.0, "resume_step": 49}
    write(tmp_path / "m", [*(row(s, float(s)) for s in range(100)), head, *(row(s, 1000.0 + s) for s in range(50, 90))])

    samples = metric_samples(tmp_path / "m", "val/f1", points=12)

    steps = [value % 1000 for value in samples]
    assert samples[-1] == 1089.0 and steps == sorted(set(steps))
    assert max(value for value in samples if value < 1000) < min(value - 1000 for value in samples if value >= 1000)


def test_what_is_no_number_stays_so_and_what_is_not_there_is_empty(tmp_path):
    write(tmp_path / "m", [row(1, 0.5), row(2, "NaN")])

    assert str(metric_samples(tmp_path / "m", "val/f1", points=1)) == "(nan,)"
    assert metric_samples(tmp_path / "m", "val/none", points=4) == ()
    assert metric_samples(tmp_path / "missing", "val/f1", points=4) == ()
