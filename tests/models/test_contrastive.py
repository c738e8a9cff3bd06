"""The tiled loss is the dense one, to the last digits, value and gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mmfuse.models.contrastive import contrastive_loss, dense_groups, info_nce


def dense(first, second, temperature, groups=None):
    """The definition, with all B x B similarities written down."""
    similarity = first @ second.T / temperature
    groups = torch.arange(len(first)) if groups is None else groups
    alike = (groups[:, None] == groups).double()
    target = (alike / alike.sum(1, keepdim=True)).to(similarity.dtype)
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2


def embeddings(count, dim, *, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(count, dim, generator=generator, dtype=dtype) for _ in range(2)]
    return [F.normalize(values, dim=1).requires_grad_() for values in made]


def value_and_gradients(loss, *leaves):
    value = loss()
    return [value.detach(), *torch.autograd.grad(value, leaves)]


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 40),
    tile=st.integers(1, 50),
    temperature=st.sampled_from([0.001, 0.01, 0.07, 0.5]),
    classes=st.one_of(st.none(), st.integers(1, 12)),
    seed=st.integers(0, 1000),
)
def test_the_tiled_loss_and_its_gradients_are_the_dense_ones(count, tile, temperature, classes, seed):
    first, second = embeddings(count, 7, seed=seed)
    heat = torch.tensor(temperature, dtype=torch.float64, requires_grad=True)
    groups = None if classes is None else torch.arange(count) % classes

    ours = value_and_gradients(lambda: info_nce(first, second, heat, groups=groups, tile=tile), first, second, heat)
    theirs = value_and_gradients(lambda: dense(first, second, heat, groups), first, second, heat)

    for one, other in zip(ours, theirs, strict=True):
        assert float((one - other).abs().max()) <= 1e-12 * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize("anchor", [None, "b"])
def test_with_three_modalities_it_is_the_mean_over_couples(anchor):
    parts = {name: embeddings(9, 5, seed=seed)[0] for seed, name in enumerate("abc")}
    heat = torch.tensor(0.1, dtype=torch.float64)
    couples = ["ab", "ac", "bc"] if anchor is None else ["ba", "bc"]

    expected = torch.stack([dense(parts[one], parts[other], heat) for one, other in couples]).mean()

    torch.testing.assert_close(contrastive_loss(parts, heat, anchor=anchor, tile=4), expected, rtol=0, atol=1e-12)


def test_in_32_bits_it_stays_close_at_the_smallest_temperature():
    first, second = embeddings(64, 16)
    first, second = first.detach(), second.detach()
    exact = dense(first, second, torch.tensor(0.001, dtype=torch.float64))

    rough = info_nce(first.float(), second.float(), torch.tensor(0.001), tile=10)

    assert float(rough) == pytest.approx(float(exact), rel=1e-4)


def test_a_collapsed_model_has_the_loss_of_guessing():
    point = F.normalize(torch.ones(50, 8), dim=1)

    assert float(info_nce(point, point, torch.tensor(0.07), tile=16)) == pytest.approx(math.log(50), abs=1e-5)


def test_perfect_partners_cost_nothing_and_positives_of_a_class_lower_the_floor_by_its_size():
    own = torch.eye(12, dtype=torch.float64)
    classes = torch.arange(12) // 4
    shared = torch.eye(3, dtype=torch.float64)[classes]
    heat = torch.tensor(0.01, dtype=torch.float64)

    assert float(info_nce(own, own, heat)) < 1e-12
    assert float(info_nce(shared, shared, heat, groups=dense_groups(classes))) == pytest.approx(math.log(4))


@given(keys=st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_equal_keys_and_only_those_get_equal_small_numbers(keys):
    groups = dense_groups(torch.tensor(keys)).tolist()

    pairs = list(zip(keys, groups, strict=True))
    assert all((one == other) == (first == second) for one, first in pairs for other, second in pairs)
    assert set(groups) == set(range(len(set(keys))))


def test_no_tensor_of_all_similarities_is_made():
    first, second = embeddings(512, 4, dtype=torch.float32)
    heat = torch.tensor(0.07, requires_grad=True)

    with torch.autograd.profiler.profile(profile_memory=True) as profiler:
        info_nce(first, second, heat, tile=8).backward()
    sizes = [event.cpu_memory_usage for event in profiler.function_events]

    assert max(sizes) <= 4 * 8 * 512 * 2
