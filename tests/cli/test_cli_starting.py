"""`mmfuse search, train, eval checkpoint, runs rerun, resume, watch`: starting runs and how following them ends."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest

from mmfuse_cli import follow
from mmfuse_cli.follow import Interrupts
from mmfuse_cli.lazy import load
from mmfuse_runs import control
from mmfuse_runs.identity import ProcessIdentity


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(follow, "POLL_S", 0.0)


def spec_of(store, run_id):
    return store.folder(run_id).spec()


def test_search_starts_a_run_follows_it_and_prints_the_result(mmfuse, launcher, store):
    result = mmfuse("search", "mixmas", "--dataset", "avmnist", "--name", "first", "--tag", "a", "--device", "cpu")

    (run_id, device, _), record = launcher.started[0], store.records()[0]
    assert result.exit_code == 0
    assert (record.id, record.name, record.tags, device) == (run_id, "first", ("a",), "cpu")
    assert "test/accuracy" in result.stdout
    assert "avmnist (stand-in)" in result.stdout
    assert run_id in result.stderr


def test_options_reach_the_spec(mmfuse, launcher, store):
    mmfuse("search", "mixmas", "--dataset", "avmnist", "--set", "repeats=2", "--seed", "5", "--no-train", "--no-test")

    spec = spec_of(store, launcher.started[0][0])

    assert (spec["options"]["repeats"], spec["seed"], spec["train"], spec["test"]) == (2, 5, False, False)


def test_detach_prints_only_the_run_id_on_stdout(mmfuse, launcher):
    launcher.ending = "running"

    result = mmfuse("search", "mixmas", "--dataset", "avmnist", "--detach")

    assert result.exit_code == 0
    assert result.stdout == f"{launcher.started[0][0]}\n"


def test_dry_run_prints_the_spec_and_starts_nothing(mmfuse, launcher, store):
    result = mmfuse("search", "mixmas", "--dataset", "avmnist", "--dry-run")

    assert json.loads(result.stdout)["spec"]["search"] == "mixmas"
    assert launcher.started == []
    assert store.records() == []


def test_json_result_holds_state_and_result(mmfuse, launcher):
    answer = json.loads(mmfuse("search", "mixmas", "--dataset", "avmnist", "--json").stdout)

    assert (answer["schema"], answer["state"], answer["result"]["score"]) == (1, "finished", 0.75)


@pytest.mark.parametrize(
    "words",
    [
        ("search", "mixmass", "--dataset", "avmnist"),
        ("search", "mixmas", "--dataset", "avmist"),
        ("search", "mixmas", "--dataset", "avmnist", "--set", "repeets=2"),
        ("search", "mixmas", "--dataset", "avmnist", "--set", "repeats"),
        ("search", "mixmas", "--dataset", "avmnist", "--preset", "papr"),
        ("search", "mixmas"),
        ("search", "mixmas", "--dataset", "avmnist", "--seed", "x"),
        ("train", "m2_mixr", "--dataset", "avmnist"),
        ("train", "m2_mixer"),
        ("train", "--dataset", "avmnist"),
        ("eval", "checkpoint", "nowhere.pt"),
        ("eval", "checkpoint", "latest", "--split", "tests"),
        ("eval", "checkpoint", __file__, "--dataset", "avmnist"),
        ("search", "mixmas", "--dataset", "avmnist", "--preset", "small", "--device", "cuda:99"),
        ("search", "mixmas", "--dataset", "avmnist", "--preset", "small", "--set", "data.source=real"),
        ("train", "m2_mixer", "--dataset", "mimic_iii", "--preset", "mimic_iii_h", "--set", "data.source=real"),
        ("train", "fusemix", "--dataset", "latents", "--set", 'data.files=["a.h5", "b.h5"]'),
        ("sweep", "linear_probe", "--dataset", "avmnist", "--over", "data.source=stand-in,real"),
        ("extract", "coco", "--modality", "image", "--encoder", "dinov2-small"),
    ],
)
def test_a_wrong_spec_is_one_sentence_with_a_hint_and_leaves_no_run(mmfuse, launcher, store, words):
    result = mmfuse(*words)

    assert result.exit_code == 2
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint:  ")
    assert store.records() == []


def test_a_crash_tells_the_sentence_the_hint_and_the_log(mmfuse, launcher):
    launcher.ending = "crashed"
    launcher.error = {"message": "the loss of trial 3 is not a number", "hint": "lower the learning rate"}

    result = mmfuse("train", "unimodal", "--dataset", "avmnist", "--set", "modality=image")

    assert result.exit_code == 1
    assert "error: the loss of trial 3 is not a number" in result.stderr
    assert "hint:  lower the learning rate" in result.stderr
    assert f"mmfuse runs resume {launcher.started[0][0]}" in result.stderr


def test_a_run_that_refused_its_spec_or_data_exits_with_2(mmfuse, launcher):
    launcher.ending, launcher.error = "crashed", {"message": "no such file", "hint": "", "exit_code": 2}

    assert mmfuse("train", "unimodal", "--dataset", "avmnist", "--set", "modality=image").exit_code == 2


def test_a_run_stopped_from_elsewhere_exits_with_75_and_names_the_resume_command(mmfuse, launcher):
    launcher.ending = "stopped"

    result = mmfuse("search", "mixmas", "--dataset", "avmnist")

    assert result.exit_code == 75
    assert f"mmfuse runs resume {launcher.started[0][0]}" in result.stderr


class ScriptedInterrupts(Interrupts):
    """Ctrl-C already pressed."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 1


