"""Surrogates: the published LSTM's size and start, learning, repeatability, spread."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmfuse.search.mfas_sampling import rank_correlation
from mmfuse.search.mfas_space import Chain, everything, rows
from mmfuse.search.surrogate import Kind, Surrogate, make_surrogate
from mmfuse.search.surrogate_lstm import LstmScorer, LstmSurrogate

TAPS = (3, 5)
KINDS: list[Kind] = ["ensemble", "forest", "boosting", "gaussian", "lstm"]


def surrogate(kind: Kind, *, seed: int = 0) -> Surrogate:
    return make_surrogate(kind, taps=TAPS, levels=2, seed=seed, epochs=100, standardise=True)


def landscape(count: int) -> tuple[list[Chain], list[float]]:
    """Random chains of one or two layers and scores in which deep taps and ReLU help."""
    chains = everything(rows(TAPS, (0, 1)), 2)
    chosen = [chains[i] for i in np.random.default_rng(3).choice(len(chains), size=count, replace=False)]
    return chosen, [0.7 + sum(0.03 * row[0] + 0.01 * row[1] - 0.02 * row[2] for row in c) / len(c) for c in chosen]


def test_the_lstm_has_the_published_parameters() -> None:
    shapes = [tuple(parameter.shape) for parameter in LstmScorer(3).parameters()]

    assert shapes == [(100, 3), (100,), (400, 100), (400, 100), (400,), (400,), (1, 100), (1,)]
    assert sum(parameter.numel() for parameter in LstmScorer(3).parameters()) == 81_301
    assert sum(parameter.numel() for parameter in LstmScorer(4).parameters()) == 81_401


def test_an_untrained_lstm_is_optimistic_about_everything() -> None:
    for seed in range(20):
        untrained = LstmSurrogate(columns=3, seed=seed, epochs=1, standardise=False)

        answers = untrained.predict([((0, 0, 0),), ((2, 4, 1), (1, 1, 0))]).mean

        assert ((answers > 0.80) & (answers < 0.90)).all()


def test_a_refit_of_the_lstm_goes_on_from_the_last_one() -> None:
    chains, scores = landscape(40)
    twice = LstmSurrogate(columns=3, seed=0, epochs=10, standardise=False)
    once = LstmSurrogate(columns=3, seed=0, epochs=20, standardise=False)

    twice.fit(chains, scores)
    twice.fit(chains, scores)
    once.fit(chains, scores)

    np.testing.assert_array_equal(twice.predict(chains).mean, once.predict(chains).mean)


def test_making_an_lstm_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()

    LstmSurrogate(columns=3, seed=1, epochs=1, standardise=False)

    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("kind", KINDS)
def test_it_ranks_chains_it_has_not_seen(kind: Kind) -> None:
    chains, scores = landscape(160)
    model = surrogate(kind)

    model.fit(chains[:100], scores[:100])

    correlation = rank_correlation(model.predict(chains[100:]).mean.tolist(), scores[100:])
    assert correlation is not None and correlation > 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_predicts_the_same_to_the_last_bit_whatever_the_threads(kind: Kind) -> None:
    chains, scores = landscape(60)
    answers = []
    threads = torch.get_num_threads()
    for count in (1, 2):
        torch.set_num_threads(count)
        model = surrogate(kind, seed=5)
        model.fit(chains[:40], scores[:40])
        answers.append(model.predict(chains))
    torch.set_num_threads(threads)

    np.testing.assert_array_equal(answers[0].mean, answers[1].mean)
    np.testing.assert_array_equal(answers[0].spread, answers[1].spread)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_scores_are_predicted_as_such(kind: Kind) -> None:
    chains, _ = landscape(20)
    model = surrogate(kind)

    model.fit(chains, [0.5] * len(chains))

    np.testing.assert_allclose(model.predict(chains).mean, 0.5, atol=0.01)


def test_the_gaussian_process_is_less_sure_away_from_its_data() -> None:
    chains, scores = landscape(40)
    near = [chain for chain in chains if len(chain) == 2][:30]
    model = surrogate("gaussian")

    model.fit(near, scores[: len(near)])

    assert model.predict([((0, 0, 1),)]).spread[0] > model.predict(near).spread.mean()


def test_predictions_come_in_the_order_of_the_chains_whatever_their_lengths() -> None:
    chains, scores = landscape(60)
    model = surrogate("lstm")
    model.fit(chains, scores)

    forwards, backwards = model.predict(chains).mean, model.predict(chains[::-1]).mean

    np.testing.assert_allclose(forwards, backwards[::-1], rtol=1e-5)
