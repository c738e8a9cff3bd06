"""What is told of embeddings: figures against their definitions, alarms where something is wrong and nowhere else."""

from __future__ import annotations

import math

import pytest
import torch
from latent_pairs import Listener, with_train, world
from torch.nn.functional import normalize

from mmfuse.architecture import Architecture
from mmfuse.spec import FitOptions
from mmfuse.training.collapse import alarms, diagnose
from mmfuse.training.contrastive import fit_contrastive

LIMITS = (0.001, 0.5)


def unit(rows: int, dim: int, *, seed: int) -> torch.Tensor:
    return normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def train(folder, splits, *, epochs=30, **params):
    listener = Listener()
    options = {"epochs": epochs, "batch_size": 100, "schedule": "warmup", "warmup_steps": 5, "learning_rate": 3e-3}
    fit_contrastive(
        Architecture("fusemix", {"embed": 16, "depth": 1, "expansion": 2, "dropout": 0.0} | params),
        splits,
        FitOptions(**options),
        seed=0,
        device=torch.device("cpu"),
        folder=folder,
        reporter=listener,
        should_stop=lambda: False,
        provenance={},
    )
    return listener


def told(listener: Listener, message: str) -> list[str]:
    return [facts["alarm"] for said, facts in listener.notes if said == message]


def test_figures_follow_their_definitions():
    one, other = unit(40, 6, seed=0), unit(40, 6, seed=1)

    figures = diagnose({"image": one, "text": other})

    apart = torch.pdist(one.double()).square()
    shares = torch.linalg.svdvals(one.double())
    shares = shares / shares.sum()
    assert figures["alignment"] == pytest.approx(float((one - other).square().sum(1).mean()), rel=1e-5)
    assert figures["modality_gap"] == pytest.approx(float((one.mean(0) - other.mean(0)).norm()), rel=1e-5)
    assert figures["uniformity_image"] == pytest.approx(float((-2 * apart).exp().mean().log()), rel=1e-5)
    assert figures["effective_rank_image"] == pytest.approx(float((-shares * shares.log()).sum().exp()), rel=1e-5)
    assert figures["spread_image"] == pytest.approx(float(one.var(0, correction=0).sum().sqrt()), rel=1e-5)


def test_the_effective_rank_counts_the_directions_that_are_used():
    axes = torch.eye(8)[torch.arange(64) % 4]

    assert diagnose({"image": axes, "text": axes})["effective_rank_image"] == pytest.approx(4, rel=1e-5)


def test_what_is_well_rings_no_alarm():
    figures = diagnose({"image": unit(50, 6, seed=0), "text": unit(50, 6, seed=1)})

    assert not alarms(figures, temperature=0.07, limits=LIMITS, loss=2.0, batch=50)


@pytest.mark.parametrize("temperature", LIMITS)
def test_each_thing_that_goes_wrong_is_named(temperature):
    point = unit(1, 6, seed=0).repeat(50, 1)
    figures = diagnose({"image": point, "text": unit(50, 6, seed=1)})

    found = alarms(figures, temperature=temperature, limits=LIMITS, loss=math.log(50), batch=50)

    assert set(found) == {"collapsed image", "chance", "temperature"}


def test_a_single_pair_is_no_collapse():
    figures = diagnose({"image": unit(1, 6, seed=0), "text": unit(1, 6, seed=1)})

    assert not alarms(figures, temperature=0.07, limits=LIMITS, loss=None, batch=2)


def test_a_training_that_learns_is_never_said_to_guess(tmp_path):
    listener = train(tmp_path, world(400))

    losses = listener.losses()
    assert losses[0] > math.log(100) > losses[-1], "it starts above guessing, as every training does"
    assert not told(listener, "collapse alarm")


def test_a_training_that_learns_nothing_is_said_to_guess(tmp_path):
    splits = world(400)
    same = {name: torch.ones_like(values) for name, values in splits.train.latents.items()}

    assert "chance" in told(train(tmp_path, with_train(splits, latents=same)), "collapse alarm")


def test_an_alarm_that_is_over_is_taken_back(tmp_path):
    listener = train(tmp_path, world(400), temperature=0.5, temperature_range=(0.001, 0.5))

    assert told(listener, "collapse alarm").count("temperature") == 1
    assert told(listener, "collapse alarm over") == ["temperature"]


def test_the_temperature_that_is_reported_and_scored_with_lies_in_its_range(tmp_path):
    narrow = (0.0699, 0.0701)

    listener = train(tmp_path, world(400), epochs=8, temperature_range=narrow)

    reported = [values["train/temperature"] for _, values in listener.rows if "train/temperature" in values]
    assert all(narrow[0] - 1e-7 <= value <= narrow[1] + 1e-7 for value in reported)
    assert "temperature" in told(listener, "collapse alarm")
