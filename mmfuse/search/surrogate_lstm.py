"""The surrogate MFAS was published with: an LSTM that reads a chain row by row and answers an accuracy.

Section 3.2 of "MFAS" (arXiv 1903.06496) and its released code: rows of raw indices, Linear(columns, 100) and sigmoid,
LSTM(100, 100), Linear(100, 1) and sigmoid: 81,301 parameters for two modalities. Biases of both linear layers start at
1.8, so an untrained surrogate answers about 0.86 for everything, an optimistic guess that suits accuracies near 0.9.

Chains of one length make one full batch; an epoch is one Adam step per length, in the order in which lengths were
first seen. Weights and Adam's state are kept from one refit to the next, as published.

``standardise`` is ours: targets are shifted and scaled around the middle of the sigmoid before each refit, and answers
scaled back. Without it, 50 epochs on accuracies that differ by a few points teach the network little more than their
mean. For scores outside 0 to 1 it is the only choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from mmfuse.search.mfas_space import Chain
from mmfuse.search.surrogate import Prediction

HIDDEN = 100
WEIGHT_RANGE = 0.1
INITIAL_BIAS = 1.8
LEARNING_RATE = 1e-3
TARGET_DEVIATION = 0.15
"""One standard deviation of standardised targets, in units of the sigmoid's output around 0.5."""


class LstmScorer(nn.Module):
    """Chains of one length as floats (B, length, columns) to scores (B,) between 0 and 1."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.embed = nn.Linear(columns, HIDDEN)
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.score = nn.Linear(HIDDEN, 1)
        for linear in (self.embed, self.score):
            nn.init.uniform_(linear.weight, -WEIGHT_RANGE, WEIGHT_RANGE)
            nn.init.constant_(linear.bias, INITIAL_BIAS)

    def forward(self, rows: Tensor) -> Tensor:
        """The score after the last row."""
        states, _ = self.lstm(torch.sigmoid(self.embed(rows)))
        return torch.sigmoid(self.score(states[:, -1])).squeeze(1)


class LstmSurrogate:
    """`LstmScorer` behind the interface of all surrogates; it knows no spread and answers 0 for it."""

    def __init__(self, *, columns: int, seed: int, epochs: int, standardise: bool) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = LstmScorer(columns)
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        self._epochs = epochs
        self._standardise = standardise
        self._shift = 0.0
        self._scale = 1.0

    def fit(self, chains: Sequence[Chain], scores: Sequence[float]) -> None:
        """Go on training, for the planned epochs, on everything measured so far."""
        if self._standardise:
            self._scale = max(float(np.std(scores)), 1e-6) / TARGET_DEVIATION
            self._shift = float(np.mean(scores)) - 0.5 * self._scale
        targets = [(score - self._shift) / self._scale for score in scores]
        batches = [
            (_rows([chains[index] for index in indices]), torch.tensor([targets[index] for index in indices]))
            for indices in _by_length(chains)
        ]
        with _one_torch_thread():
            for _ in range(self._epochs):
                for rows, target in batches:
                    self._optimiser.zero_grad()
                    nn.functional.mse_loss(self.network(rows), target).backward()
                    self._optimiser.step()

    def predict(self, chains: Sequence[Chain]) -> Prediction:
        """One forward pass per length."""
        mean = np.zeros(len(chains))
        with _one_torch_thread(), torch.no_grad():
            for indices in _by_length(chains):
                answer = self.network(_rows([chains[index] for index in indices]))
                mean[indices] = answer.double().numpy() * self._scale + self._shift
        return Prediction(mean, np.zeros(len(chains)))


def _rows(chains: Sequence[Chain]) -> Tensor:
    """Chains of one length as (B, length, columns)."""
    return torch.tensor(chains, dtype=torch.float32)


def _by_length(chains: Sequence[Chain]) -> list[list[int]]:
    """Positions of chains grouped by length, lengths in the order in which they first occur."""
    groups: dict[int, list[int]] = {}
    for index, chain in enumerate(chains):
        groups.setdefault(len(chain), []).append(index)
    return list(groups.values())


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Sums in one order whatever the machine; a network this small gains nothing from more threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
