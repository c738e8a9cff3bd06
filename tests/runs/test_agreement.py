"""Kendall's tau and its interval, beside SciPy's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from mmfuse_runs.agreement import agreement, kendall_tau

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=12)


@given(PAIRS)
def test_tau_is_scipys_ties_included(pairs) -> None:
    one, other = zip(*pairs, strict=True)

    tau, expected = kendall_tau(one, other), kendalltau(one, other).statistic

    assert (tau is None) == math.isnan(expected)
    if tau is not None:
        assert tau == pytest.approx(expected, abs=1e-12)


def test_the_interval_holds_tau_and_narrows_with_more_pairs() -> None:
    noise = [0.3, -0.4, 0.1, 0.5, -0.2, 0.4, -0.5, 0.2]
    few = [float(place) for place in range(8)]
    many = [float(place) for place in range(40)]

    small = agreement(few, [value + 4 * noise[place] for place, value in enumerate(few)])
    large = agreement(many, [value + 4 * noise[place % 8] for place, value in enumerate(many)])

    for told in (small, large):
        assert told.low is not None
        assert told.low <= told.tau <= told.high
    assert large.high - large.low < small.high - small.low


def test_the_interval_is_that_of_scipys_taus_over_the_same_resamples() -> None:
    import random

    one, other = [0.1, 0.4, 0.2, 0.9, 0.5], [1.0, 3.0, 4.0, 5.0, 2.0]
    rng = random.Random(0)
    drawn = [rng.choices(range(5), k=5) for _ in range(2000)]
    taus = [kendalltau([one[i] for i in each], [other[i] for i in each]).statistic for each in drawn]
    known = sorted(tau for tau in taus if not math.isnan(tau))

    told = agreement(one, other)

    assert told.tau == pytest.approx(kendalltau(one, other).statistic)
    assert told.low == pytest.approx(known[round(0.025 * (len(known) - 1))])
    assert told.high == pytest.approx(known[round(0.975 * (len(known) - 1))])


@pytest.mark.parametrize(("one", "other"), [([], []), ([1.0, 2.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])])
def test_too_little_to_order_has_no_tau(one, other) -> None:
    assert agreement(one, other).tau is None
