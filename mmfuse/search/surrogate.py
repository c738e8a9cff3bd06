"""Surrogates: models that predict a chain's score from its rows, so that hundreds of chains can be judged unseen.

One interface for all. Each is refitted from everything measured so far, is deterministic given its seed and its data,
and computes on one thread, so a resumed search sees the same predictions whatever the number of cores.

MFAS (arXiv 1903.06496, section 3.2) uses an LSTM over rows of raw indices; `mmfuse.search.surrogate_lstm` has it. The
others see one-hot rows, where tap 3 is not "between" taps 2 and 4. On 900 two-layer networks of a small digit task,
trained on 45 of them, LSTM 0.74, forest 0.80 and Gaussian process 0.81 are typical rank correlations.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mmfuse.search.mfas_space import Chain, features_of

Kind = Literal["ensemble", "forest", "boosting", "gaussian", "lstm"]
Floats = NDArray[np.float64]

TREES = 100
BOOSTERS = 5


@dataclass(frozen=True)
class Prediction:
    """What a surrogate expects of n chains: the mean score (n,) and how unsure it is (n,), both in units of scores."""

    mean: Floats
    spread: Floats


class Surrogate(Protocol):
    """Learns scores of chains and predicts those of others."""

    def fit(self, chains: Sequence[Chain], scores: Sequence[float]) -> None:
        """Learn from everything measured so far; a chain may occur several times, scores are finite."""

    def predict(self, chains: Sequence[Chain]) -> Prediction:
        """Expected scores of ``chains``, in their order; `fit` came first."""


def make_surrogate(
    kind: Kind, *, taps: Sequence[int], levels: int, seed: int, epochs: int, standardise: bool
) -> Surrogate:
    """The surrogate called ``kind`` for chains of up to ``levels`` rows over backbones with ``taps`` taps.

    ``epochs`` (per refit) and ``standardise`` (its targets) concern the LSTM only.
    """
    if kind == "lstm":
        from mmfuse.search.surrogate_lstm import LstmSurrogate

        return LstmSurrogate(columns=len(taps) + 1, seed=seed, epochs=epochs, standardise=standardise)
    encoder = _Encoder(tuple(taps), levels)
    if kind == "ensemble":
        return Ensemble([Forest(encoder, seed=seed), Gaussian(encoder, seed=seed)])
    if kind == "boosting":
        return Boosting(encoder, seed=seed)
    return Forest(encoder, seed=seed) if kind == "forest" else Gaussian(encoder, seed=seed)


@dataclass(frozen=True)
class _Encoder:
    """Chains as rows of a float matrix."""

    taps: tuple[int, ...]
    levels: int

    def __call__(self, chains: Sequence[Chain]) -> Floats:
        return np.array([features_of(chain, taps=self.taps, levels=self.levels) for chain in chains])


class Forest:
    """Random forest; its spread is the disagreement of the trees."""

    def __init__(self, encoder: _Encoder, *, seed: int) -> None:
        self._encoder = encoder
        self._seed = seed
        self._model: Any = None

    def fit(self, chains: Sequence[Chain], scores: Sequence[float]) -> None:
        """Grow a new forest."""
        from sklearn.ensemble import RandomForestRegressor

        self._model = RandomForestRegressor(TREES, max_features=1 / 3, min_samples_leaf=2, random_state=self._seed)
        with one_thread():
            self._model.fit(self._encoder(chains), np.asarray(scores))

    def predict(self, chains: Sequence[Chain]) -> Prediction:
        """Mean and deviation over the trees."""
        features = self._encoder(chains).astype(np.float32)
        with one_thread():
            answers = np.stack([tree.predict(features) for tree in self._model.estimators_])
        return Prediction(answers.mean(axis=0), answers.std(axis=0))


class Boosting:
    """Gradient boosted trees, several times on other halves of the data; their disagreement is the spread."""

    def __init__(self, encoder: _Encoder, *, seed: int) -> None:
        self._encoder = encoder
        self._seed = seed
        self._models: list[Any] = []

    def fit(self, chains: Sequence[Chain], scores: Sequence[float]) -> None:
        """Grow new trees: small ones, slowly, each on a random half of the data (stochastic gradient boosting)."""
        from sklearn.ensemble import GradientBoostingRegressor

        features, targets = self._encoder(chains), np.asarray(scores)
        with one_thread():
            self._models = [
                GradientBoostingRegressor(
                    n_estimators=TREES, max_depth=3, subsample=0.5, max_features=1 / 3, random_state=self._seed + number
                ).fit(features, targets)
                for number in range(BOOSTERS)
            ]

    def predict(self, chains: Sequence[Chain]) -> Prediction:
        """Mean and deviation over the boosters."""
        features = self._encoder(chains)
        with one_thread():
            answers = np.stack([model.predict(features) for model in self._models])
        return Prediction(answers.mean(axis=0), answers.std(axis=0))


class Gaussian:
    """Gaussian process with a kernel that falls with the number of choices that differ, and learned noise."""

    def __init__(self, encoder: _Encoder, *, seed: int) -> None:
        self._encoder = encoder
        self._seed = seed
        self._model: Any = None

    def fit(self, chains: Sequence[Chain], scores: Sequence[float]) -> None:
        """Fit length scale, amplitude and noise by marginal likelihood, then the process."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

        # On one-hot columns the squared distance counts differences, so the RBF is a Hamming kernel.
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(3.0, (0.5, 30.0)) + WhiteKernel(0.1, (1e-4, 2.0))
        self._model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=self._seed)
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a bound reached is an answer: no signal, or no noise
            self._model.fit(self._encoder(chains), np.asarray(scores))

    def predict(self, chains: Sequence[Chain]) -> Prediction:
        """Posterior mean and deviation, measurement noise included."""
        with one_thread():
            mean, spread = self._model.predict(self._encoder(chains), return_std=True)
        return Prediction(mean, spread)


class Ensemble:
    """The average of several surrogates; unsure where they disagree or are unsure themselves."""

    def __init__(self, members: Sequence[Surrogate]) -> None:
        self._members = tuple(members)

    def fit(self, chains: Sequence[Chain], scores: Sequence[float]) -> None:
        """Fit every member to the same data."""
        for member in self._members:
            member.fit(chains, scores)

    def predict(self, chains: Sequence[Chain]) -> Prediction:
        """The mixture's mean and deviation."""
        answers = [member.predict(chains) for member in self._members]
        means = np.stack([answer.mean for answer in answers])
        within = np.stack([answer.spread for answer in answers])
        return Prediction(means.mean(axis=0), np.sqrt((within**2).mean(axis=0) + means.var(axis=0)))


def one_thread() -> Any:
    """A context in which linear algebra runs on one thread: sums in one order, and no thread pool before a fork."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
