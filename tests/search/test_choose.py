"""How a question is settled."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.architecture import Architecture
from mmfuse.errors import MmfuseError
from mmfuse.search.choose import rank
from mmfuse.search.drive import Score


def named(name: str) -> Architecture:
    return Architecture("toy", {"name": name})


def test_the_best_score_wins_and_direction_counts() -> None:
    candidates = [named("a"), named("b")]

    assert rank(candidates, [0.1, 0.9], maximize=True)[0].architecture == named("b")
    assert rank(candidates, [0.1, 0.9], maximize=False)[0].architecture == named("a")


def test_an_exact_tie_goes_to_the_smaller_model() -> None:
    candidates = [named("large"), named("small")]

    ranking = rank(candidates, [Score(0.5, 1000), Score(0.5, 10)], maximize=True)

    assert ranking[0].architecture == named("small")


def test_within_the_joint_error_the_smaller_model_wins_but_not_beyond_it() -> None:
    large, small, bad = named("large"), named("small"), named("bad")
    candidates = [large] * 3 + [small] * 3 + [bad] * 3
    scores = [Score(s, 1000) for s in (0.80, 0.84, 0.82)]
    scores += [Score(s, 10) for s in (0.79, 0.83, 0.81)]
    scores += [Score(s, 1) for s in (0.20, 0.21, 0.22)]

    ranking = rank(candidates, scores, maximize=True)

    assert [choice.architecture for choice in ranking] == [small, large, bad]


def test_one_failed_repeat_does_not_condemn_a_candidate() -> None:
    ranking = rank([named("a"), named("a"), named("b")], [math.nan, 0.9, 0.5], maximize=True)

    assert ranking[0].architecture == named("a")
    assert ranking[0].scores == (0.9,)


def test_no_usable_score_is_an_error_that_names_the_question() -> None:
    candidate = Architecture("unimodal", {}, stage="encoder/image")

    with pytest.raises(MmfuseError, match="encoder/image"):
        rank([candidate], [math.nan], maximize=True)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_listing_order_never_decides(given_scores: list[tuple[int, int, int]], shuffler: random.Random) -> None:
    pairs = [(named(str(name)), Score(score / 4, size)) for name, score, size in given_scores]
    shuffled = list(pairs)
    shuffler.shuffle(shuffled)

    first = rank([a for a, _ in pairs], [s for _, s in pairs], maximize=True)
    second = rank([a for a, _ in shuffled], [s for _, s in shuffled], maximize=True)

    assert [choice.architecture for choice in first] == [choice.architecture for choice in second]