def test_ctrl_c_asks_the_run_to_stop_and_exits_with_130(mmfuse, launcher, end_run, monkeypatch):
    launcher.ending = "running"
    asked = []

    def stop(store, run_id, *, by, reason):
        asked.append((run_id, reason))
        end_run(run_id, "stopped")

    monkeypatch.setattr(control, "stop", stop)
    monkeypatch.setattr(follow, "Interrupts", ScriptedInterrupts)

    result = mmfuse("search", "mixmas", "--dataset", "avmnist")

    assert result.exit_code == 130
    assert asked == [(launcher.started[0][0], "Ctrl-C")]
    assert f"mmfuse runs resume {asked[0][0]}" in result.stderr


def test_a_second_ctrl_c_leaves_the_run_to_itself(mmfuse, launcher, monkeypatch):
    launcher.ending = "running"
    presses = ScriptedInterrupts()
    monkeypatch.setattr(control, "stop", lambda *arguments, **options: setattr(presses, "count", 1))
    monkeypatch.setattr(follow, "Interrupts", lambda: presses)

    result = mmfuse("search", "mixmas", "--dataset", "avmnist")

    assert result.exit_code == 130
    assert f"mmfuse runs watch {launcher.started[0][0]}" in result.stderr


def test_watching_never_stops_a_run(mmfuse, make_run, monkeypatch):
    make_run("running")
    monkeypatch.setattr(control, "stop", lambda *arguments, **options: pytest.fail("watch asked to stop"))
    monkeypatch.setattr(follow, "Interrupts", ScriptedInterrupts)

    assert mmfuse("runs", "watch", "latest").exit_code == 130


def test_a_run_whose_end_a_full_disk_keeps_back_is_not_followed_for_ever(mmfuse, make_run, store, monkeypatch):
    path = store.folder(make_run("running")).path / "state.json"
    gone = ProcessIdentity.own()._replace(start_ticks=1)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"worker": gone.to_json()}))
    monkeypatch.setattr(follow, "UNWRITTEN_S", 0.0)
    monkeypatch.setattr(follow.shutil, "disk_usage", lambda home: SimpleNamespace(free=0))

    result = mmfuse("runs", "watch", "latest")

    assert result.exit_code == 1
    assert "is full" in result.stderr
    assert "free some space" in result.stderr


@pytest.mark.parametrize(("state", "code"), [("finished", 0), ("crashed", 1), ("killed", 1), ("stopped", 75)])
def test_watch_exits_as_the_run_did(mmfuse, make_run, state, code):
    make_run(state)

    assert mmfuse("runs", "watch", "latest").exit_code == code


def test_following_without_a_terminal_prints_a_line_for_each_trial(mmfuse, make_run, make_trial):
    make_run("finished", trials=[make_trial(0, 0.5), make_trial(1)])

    told = mmfuse("runs", "watch", "latest").stderr

    assert "trial  0  encoder/image  image mlp  0.5000" in told
    assert "trial  1  encoder/image  image mlp  failed" in told


def test_train_from_a_run_takes_its_architecture_data_and_training(mmfuse, make_run, launcher, store):
    origin = make_run("finished", settings=["fit.epochs=7", "data.limit=100"])

    mmfuse("train", "--from", origin, "--seed", "2", "--set", "fit.batch_size=16")

    spec = spec_of(store, launcher.started[0][0])
    assert (spec["kind"], spec["family"], spec["params"]["modality"]) == ("train", "unimodal", "image")
    assert (spec["fit"]["epochs"], spec["fit"]["batch_size"], spec["data"]["limit"]) == (7, 16, 100)
    assert (spec["source"], spec["seed"]) == (origin, 2)


