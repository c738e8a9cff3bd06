"""A training that was killed or stopped, wherever, ends exactly like one that was not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# The first test waits for every scenario, a hundred processes in all; the usual limit is too short on a busy machine.
pytestmark = pytest.mark.timeout(900)

POLLS = range(1, 25)
"""4 epochs of 5 steps and one validation batch each: every moment at which the training looks up."""

PLAIN = {}
OFTEN = {"checkpoint_every": 2}
EVERY = {"checkpoint_every": 1}


def _scenario(name, options, *deaths):
    return {"name": name, "options": options, "deaths": list(deaths)}


def _death(at, signal="SIGKILL"):
    return {"at": at, "signal": signal}


SCENARIOS = [
    *(_scenario(f"killed-{at}", PLAIN, _death(at)) for at in (1, 3, 5, 6, 7, 12, 13, 18, 24)),
    *(_scenario(f"stopped-{at}", PLAIN, _death(at, "SIGTERM")) for at in POLLS),
    *(_scenario(f"killed-between-checkpoints-{at}", OFTEN, _death(at)) for at in (3, 5, 6, 9)),
    _scenario("killed-three-times-in-one-epoch", EVERY, _death(8), _death(2), _death(2)),
    _scenario("stopped-three-times-in-one-epoch", PLAIN, *[_death(at, "SIGTERM") for at in (8, 1, 1)]),
    _scenario("stopped-twice-before-the-same-validation", PLAIN, _death(6, "SIGTERM"), _death(1, "SIGTERM")),
    _scenario("killed-then-stopped", OFTEN, _death(9), _death(4, "SIGTERM")),
    _scenario("killed-while-writing", EVERY, _death("half_written")),
    _scenario("killed-between-best-and-last", PLAIN, _death("between_best_and_last")),
    _scenario("killed-after-the-rename", PLAIN, _death("just_renamed")),
    _scenario("stopped-while-lightning-sets-up", PLAIN, _death("lightning_sets_up", "SIGTERM")),
    _scenario("stopped-under-cosine", {"schedule": "cosine"}, _death(9, "SIGTERM")),
    _scenario("killed-before-stopping-early", {"epochs": 12, "early_stopping": 2}, _death(22), _death(27)),
    _scenario("resumed-after-its-end", PLAIN, {}),
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What came of each scenario and, under the options as JSON, of an undisturbed training with the same options."""
    kinds = {json.dumps(scenario["options"]): scenario["options"] for scenario in SCENARIOS}
    undisturbed = [_scenario(f"undisturbed-{number}", options) for number, options in enumerate(kinds.values())]
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("killable_fit.py"), tmp_path_factory.mktemp("runs")],
        input=json.dumps(SCENARIOS + undisturbed),
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    return results | {kind: results[f"undisturbed-{number}"] for number, kind in enumerate(kinds)}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_a_disturbed_training_ends_like_an_undisturbed_one(outcomes, scenario):
    disturbed, expected = outcomes[scenario["name"]], outcomes[json.dumps(scenario["options"])]

    assert disturbed["last"] == expected["last"]
    assert disturbed["best"] == expected["best"]
    assert disturbed["training"] == expected["training"]
    assert disturbed["rows"] == expected["rows"]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_each_attempt_ended_as_the_scenario_says(outcomes, scenario):
    endings = {"SIGKILL": -9, "SIGTERM": 75}

    expected = [endings[death["signal"]] if death else 0 for death in scenario["deaths"]]

    assert outcomes[scenario["name"]]["codes"] == [*expected, 0]


def test_an_undisturbed_training_reports_every_step_and_every_epoch(outcomes):
    rows = outcomes[json.dumps(PLAIN)]["rows"]

    steps = [(row["s"], row["e"]) for row in rows if "train/loss" in row["m"]]
    epochs = [(row["s"], row["e"]) for row in rows if "val/accuracy" in row["m"]]
    assert steps == [(step, (step + 4) // 5) for step in range(1, 21)]
    assert epochs == [(5, 1), (10, 2), (15, 3), (20, 4)]


def test_the_learning_rate_falls_in_the_undisturbed_training_so_that_resuming_must_restore_it(outcomes):
    rows = outcomes[json.dumps(PLAIN)]["rows"]

    rates = [row["m"]["train/learning_rate"] for row in rows if "train/learning_rate" in row["m"]]
    assert rates[-1] < rates[0]


def test_early_stopping_ended_the_undisturbed_training_so_that_resuming_must_count_on(outcomes):
    undisturbed = outcomes[json.dumps({"epochs": 12, "early_stopping": 2})]

    _, best_epoch, _ = undisturbed["best"]
    assert undisturbed["step"] == 5 * (best_epoch + 2)
    assert best_epoch == 6, "the last death must fall into the epoch after the first one without improvement"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_only_the_two_checkpoints_are_left(outcomes, scenario):
    assert outcomes[scenario["name"]]["files"] == ["best.ckpt", "last.ckpt"]
