import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse.errors import BadSpec
from mmfuse.evaluation.significance import Spread, correct, paired_bootstrap, spread

values = st.lists(st.floats(-10, 10), min_size=2, max_size=30)


@given(values)
def test_spread_is_mean_and_sample_deviation(scores):
    found = spread(scores)

    assert found.mean == pytest.approx(statistics.fmean(scores), abs=1e-9)
    assert found.std == pytest.approx(statistics.stdev(scores), abs=1e-9)
    assert found.count == len(scores)


def test_a_single_score_has_no_deviation():
    found = spread([0.5])

    assert (found.mean, found.count) == (0.5, 1)
    assert math.isnan(found.std)


def test_no_scores_are_refused():
    with pytest.raises(BadSpec, match="no score"):
        spread([])


def test_correctness_averages_to_accuracy():
    logits, target = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]]), torch.tensor([0, 0, 0])

    assert correct(logits, target).tolist() == [1.0, 0.0, 1.0]


@given(values, st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_swapping_the_two_turns_the_difference_around(scores, seed):
    first = torch.tensor(scores, dtype=torch.float64)
    second = first.flip(0)

    one = paired_bootstrap(first, second, draws=200, seed=seed)
    other = paired_bootstrap(second, first, draws=200, seed=seed)

    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low), abs=1e-9)
    assert one.p_value == other.p_value


def test_equal_models_differ_by_nothing():
    values = torch.rand(50)

    found = paired_bootstrap(values, values, draws=500)

    assert (found.mean, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_a_clear_difference_is_found_and_its_interval_is_the_textbooks():
    generator = torch.Generator().manual_seed(0)
    second = torch.zeros(2000)
    first = (torch.rand(2000, generator=generator) < 0.1).double()

    found = paired_bootstrap(first, second, draws=4000)

    share = float(first.mean())
    margin = 1.96 * math.sqrt(share * (1 - share) / 2000)
    assert found.low == pytest.approx(share - margin, abs=0.002)
    assert found.high == pytest.approx(share + margin, abs=0.002)
    assert found.p_value < 0.001


def test_under_no_difference_small_probabilities_are_as_rare_as_they_say():
    generator = torch.Generator().manual_seed(1)
    found = [
        paired_bootstrap(*torch.randn(2, 60, generator=generator), draws=400, seed=world).p_value
        for world in range(200)
    ]

    assert 0.01 <= sum(value < 0.05 for value in found) / 200 <= 0.11


def test_the_same_seed_gives_the_same_interval_in_any_chunking(monkeypatch):
    first, second = torch.rand(40), torch.rand(40)
    whole = paired_bootstrap(first, second, draws=300, seed=4)

    monkeypatch.setattr("mmfuse.evaluation.significance.CHUNK", 400)

    assert paired_bootstrap(first, second, draws=300, seed=4) == whole


@pytest.mark.parametrize("second", [torch.rand(3), torch.rand(4, 1)])
def test_values_that_are_not_pairs_are_refused(second):
    with pytest.raises(BadSpec, match="are not pairs"):
        paired_bootstrap(torch.rand(4), second)


def test_spreads_compare_by_value():
    assert spread([1.0, 3.0]) == Spread(2.0, math.sqrt(2), 2)