def test_train_from_a_trial_takes_that_trials_architecture(mmfuse, make_run, make_trial, launcher, store):
    origin = make_run("stopped", trials=[make_trial(0, 0.4), make_trial(1, 0.3, block="hyper")])

    mmfuse("train", "--from", f"{origin}:1")

    spec = spec_of(store, launcher.started[0][0])
    assert spec["params"]["encoder"]["block"] == "hyper"
    assert spec["source"] == f"{origin}:1"


def test_train_from_a_trial_that_is_not_there_lists_those_that_are(mmfuse, make_run, make_trial, launcher):
    origin = make_run("stopped", trials=[make_trial(0, 0.4)])

    result = mmfuse("train", "--from", f"{origin}:9")

    assert result.exit_code == 2
    assert "it has trials 0" in result.stderr


def test_many_trials_are_told_by_the_first_and_the_last(mmfuse, make_run, make_trial, launcher):
    origin = make_run("stopped", trials=[make_trial(number, 0.4) for number in range(40)])

    assert "it has trials 0 to 39" in mmfuse("train", "--from", f"{origin}:99").stderr


def test_train_from_a_run_that_found_nothing_says_so(mmfuse, make_run, launcher):
    origin = make_run("stopped")

    result = mmfuse("train", "--from", origin)

    assert result.exit_code == 2
    assert "has found no architecture" in result.stderr


def test_eval_measures_the_best_checkpoint_of_a_run_as_a_run_of_its_own(mmfuse, make_run, launcher, store):
    origin = make_run("finished", kind="train", settings=["data.limit=100"])
    checkpoint = store.folder(origin).path / "checkpoints" / "best.pt"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"weights")

    result = mmfuse("eval", "checkpoint", origin, "--split", "val")

    spec = spec_of(store, launcher.started[0][0])
    assert result.exit_code == 0
    assert (spec["kind"], spec["split"], spec["source"], spec["dataset"]) == ("eval", "val", origin, "avmnist")
    assert spec["data"]["limit"] == 100
    assert spec["checkpoint"] == str(checkpoint)


EMPTY_ARCHIVE = b"PK\x05\x06" + bytes(18)
"""What a checkpoint is a kind of."""


def test_eval_of_a_file_in_a_run_folder_knows_its_dataset(mmfuse, make_run, launcher, store):
    origin = make_run("finished", kind="train")
    checkpoint = store.folder(origin).path / "checkpoints" / "last.pt"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(EMPTY_ARCHIVE)

    mmfuse("eval", "checkpoint", str(checkpoint))

    assert spec_of(store, launcher.started[0][0])["source"] == origin


def test_eval_of_a_lone_file_needs_the_dataset(mmfuse, launcher, store, tmp_path):
    (tmp_path / "best.pt").write_bytes(EMPTY_ARCHIVE)

    refused = mmfuse("eval", "checkpoint", str(tmp_path / "best.pt"))
    mmfuse("eval", "checkpoint", str(tmp_path / "best.pt"), "--dataset", "avmnist")

    assert refused.exit_code == 2
    assert "--dataset" in refused.stderr
    assert spec_of(store, launcher.started[0][0])["dataset"] == "avmnist"


def test_retrieval_is_refused_where_the_data_are_no_pairs(mmfuse, launcher, tmp_path):
    (tmp_path / "best.pt").write_bytes(EMPTY_ARCHIVE)

    result = mmfuse("eval", "retrieval", str(tmp_path / "best.pt"), "--dataset", "toy")

    assert (result.exit_code, launcher.started) == (2, [])
    assert "toy is a multiclass task, not pairs of latents" in result.stderr


def test_a_word_that_is_none_of_those_known_is_told_without_pydantics_prefix(mmfuse):
    result = mmfuse("eval", "checkpoint", "latest", "--split", "tests")

    assert result.stderr.startswith("error: invalid value for '--split': 'tests' is not one of 'train', 'val', 'test'")


def test_eval_of_a_run_without_checkpoint_says_so(mmfuse, make_run, launcher):
    result = mmfuse("eval", "checkpoint", make_run("stopped"))

    assert result.exit_code == 2
    assert "has no checkpoint" in result.stderr


