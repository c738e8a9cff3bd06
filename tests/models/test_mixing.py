"""Blending: partners stay partners, nothing else changes."""

import pytest
import torch

from mmfuse.latents import LatentBatch
from mmfuse.models.mixing import alpha_at, blend_halves, blend_permuted, unblended

BLENDS = [(make, each) for make in (blend_halves, blend_permuted) for each in (False, True)]


def batch(count=20, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    latents = {"a": torch.randn(count, 6, generator=generator), "b": torch.randn(count, 4, generator=generator)}
    return LatentBatch({name: values.to(dtype) for name, values in latents.items()}, torch.arange(count))


@pytest.mark.parametrize(("make", "each"), BLENDS)
def test_latents_that_are_linear_in_each_other_stay_so_because_the_share_is_shared(make, each):
    given = batch()
    matrix = torch.randn(6, 4)
    linked = LatentBatch({"a": given.latents["a"], "b": given.latents["a"] @ matrix}, given.index)

    made = make(linked, alpha=1.0, each=each).part(0, 100)

    torch.testing.assert_close(made["a"] @ matrix, made["b"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("make", "each"), BLENDS)
def test_parts_are_pieces_of_the_whole(make, each):
    blend = make(batch(), alpha=0.4, each=each)

    whole = blend.part(0, len(blend))
    pieces = [blend.part(start, start + 3) for start in range(0, len(blend), 3)]

    assert all(torch.cat([piece[name] for piece in pieces]).equal(whole[name]) for name in "ab")


def test_halves_blend_each_pair_once_and_none_with_itself():
    blend = blend_halves(batch(21), alpha=1.0, each=False)

    assert len(blend) == 10
    assert sorted(torch.cat([blend.first, blend.second]).tolist()) == list(range(20))


def test_a_permutation_keeps_as_many_pairs():
    blend = blend_permuted(batch(), alpha=1.0, each=False)

    assert blend.first.tolist() == list(range(20)) == sorted(blend.second.tolist())


def test_one_share_for_the_batch_or_one_for_each_pair():
    assert blend_halves(batch(), alpha=1.0, each=False).share.shape == ()
    assert len(blend_halves(batch(), alpha=1.0, each=True).share.unique()) == 10


def test_shares_follow_the_beta_distribution():
    torch.manual_seed(0)
    many = batch(4000)

    spread = {alpha: float(blend_permuted(many, alpha=alpha, each=True).share.var()) for alpha in (0.2, 1.0, 8.0)}

    for alpha, variance in spread.items():
        assert variance == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_noise_is_gaussian_with_mean_zero():
    torch.manual_seed(0)
    still = LatentBatch({"a": torch.ones(2000, 10)}, torch.arange(2000))

    noisy = unblended(still).with_noise(0.3).part(0, 2000)["a"] - 1

    assert float(noisy.mean()) == pytest.approx(0, abs=0.01)
    assert float(noisy.std()) == pytest.approx(0.3, rel=0.02)
    assert float((noisy / 0.3).pow(4).mean()) == pytest.approx(3, rel=0.05)


def test_without_blending_pairs_are_what_they_were():
    given = batch()

    assert all(unblended(given).part(0, 20)[name].equal(given.latents[name]) for name in "ab")


def test_latents_of_16_bits_are_blended_in_32():
    blend = blend_halves(batch(dtype=torch.float16), alpha=1.0, each=False)

    assert blend.part(0, 10)["a"].dtype == torch.float32


def test_blends_of_the_same_labels_in_the_same_order_have_the_same_key():
    blend = blend_halves(batch(4), alpha=1.0, each=False)

    same, other = blend.keys(torch.tensor([3, 3, 5, 5])), blend.keys(torch.tensor([3, 5, 5, 3]))

    assert same[0] == same[1]
    assert other[0] != other[1]


@pytest.mark.parametrize("curve", ["cosine", "exponential"])
def test_alpha_goes_from_first_to_last(curve):
    path = [alpha_at(step / 10, first=0.1, last=2.0, curve=curve) for step in range(11)]

    assert path[0] == pytest.approx(0.1)
    assert path[-1] == pytest.approx(2.0)
    assert path == sorted(path)
    assert alpha_at(0.5, first=1.0, last=1.0, curve=curve) == pytest.approx(1.0)
