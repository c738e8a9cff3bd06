"""The main job as a newcomer does it: search, look, measure, compare."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typed import TINY_FUSION_SEARCH, TINY_SEARCH, TOY_M2, Command, shown

pytestmark = pytest.mark.timeout(900)


def test_search_train_measure_compare(mmfuse: Command, home: Path) -> None:
    searched = shown(mmfuse("search", "mixmas", "--dataset", "toy", *TINY_SEARCH, "--name", "found", "--json"))
    mmfuse("train", "m2_mixer", "--dataset", "toy", "--set", "fit.epochs=2", *TOY_M2, "--name", "baseline")

    run = shown(mmfuse("runs", "show", "found", "--json"))
    measured = shown(mmfuse("eval", "checkpoint", "found", "--json"))
    listed = shown(mmfuse("runs", "ls", "--json"))
    compared = mmfuse("runs", "compare", "found", "baseline").stdout

    assert run["run"]["state"] == "finished"
    assert len(run["trials"]) == 8
    assert {trial["status"] for trial in run["trials"]} == {"done"}
    test_score = run["run"]["metrics"]["test/accuracy"]
    assert measured["result"]["metrics"]["test/accuracy"] == test_score
    assert searched["result"]["metrics"]["test/accuracy"] == test_score
    assert len(listed["runs"]) == 3
    assert "found" in compared
    assert "baseline" in compared


def test_the_found_architecture_can_be_trained_again_elsewhere(mmfuse: Command) -> None:
    mmfuse("search", "mixmas", "--dataset", "toy", *TINY_SEARCH, "--no-train", "--name", "found")

    mmfuse("train", "--from", "found", "--set", "fit.epochs=1", "--set", "data.samples=128", "--name", "again")

    found = shown(mmfuse("runs", "show", "found", "--json"))["run"]
    again = shown(mmfuse("runs", "show", "again", "--json"))["run"]
    assert found["architecture_key"] == again["architecture_key"]


def test_a_found_fusion_is_trained_again_on_the_backbones_it_was_found_on(mmfuse: Command) -> None:
    mmfuse("search", "mfas", "--dataset", "toy", *TINY_FUSION_SEARCH, "--no-train", "--name", "found")

    mmfuse("train", "--from", "found", "--set", "fit.epochs=1", "--name", "again")

    found, again = (shown(mmfuse("runs", "show", name, "--json")) for name in ("found", "again"))
    asked, trained = found["exit"]["result"]["full_training"], again["spec"]["params"]
    assert again["arrays"] == found["arrays"]
    assert trained["width"] == asked["width"] == 8
    assert trained["backbones"] == asked["backbones"]


def test_two_searches_with_one_seed_have_one_trial_table(mmfuse: Command) -> None:
    for name in ("one", "two"):
        mmfuse("search", "mixmas", "--dataset", "toy", *TINY_SEARCH, "--no-train", "--seed", "7", "--name", name)

    tables = [
        [{key: value for key, value in trial.items() if key != "seconds"} for trial in trials]
        for trials in (shown(mmfuse("runs", "show", name, "--json"))["trials"] for name in ("one", "two"))
    ]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("dataset", ["mimic_iii", "toy_sequence"])
def test_vectors_and_sequences_are_searched_like_grids(mmfuse: Command, dataset: str) -> None:
    finished = mmfuse(
        "search", "mixmas", "--dataset", dataset, "--no-train", "--json",
        "--set", 'space.functions=["concat","mean"]', "--set", "benchmark.epochs=1",
        "--set", "benchmark.sample=128", "--set", "benchmark.tolerance=0.2", "--set", "benchmark.validation=128",
    )  # fmt: skip

    assert shown(finished)["state"] == "finished"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["search", "mixmas", "--dataset", "avmist"], 2, "avmnist"),
        (["search", "mixmass", "--dataset", "toy"], 2, "mixmas"),
        (["search", "mixmas", "--dataset", "toy", "--set", 'space.blocks=["mlpp"]'], 2, "mlp"),
        (["search", "mixmas", "--dataset", "toy", "--set", "repeat=3"], 2, "repeats"),
        (["search", "mixmas", "--dataset", "toy", "--preset", "papers"], 2, "paper"),
        (["train", "m2_mixer", "--dataset", "toy", "--set", "encoders.image.patch=5"], 2, "5"),
        (["train", "unimodal", "--dataset", "toy", "--set", "modality=video"], 2, "video"),
        (["runs", "show", "20200101"], 2, "20200101"),
        (["eval", "checkpoint", "nothing-here"], 2, "nothing-here"),
        (["runs", "resume", "latest"], 2, "run"),
    ],
)
def test_a_mistake_is_one_sentence_a_hint_and_exit_code_two(
    mmfuse: Command, arguments: list[str], code: int, told: str
) -> None:
    finished = mmfuse(*arguments, check=code)

    assert finished.stderr.count("error:") == 1
    assert told in finished.stderr
    assert finished.stdout == ""


def test_a_loss_that_is_not_a_number_fails_the_run_with_its_step(mmfuse: Command) -> None:
    finished = mmfuse(
        "train", "m2_mixer", "--dataset", "toy", *TOY_M2, "--set", "fit.learning_rate=1e30", "--name", "wild", check=1
    )

    assert "step" in finished.stderr
    assert shown(mmfuse("runs", "show", "wild", "--json"))["run"]["state"] == "crashed"


def test_a_checkpoint_of_other_data_or_of_nothing_is_refused(mmfuse: Command, tmp_path: Path) -> None:
    mmfuse(
        "train",
        "linear_probe",
        "--dataset",
        "toy",
        "--set",
        "data.samples=128",
        "--set",
        "fit.epochs=1",
        "--name",
        "probe",
    )
    checkpoint = Path(shown(mmfuse("runs", "show", "probe", "--json"))["folder"]) / "checkpoints" / "best.ckpt"
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(checkpoint.read_bytes()[:500])

    other_data = mmfuse("eval", "checkpoint", str(checkpoint), "--set", "data.seed=9", check=None)
    damaged = mmfuse("eval", "checkpoint", str(broken), "--dataset", "toy", check=None)

    assert other_data.returncode in (1, 2)
    assert "fingerprint" in other_data.stderr or "data" in other_data.stderr
    assert damaged.returncode in (1, 2)
    assert "broken.ckpt" in damaged.stderr


def test_a_home_that_cannot_be_written_is_one_sentence(mmfuse: Command, home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    home.write_text("a file where the home should be")

    finished = mmfuse("train", "linear_probe", "--dataset", "toy", check=None)

    assert finished.returncode in (1, 2)
    assert finished.stderr.count("error:") == 1
    assert str(home) in finished.stderr


def test_a_damaged_state_file_is_said_in_the_listing(mmfuse: Command, home: Path) -> None:
    mmfuse(
        "train",
        "linear_probe",
        "--dataset",
        "toy",
        "--set",
        "data.samples=128",
        "--set",
        "fit.epochs=1",
        "--name",
        "probe",
    )
    folder = Path(shown(mmfuse("runs", "show", "probe", "--json"))["folder"])
    (folder / "state.json").write_text('{"state": "fini')

    listed = shown(mmfuse("runs", "ls", "--json"))["runs"]
    told = mmfuse("runs", "resume", folder.name, check=None)

    assert listed[0]["id"] == folder.name
    assert told.returncode != 0
    assert "state.json" in told.stderr
    assert json.loads((folder / "config.json").read_text())["dataset"] == "toy"
