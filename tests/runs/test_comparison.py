"""What is said of several runs at once, against brute force and by hand."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse_runs.comparison import differing, flattened, pareto_front, ranked, seed_groups, spread_of, why_not_ranked
from mmfuse_runs.records import RunRecord

NUMBERS = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True, width=16))


def run(
    name: str, score: float | None, *, seed: int = 0, data: str = "9f3a", metric: str = "val/accuracy"
) -> RunRecord:
    label = f"set {data}"
    return RunRecord(
        name, state="finished", score=score, seed=seed, fingerprint=data, metric=metric, dataset_label=label
    )


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12), st.booleans())
def test_the_front_is_exactly_what_nothing_dominates(points, maximize):
    def known(point):
        return all(value is not None and math.isfinite(value) for value in point)

    def beats(one, other):
        better = one[0] >= other[0] if maximize else one[0] <= other[0]
        return better and one[1] <= other[1] and one != other

    alive = [place for place, point in enumerate(points) if known(point)]
    undominated = {place for place in alive if not any(beats(points[other], points[place]) for other in alive)}

    front = pareto_front(points, maximize=maximize)

    assert set(front) == undominated and len(front) == len(undominated)
    assert [points[place][1] for place in front] == sorted(points[place][1] for place in front)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6))
def test_an_interval_lies_within_the_values_and_is_the_same_each_time(values):
    spread = spread_of(values, resamples=60)

    assert spread == spread_of(values, resamples=60)
    assert spread.mean == pytest.approx(statistics.fmean(values)) and spread.sd == pytest.approx(
        statistics.stdev(values)
    )
    assert min(values) - 1e-9 <= spread.low <= spread.high <= max(values) + 1e-9


def test_an_interval_of_many_values_is_about_two_standard_errors_to_each_side():
    values = [index / 100 for index in range(100)]
    error = statistics.stdev(values) / 10

    spread = spread_of(values)

    assert spread.high - spread.mean == pytest.approx(1.96 * error, rel=0.1)
    assert spread.mean - spread.low == pytest.approx(1.96 * error, rel=0.1)


def test_one_value_has_no_spread_and_none_has_no_mean():
    assert spread_of([0.5, None, math.nan]).sd is None
    assert spread_of([None, math.inf]) is None


def test_runs_that_differ_only_in_seed_and_source_are_one_experiment():
    spec = {"kind": "train", "family": "m2_mixer", "params": {"hidden": 4}}
    runs = [
        (run("a", 0.5, seed=1), {**spec, "seed": 1, "source": "x:3"}),
        (run("b", 0.7, seed=0), {**spec, "seed": 0, "source": "y:1"}),
        (run("c", 0.9), {**spec, "seed": 0, "params": {"hidden": 8}}),
        (run("d", 0.9, data="77"), {**spec, "seed": 2}),
    ]

    groups = seed_groups(runs)

    assert [[member.id for member in group.runs] for group in groups] == [["a", "b"], ["c"], ["d"]]
    assert groups[0].seeds == (0, 1) and groups[0].spread.mean == pytest.approx(0.6)


@pytest.mark.parametrize("state", ["killed", "stopped", "crashed", "running", "lost"])
def test_a_run_that_did_not_finish_is_no_measurement_of_its_experiment(state):
    cut_off = replace(run("c", 0.1, seed=2), state=state)

    [group] = seed_groups((member, {}) for member in (run("a", 0.5), run("b", 0.7, seed=1), cut_off))

    assert group.seeds == (0, 1) and group.spread.mean == pytest.approx(0.6)


def test_scores_of_other_data_or_metrics_are_not_ranked_and_the_sentence_says_which():
    assert why_not_ranked([run("a", 0.5), run("b", 0.7)]) == ""
    assert "set 1, set 2" in why_not_ranked([run("a", 0.5, data="1"), run("b", 0.7, data="2")])
    assert "val/f1" in why_not_ranked([run("a", 0.5), run("b", 0.7, metric="val/f1")])


def test_ranking_puts_the_best_first_and_runs_without_a_number_last():
    order = ranked([run("none", None), run("low", 0.1), run("nan", math.nan), run("high", 0.9)])

    assert [record.id for record in order] == ["high", "low", "none", "nan"]


def test_differences_name_the_dotted_key_and_leave_out_what_is_equal():
    one, two = (
        {"fit": {"epochs": 3, "rate": 0.1}, "seed": 0},
        {"fit": {"epochs": 5, "rate": 0.1}, "seed": 0, "x": [1]},
    )

    assert differing([flattened(one), flattened(two)]) == {"fit.epochs": [3, 5], "x": ["", [1]]}
