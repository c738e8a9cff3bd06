"""The space of MFAS: enumeration, growth, random draws, and numbers for surrogates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.search.mfas_space import draw, everything, features_of, label, late_fusion, neighbours, rows, size


def test_the_activation_runs_fastest_then_the_last_modality() -> None:
    choices = rows((5, 3), (0, 1))  # audio, image: the columns of the published AV-MNIST search

    assert len(choices) == 30
    assert choices[:3] == ((0, 0, 0), (0, 0, 1), (0, 1, 0))
    assert choices[29] == (4, 2, 1)
    assert rows((4, 4), (0, 1))[31] == (3, 3, 1)


@pytest.mark.parametrize(("choices", "levels", "expected"), [(30, 2, 930), (30, 4, 837_930), (32, 4, 1_082_400)])
def test_the_space_has_its_published_size(choices: int, levels: int, expected: int) -> None:
    assert size(choices, levels) == expected


def test_everything_is_every_chain_once() -> None:
    chains = everything(rows((2, 2), (0,)), 2)

    assert len(chains) == len(set(chains)) == size(4, 2) == 20


def test_a_step_replaces_the_row_of_its_level_or_appends_one() -> None:
    a, b, new = (0, 0, 0), (1, 1, 1), (2, 2, 0)

    assert neighbours([(a,)], [new], level=1) == [(a, new)]
    assert neighbours([(a, b)], [new], level=0) == [(new, b)]
    assert neighbours([(a,), (a, b)], [a, new], level=1) == [(a, a), (a, new), (a, a), (a, new)]
    assert neighbours([], [a, new], level=0) == [(a,), (new,)]


def test_late_fusion_reads_the_last_taps() -> None:
    assert late_fusion((3, 5)) == ((2, 4, 0),)


@given(count=st.integers(1, 60), levels=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_random_draw_has_no_repeats_and_stays_in_the_space(count: int, levels: int, seed: int) -> None:
    choices = rows((2, 2), (0, 1))

    drawn = draw(choices, count, levels=levels, rng=np.random.default_rng(seed))

    assert len(set(drawn)) == len(drawn) == min(count, size(len(choices), levels))
    assert all(1 <= len(chain) <= levels and set(chain) <= set(choices) for chain in drawn)


def test_different_chains_have_different_features_of_one_length() -> None:
    chains = everything(rows((3, 2), (0, 1)), 2)

    features = [tuple(features_of(chain, taps=(3, 2), levels=2)) for chain in chains]

    assert len(set(features)) == len(chains)
    assert len({len(numbers) for numbers in features}) == 1


def test_a_chain_reads_well() -> None:
    assert label(((2, 4, 0), (0, 3, 1))) == "2+4 relu > 0+3 sigmoid"
