"""The temperature of MFAS and the chances it gives: both ends of the schedule, awkward scores, sharpness."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.search.mfas_sampling import log_weights, rank_correlation, sample, schedule_index, temperature

PUBLISHED = {"initial": 10.0, "final": 0.2, "decay": 4.0}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_published_temperatures_start_just_below_ten_and_end_at_the_final_one() -> None:
    assert temperature(0, **PUBLISHED) == pytest.approx(9.8 * math.exp(-1 / 16) + 0.2)
    assert temperature(3, **PUBLISHED) == pytest.approx(9.8 / math.e + 0.2)
    assert temperature(11, **PUBLISHED) == pytest.approx(0.2, abs=2e-3)


def test_the_published_step_numbers_repeat_and_ours_do_not() -> None:
    def numbers(published: bool) -> list[int]:
        return [
            schedule_index(sweep, level, sweeps=3, levels=4, published=published)
            for sweep in range(3)
            for level in range(4)
        ]

    assert numbers(published=True) == [0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9]
    assert numbers(published=False) == list(range(12))


@given(
    scores=st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=30),
    count=st.integers(1, 40),
    rule=st.sampled_from(["softmax", "power"]),
    heat=st.floats(0.01, 10),
)
def test_a_draw_is_distinct_usable_and_as_large_as_can_be(
    scores: list[float], count: int, rule: str, heat: float
) -> None:
    drawn = sample(scores, count, temperature=heat, rule=rule, rng=rng())

    usable = {index for index, score in enumerate(scores) if not math.isnan(score)}
    assert len(set(drawn)) == len(drawn) == min(count, len(usable))
    assert set(drawn) <= usable


def test_the_power_rule_draws_zeros_last() -> None:
    for seed in range(20):
        assert set(sample([0.0, 0.9, 0.0, 0.8], 2, temperature=0.2, rule="power", rng=rng(seed))) == {1, 3}


def test_the_power_rule_has_the_published_chances() -> None:
    scores = np.array([0.5, 0.7, 0.9])

    weights = np.exp(log_weights(scores, temperature=0.5, rule="power"))

    np.testing.assert_allclose(weights / weights.sum(), scores**2 / (scores**2).sum())


def test_draws_follow_the_chances() -> None:
    scores = np.array([0.2, 0.3, 0.5])

    first = [sample(scores, 1, temperature=1.0, rule="power", rng=rng(seed))[0] for seed in range(2000)]

    np.testing.assert_allclose(np.bincount(first) / len(first), scores, atol=0.04)


def test_close_scores_are_told_apart_by_softmax_and_not_by_the_power_rule() -> None:
    scores = rng().normal(0.9, 0.01, size=450)
    best = np.argsort(-scores)[:15]

    def mass(rule: str) -> float:
        weights = np.exp(log_weights(scores, temperature=0.2, rule=rule))
        return float(weights[best].sum() / weights.sum())

    assert mass("power") < 0.04
    assert mass("softmax") > 0.9


def test_softmax_ignores_the_scale_of_scores() -> None:
    scores = rng().normal(size=20)

    np.testing.assert_allclose(
        log_weights(scores, temperature=0.5, rule="softmax"),
        log_weights(0.7 + scores / 1000, temperature=0.5, rule="softmax"),
        atol=1e-9,
    )


def test_equal_scores_are_drawn_alike_not_by_their_rounding_errors() -> None:
    weights = log_weights([0.1 + 0.2, 0.3, 0.3], temperature=0.1, rule="softmax")

    assert np.ptp(weights) == 0


def test_rank_correlation_sees_order_only_and_says_when_there_is_none() -> None:
    assert rank_correlation([1, 2, 3, 4], [0.1, 0.2, 0.9, 1.0]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [3, 2, math.nan]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
