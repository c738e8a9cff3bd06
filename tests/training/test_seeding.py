import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.training.seeding import derive_seed, epoch_order, seed_step, seeded

CPU = torch.device("cpu")
parts = st.lists(st.one_of(st.integers(), st.text(), st.booleans(), st.none()), max_size=4)


@given(parts)
def test_a_derived_seed_fits_in_63_bits_and_never_changes(names):
    seed = derive_seed(*names)

    assert 0 <= seed < 2**63
    assert seed == derive_seed(*names)


@given(parts, parts)
def test_different_parts_give_different_seeds(first, second):
    same = [(type(part), part) for part in first] == [(type(part), part) for part in second]

    assert (derive_seed(*first) == derive_seed(*second)) == same


def test_a_derived_seed_is_the_same_in_every_version():
    assert derive_seed(7, "trial", 3) == 3713202996871456370


@given(st.integers(1, 300), st.integers(0, 2**63 - 1), st.integers(0, 50))
def test_an_epoch_visits_every_sample_once(samples, seed, epoch):
    order = epoch_order(samples, seed=seed, epoch=epoch)

    assert sorted(order.tolist()) == list(range(samples))


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else():
    order = epoch_order(100, seed=1, epoch=2)
    torch.manual_seed(99)

    assert torch.equal(order, epoch_order(100, seed=1, epoch=2))
    assert not torch.equal(order, epoch_order(100, seed=1, epoch=3))
    assert not torch.equal(order, epoch_order(100, seed=2, epoch=2))


def test_a_step_draws_the_same_numbers_whatever_was_drawn_before():
    seed_step(5, 17, device=CPU)
    drawn = torch.rand(4)
    torch.rand(random.randrange(1, 50))

    seed_step(5, 17, device=CPU)

    assert torch.equal(torch.rand(4), drawn)


@pytest.mark.parametrize("other", [{"seed": 6}, {"step": 18}, {"rank": 1}])
def test_another_seed_step_or_rank_draws_other_numbers(other):
    seed_step(5, 17, device=CPU)
    drawn = torch.rand(4)
    changed = {"seed": 5, "step": 17, "rank": 0} | other

    seed_step(changed["seed"], changed["step"], device=CPU, rank=changed["rank"])

    assert not torch.equal(torch.rand(4), drawn)


def test_building_under_a_seed_leaves_the_callers_randomness_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)

    with seeded(8):
        inside = torch.rand(2)

    assert torch.equal(torch.rand(2), expected)
    with seeded(8):
        assert torch.equal(torch.rand(2), inside)
