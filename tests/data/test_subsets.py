"""Fewer pairs: as many as asked for, always the same, and diverse where that is asked for."""

import pytest
import torch
from torch.nn.functional import normalize

import mmfuse.data.subsets
from mmfuse.data.latent_world import Options, load
from mmfuse.data.subset_options import SubsetOptions
from mmfuse.data.subsets import greedy_dpp, k_center, subset
from mmfuse.errors import UnknownName

HOW = ["random", "k_center", "dpp"]


def pairs(images=120):
    return load(None, Options(images=images, captions=2)).train


def clusters():
    """Four large and ten small clusters of directions: (1400, 16) and each row's cluster, shuffled."""
    generator = torch.Generator().manual_seed(0)
    owner = torch.cat([torch.arange(4).repeat_interleave(300), torch.arange(4, 14).repeat_interleave(20)])
    owner = owner[torch.randperm(len(owner), generator=generator)]
    centres = torch.randn(14, 16, generator=generator)
    return normalize(centres[owner] + 0.1 * torch.randn(len(owner), 16, generator=generator), dim=1), owner


def slow_dpp(features, size):
    """Greedily the largest determinant, by determinants."""
    kernel = (1 + features.double() @ features.double().T).square()
    chosen = [0]
    while len(chosen) < size:
        gains = [
            -1.0 if row in chosen else float(torch.linalg.det(kernel[[*chosen, row]][:, [*chosen, row]]))
            for row in range(len(features))
        ]
        chosen.append(gains.index(max(gains)))
    return chosen


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("fraction", [0.1, 0.37, 1.0])
def test_as_many_pairs_as_asked_for_each_once_in_stored_order(how, fraction):
    whole = pairs()

    part = subset(whole, SubsetOptions(fraction=fraction, subset=how))

    rows = part.pairs[:, 1].tolist()
    assert len(part) == round(fraction * 240)
    assert rows == sorted(set(rows))


@pytest.mark.parametrize("how", HOW)
def test_the_seed_decides(how):
    choices = [subset(pairs(), SubsetOptions(fraction=0.2, subset=how, subset_seed=seed)).pairs for seed in (0, 0, 1)]

    assert choices[0].equal(choices[1])
    assert not choices[0].equal(choices[2])


def test_greedy_dpp_takes_what_adds_most_volume():
    features = normalize(torch.randn(30, 6, generator=torch.Generator().manual_seed(3)), dim=1)

    assert greedy_dpp(features, 8).tolist() == slow_dpp(features, 8)


def test_k_center_takes_what_is_farthest():
    line = torch.tensor([[0.0], [1.0], [10.0], [4.0], [9.0]])

    assert k_center(line, 4).tolist() == [0, 2, 3, 1]


@pytest.mark.parametrize("choose", [k_center, greedy_dpp])
def test_diverse_choices_reach_every_cluster_where_chance_does_not(choose):
    features, owner = clusters()

    chosen = choose(features, 60)

    assert len(owner[chosen].unique()) == 14
    assert len(owner[:60].unique()) < 14


def test_where_nothing_is_left_to_add_the_rest_are_filled_up():
    same = normalize(torch.ones(10, 3), dim=1)

    assert sorted(greedy_dpp(same, 4).tolist()) == [0, 1, 2, 3]


def test_two_captions_of_one_image_are_never_both_chosen_before_all_images_are():
    whole = pairs()

    part = subset(whole, SubsetOptions(fraction=0.25, subset="k_center", subset_on="image"))

    assert len(part.pairs[:, 0].unique()) == len(part)


@pytest.mark.parametrize("how", HOW)
def test_sets_that_are_too_large_are_cut_into_parts_that_give_their_shares(how, monkeypatch):
    monkeypatch.setattr(mmfuse.data.subsets, "BUDGET", 50)

    part = subset(pairs(), SubsetOptions(fraction=0.3, subset=how))

    assert len(part) == len(part.pairs[:, 1].unique()) == 72


def test_a_modality_that_is_not_there_is_named():
    with pytest.raises(UnknownName, match="no modality named 'txet'"):
        subset(pairs(), SubsetOptions(fraction=0.5, subset="dpp", subset_on="txet"))