def test_rerun_repeats_the_spec_exactly(mmfuse, make_run, launcher, store):
    origin = make_run("finished", seed=4, settings=["repeats=2", "fit.epochs=7", "data.limit=100"])
    attempt = {"attempt": 1, "device": "cpu", "data_root": "/old data"}
    (store.folder(origin).path / "launch.json").write_text(json.dumps({"format": 1, "attempts": [attempt]}))

    mmfuse("runs", "rerun", origin)

    (run_id, device, data_root), *_ = launcher.started
    assert spec_of(store, run_id) == spec_of(store, origin)
    assert (device, data_root) == ("cpu", "/old data")


@pytest.mark.parametrize(("words", "code"), [([], "0123456789abcdef"), (["--code", "current"], "current")])
def test_rerun_takes_the_code_of_the_old_run_unless_told_otherwise(mmfuse, make_run, launcher, store, words, code):
    origin = make_run("finished", kind="train")
    path = store.folder(origin).path / "launch.json"
    path.write_text(json.dumps({"format": 1, "attempts": [{"attempt": 1, "code": "0123456789abcdef"}]}))

    mmfuse("runs", "rerun", origin, *words)

    assert launcher.codes == [code]


def test_rerun_with_changes_changes_only_those(mmfuse, make_run, launcher, store):
    origin = make_run("finished", kind="train", seed=4, settings=["fit.epochs=7"])

    result = mmfuse("runs", "rerun", origin, "--seed", "9", "--set", "head_hidden=16")

    spec, before = spec_of(store, launcher.started[0][0]), spec_of(store, origin)
    assert spec == before | {"seed": 9, "params": before["params"] | {"head_hidden": 16}}
    assert "mmfuse train unimodal" in result.stderr


def test_baselines_share_data_seed_training_and_number_of_trials(mmfuse, make_run, launcher, store):
    origin = make_run("finished", seed=4, settings=["repeats=2", "fit.epochs=7", "data.limit=100"])

    result = mmfuse("runs", "baselines", origin)

    specs = [spec_of(store, run_id) for run_id, *_ in launcher.started]
    assert result.exit_code == 0
    assert [spec.get("family", spec.get("search")) for spec in specs] == ["m2_mixer", "linear_probe", "random"]
    assert {(spec["seed"], spec["fit"]["epochs"], spec["data"]["limit"]) for spec in specs} == {(4, 7, 100)}
    assert specs[-1]["options"]["trials"] == 24
    assert result.stdout.split() == [run_id for run_id, *_ in launcher.started]


def test_baselines_of_something_else_than_a_search_are_refused(mmfuse, make_run, launcher):
    result = mmfuse("runs", "baselines", make_run("finished", kind="train"))

    assert result.exit_code == 2
    assert "is no search" in result.stderr


def test_resume_asks_for_the_next_attempt_and_follows_it(mmfuse, make_run, end_run, monkeypatch):
    run_id = make_run("stopped")
    asked = []

    def resume(store, run_id, *, device, data_root, code):
        asked.append((run_id, device, code))
        end_run(run_id, "finished")

    monkeypatch.setattr(control, "resume", resume)

    result = mmfuse("runs", "resume", "latest", "--device", "cpu")

    assert result.exit_code == 0
    assert asked == [(run_id, "cpu", None)]
    assert "test/accuracy" in result.stdout


def test_resume_of_a_finished_run_is_refused_in_a_sentence(mmfuse, make_run):
    run_id = make_run("finished")

    result = mmfuse("runs", "resume", run_id)

    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: run {run_id} has finished")


def test_a_command_is_loaded_only_once_and_under_its_name():
    from mmfuse_cli.main import MainGroup

    assert load("search", MainGroup.ENTRIES["search"]).name == "search"


@pytest.mark.parametrize("command", [("search", "mixmas"), ("train", "unimodal")])
def test_a_misspelled_device_is_a_usage_error_and_makes_no_run(mmfuse, launcher, store, command):
    result = mmfuse(*command, "--dataset", "avmnist", "--device", "gpu", "--dry-run")

    assert result.exit_code == 2
    assert result.stderr == "error: no device is called 'gpu'\nhint:  known: auto, cpu, cuda, cuda:<index>\n"
    assert store.records() == []


@pytest.mark.parametrize("command", ["search mixmas --dataset avmnist", "runs rerun latest"])
def test_notices_are_left_to_the_supervisors_that_a_command_starts(mmfuse, make_run, launcher, monkeypatch, command):
    monkeypatch.setenv("MMFUSE_NOTIFY", "as before")
    make_run("finished")

    mmfuse(*command.split(), "--detach")
    before = os.environ["MMFUSE_NOTIFY"]
    mmfuse(*command.split(), "--detach", "--notify", "notify-send done")

    assert (before, os.environ["MMFUSE_NOTIFY"]) == ("as before", "notify-send done")
