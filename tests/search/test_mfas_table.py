"""Searches judged offline on every network of up to two layers of AV-MNIST's stand-in, trained with three seeds.

`tests/fixtures/make_mfas_table.py` made the table. A trial is answered with one of the three trainings, by its seed; in
the last stage with that training's score on the held-out rows. What a network is worth is the mean of all six.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmfuse.report import NullReporter, TrialRecord
from mmfuse.search import mfas
from mmfuse.search.drive import Trial, drive
from mmfuse.search.mfas_sampling import rank_correlation
from mmfuse.search.mfas_space import Chain, everything, late_fusion, rows
from mmfuse.spec import CHOICE_STAGE
from mmfuse.task import Modality, Task

AVMNIST = Task(
    "avmnist",
    "multiclass",
    (Modality("image", "grid", (1, 28, 28)), Modality("audio", "grid", (1, 112, 112))),
    10,
    "accuracy",
)
SEARCHES = 10


@dataclass(frozen=True, eq=False)
class Table:
    """The score a search sees and the one finalists are compared by, per network and seed."""

    val: dict[Chain, np.ndarray]
    choice: dict[Chain, np.ndarray]

    joint = False

    def worth(self, chain: Chain) -> float:
        return float(np.mean([self.val[chain], self.choice[chain]]))

    @property
    def best(self) -> float:
        return max(map(self.worth, self.val))

    def evaluate(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        for trial in trials:
            scores = self.choice if trial.architecture.stage == CHOICE_STAGE else self.val
            chain = tuple(tuple(row) for row in trial.architecture.params["layers"])
            score = float(scores[chain][trial.seed % len(scores[chain])])
            yield TrialRecord(trial.number, trial.architecture, trial.seed, status="done", score=score)


@pytest.fixture(scope="module")
def table() -> Table:
    stored = np.load(Path(__file__).parents[1] / "fixtures" / "mfas_avmnist_table.npz")
    chains = [tuple(tuple(map(int, row)) for row in layers if row[0] >= 0) for layers in stored["layers"]]
    return Table(dict(zip(chains, stored["val"], strict=True)), dict(zip(chains, stored["choice"], strict=True)))


@cache
def judged(table: Table, strategy: str, **values: Any) -> tuple[list[float], int]:
    """What the winners of ten searches are worth, and how many trainings each search asked for."""
    options = mfas.Options(strategy=strategy, levels=2, control=False, **values)
    worths, trainings = [], 0
    for seed in range(SEARCHES):
        seeds = np.random.default_rng(1000 + seed).integers(2**31, size=1000)
        outcome = drive(
            mfas.search(AVMNIST, options, np.random.default_rng(seed)),
            evaluator=table,
            reporter=NullReporter(),
            seed_of=lambda number, seeds=seeds: int(seeds[number]),
        )
        worths.append(table.worth(tuple(tuple(row) for row in outcome.architecture.params["layers"])))
        trainings = len(outcome.trials)
    return worths, trainings


def test_the_table_holds_every_network_of_two_layers_with_three_seeds(table: Table) -> None:
    assert set(table.val) == set(everything(rows((3, 5), (0, 1)), 2))
    assert all(scores.shape == (3,) and np.isfinite(scores).all() for scores in table.val.values())


def test_networks_differ_by_more_than_the_noise_of_their_seeds(table: Table) -> None:
    noise = np.mean([scores.std(ddof=1) for scores in table.val.values()])
    spread = np.std([scores.mean() for scores in table.val.values()])

    assert spread > 2 * noise


def test_the_held_out_rows_rank_networks_as_validation_does(table: Table) -> None:
    chains = list(table.val)

    correlation = rank_correlation(
        [float(table.val[chain].mean()) for chain in chains], [float(table.choice[chain].mean()) for chain in chains]
    )
    assert correlation is not None and correlation > 0.9


def test_the_search_beats_random_search_at_equal_trainings(table: Table) -> None:
    found, trainings = judged(table, "progressive")
    drawn, equal = judged(table, "random")

    assert trainings == equal
    assert sum(ours >= theirs for ours, theirs in zip(found, drawn, strict=True)) >= 9
    assert table.best - np.mean(found) <= 0.5 * (table.best - np.mean(drawn))


def test_what_is_found_beats_late_fusion(table: Table) -> None:
    found, _ = judged(table, "progressive")

    assert np.mean(found) > table.worth(late_fusion((3, 5)))
