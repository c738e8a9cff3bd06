"""The data sample of a search."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse.errors import BadSpec
from mmfuse.training.sampling import draw_sample, formula_size, sample_size, stratified


@pytest.mark.parametrize(
    ("population", "size"),
    # Cochran's formula with finite population gives 381.5, 374.9 and 378.6 for the three published training splits.
    [(55_000, 382), (15_552, 375), (26_093, 379), (100, 80), (3, 3)],
)
def test_the_formula_gives_the_sizes_of_the_paper(population: int, size: int) -> None:
    assert formula_size(population) == size


def test_every_spelling_of_a_size_is_understood() -> None:
    assert sample_size("formula", 55_000) == 382
    assert sample_size("all", 55_000) == 55_000
    assert sample_size(0.01, 55_000) == 550
    assert sample_size(1000, 55_000) == 1000
    assert sample_size(1000, 512) == 512


@pytest.mark.parametrize("wanted", [0, -3, "most"])
def test_an_impossible_size_is_refused(wanted: int | str) -> None:
    with pytest.raises(BadSpec, match=str(wanted)):
        sample_size(wanted, 100)


def test_a_sample_keeps_the_class_shares() -> None:
    target = torch.arange(10).repeat_interleave(torch.tensor([500, 400, 300, 200, 100, 100, 100, 100, 100, 100]))

    sample = draw_sample(target, 382, seed=1)

    whole = torch.bincount(target) / len(target)
    drawn = torch.bincount(target[sample.index], minlength=10) / 382
    assert float((whole - drawn).abs().max()) <= 0.05
    assert sample.gap == pytest.approx(float((whole - drawn).abs().max()))


def test_rare_classes_do_not_vanish() -> None:
    target = torch.cat([torch.zeros(2000, dtype=torch.long), torch.ones(20, dtype=torch.long)])

    index = draw_sample(target, 60, seed=0, minimum=2).index

    assert int((target[index] == 1).sum()) >= 2


def test_labels_of_several_per_sample_keep_their_rates() -> None:
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(3000, 23, generator=generator) < torch.linspace(0.02, 0.5, 23)).float()

    index = draw_sample(target, 375, seed=3).index

    assert float((target.mean(0) - target[index].mean(0)).abs().max()) <= 0.05


def test_a_tolerance_that_no_draw_meets_is_an_error_with_the_closest_gap() -> None:
    target = torch.arange(10).repeat(100)

    with pytest.raises(BadSpec, match="closest"):
        draw_sample(target, 7, seed=0, tolerance=0.001, max_draws=20)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.integers(1, 200))
def test_equal_seeds_draw_equal_samples_without_repeats(seed: int, size: int) -> None:
    target = torch.arange(4).repeat(100)

    first = draw_sample(target, size, seed=seed, tolerance=1.0, minimum=0)
    second = draw_sample(target, size, seed=seed, tolerance=1.0, minimum=0)

    assert torch.equal(first.index, second.index)
    assert len(first.index.unique()) == size


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.integers(10, 300))
def test_the_validation_subset_is_stratified_to_within_one_sample(seed: int, size: int) -> None:
    target = torch.arange(3).repeat_interleave(torch.tensor([200, 100, 50]))

    index = stratified(target, size, seed=seed)

    assert len(index.unique()) == size
    expected = torch.tensor([200, 100, 50]) * size / 350
    assert float((torch.bincount(target[index], minlength=3) - expected).abs().max()) <= 1.01
