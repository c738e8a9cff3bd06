"""`mmfuse zoo, data, doctor, tui`: what is there, and whether it is sound."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest
from pydantic import Field

from mmfuse.data.status import DataStatus
from mmfuse.errors import DataInvalid
from mmfuse.options import Options
from mmfuse.registry import BLOCKS, DATASETS, MODELS, SEARCHES, Registry
from mmfuse.task import Modality, Task
from mmfuse_cli import dashboard, doctor
from mmfuse_runs.identity import ProcessIdentity


def test_the_zoo_lists_every_member_of_every_registry(mmfuse):
    listing = json.loads(mmfuse("zoo", "--json").stdout)

    registries = {"blocks": BLOCKS, "models": MODELS, "searches": SEARCHES, "datasets": DATASETS}
    for kind, registry in registries.items():
        assert [entry["name"] for entry in listing[kind]] == list(registry.names())
    assert "mixmas" in mmfuse("zoo", "searches").stdout


def test_one_member_is_shown_with_options_defaults_meanings_and_presets(mmfuse):
    answer = json.loads(mmfuse("zoo", "searches", "mixmas", "--json").stdout)

    options = {option["key"]: option for option in answer["options"]}
    assert options["benchmark.epochs"]["default"] == "10"
    assert options["benchmark.epochs"]["takes"] == "int >=1"
    assert options["repeats"]["meaning"]
    assert set(answer["presets"]) == set(SEARCHES.declaration("mixmas").PRESETS)


def test_models_and_blocks_show_their_parameters(mmfuse):
    assert "head_hidden  int" in mmfuse("zoo", "models", "unimodal").stdout
    assert json.loads(mmfuse("zoo", "blocks", "mlp", "--json").stdout)["options"]


def test_every_option_of_every_member_can_be_shown(mmfuse):
    for kind, registry in {"blocks": BLOCKS, "models": MODELS, "searches": SEARCHES, "datasets": DATASETS}.items():
        for name in registry.names():
            assert mmfuse("zoo", kind, name).exit_code == 0


def test_an_unknown_member_names_the_nearest(mmfuse):
    result = mmfuse("zoo", "searches", "mixmass")

    assert result.exit_code == 2
    assert "did you mean 'mixmas'" in result.stderr


class FakeOptions(Options):
    """Options of the fake dataset."""

    size: Annotated[int, Field(ge=1)] = 3
    """How many."""


@pytest.fixture
def dataset(monkeypatch) -> ModuleType:
    """A dataset module that touches no disk and remembers how it was called."""
    module = ModuleType("mmfuse.data.fake")
    module.__doc__ = "Fake: two numbers and a sound.\n\nMore."
    task = Task(
        "fake", "multiclass", (Modality("audio", "grid", (1, 4, 4)), Modality("text", "vector", (7,))), 3, "accuracy"
    )
    calls: list[tuple[str, dict[str, object]]] = []

    def status(root, options=None):
        return DataStatus("fake", "stand-in", root / "fake", False, {"train": 8, "val": 1, "test": 2}, ("a.npy",))

    def prepare(root, *, progress):
        progress(1, 2, what="downloading")
        calls.append(("prepare", {"root": root}))
        return root / "fake"

    def build(root, *, mnist: Path, seed: int = 0, progress):
        calls.append(("build", {"mnist": mnist, "seed": seed}))
        return root / "fake"

    def check(root, options=None, *, progress):
        if options.size == 9:
            raise DataInvalid("a.npy is truncated", "mmfuse data get fake")
        return status(root)

    vars(module).update(
        TASK=task, Options=FakeOptions, status=status, prepare=prepare, build=build, check=check, calls=calls
    )
    monkeypatch.setattr(Registry, "names", lambda self: ("fake",))
    monkeypatch.setattr(Registry, "get", lambda self, name: module)
    return module


def test_data_ls_says_what_would_be_loaded(mmfuse, dataset, tmp_path):
    text = mmfuse("data", "ls").stdout
    answer = json.loads(mmfuse("data", "ls", "--json", "--data-root", str(tmp_path / "elsewhere")).stdout)

    assert "stand-in (built when needed)" in text
    assert "8/1/2" in text
    assert answer["data_root"] == str(tmp_path / "elsewhere")
    assert answer["datasets"][0]["modalities"] == {"audio": [1, 4, 4], "text": [7]}


def test_data_info_names_missing_files_options_and_how_to_build(mmfuse, dataset):
    text = mmfuse("data", "info", "fake").stdout

    assert "a.npy" in text
    assert "mmfuse data build fake --mnist DIR [--seed SEED]" in text
    assert "size  int >=1  [3]" in text


def test_data_get_prepares_below_the_data_root_and_prints_the_folder(mmfuse, dataset, tmp_path):
    result = mmfuse("data", "get", "fake", "--home", str(tmp_path / "h"))

    assert dataset.calls == [("prepare", {"root": tmp_path / "h" / "data"})]
    assert result.stdout == f"{tmp_path / 'h' / 'data' / 'fake'}\n"
    assert "downloading" in result.stderr


def test_data_build_hands_folders_and_numbers_on(mmfuse, dataset):
    result = mmfuse("data", "build", "fake", "--mnist", "/m", "--seed=4")

    assert result.exit_code == 0
    assert dataset.calls == [("build", {"mnist": Path("/m"), "seed": 4})]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "needs --mnist"),
        (("--mnit", "/m"), "did you mean '--mnist'"),
        (("--mnist",), "--mnist needs a value"),
        (("--mnist", "/m", "--seed", "x"), "valid integer"),
        (("/m",), "no option of data build fake named '/m'"),
    ],
)
def test_data_build_explains_wrong_words(mmfuse, dataset, words, told):
    result = mmfuse("data", "build", "fake", *words)

    assert result.exit_code == 2
    assert told in result.stderr
    assert dataset.calls == []


def test_data_check_exits_with_1_and_a_sentence_when_files_are_wrong(mmfuse, dataset):
    sound, broken = mmfuse("data", "check", "fake"), mmfuse("data", "check", "fake", "--set", "data.size=9")

    assert sound.exit_code == 0
    assert broken.exit_code == 1
    assert "error: a.npy is truncated" in broken.stderr


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)


def verdicts(result) -> dict[str, str]:
    return {finding["subject"]: finding["verdict"] for finding in json.loads(result.stdout)["findings"]}


def test_doctor_finds_a_sound_installation_sound(mmfuse, make_run):
    make_run("finished")

    result = mmfuse("doctor", "--json")

    assert result.exit_code == 0
    assert set(verdicts(result).values()) <= {"ok", "look"}


def test_doctor_names_damaged_runs_and_exits_with_1(mmfuse, make_run, store):
    broken = make_run("finished")
    (store.folder(broken).path / "state.json").write_text("{")

    result = mmfuse("doctor", "--json")

    assert result.exit_code == 1
    assert verdicts(result)[broken] == "bad"


def test_doctor_points_out_runs_whose_processes_are_gone(mmfuse, make_run, store):
    run_id = make_run("running")
    path = store.folder(run_id).path / "state.json"
    gone = ProcessIdentity.from_json(json.loads(path.read_text())["supervisor"])._replace(start_ticks=1)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"supervisor": gone.to_json()}))

    result = mmfuse("doctor", "--json")

    assert verdicts(result)[run_id] == "look"


def test_doctor_sees_a_home_that_cannot_be_written(mmfuse, tmp_path):
    (tmp_path / "file").write_text("")

    result = mmfuse("doctor", "--json", "--home", str(tmp_path / "file" / "home"))

    assert result.exit_code == 1
    assert verdicts(result)["home"] == "bad"


def test_doctor_rebuilds_a_lost_index(mmfuse, make_run, store):
    make_run("finished")
    for path in store.home.glob("store.json*"):
        path.unlink()

    result = mmfuse("doctor", "--rebuild")

    assert result.exit_code == 0
    assert "rebuilt from 1 run" in result.stderr


def test_the_dashboard_needs_a_terminal(mmfuse):
    result = mmfuse("tui")

    assert result.exit_code == 2
    assert "needs a terminal" in result.stderr


def test_an_address_without_a_server_is_refused(mmfuse):
    result = mmfuse("tui", "--port", "80")

    assert result.exit_code == 2
    assert "--host and --port say where --serve listens" in result.stderr


def test_the_dashboard_opens_the_chosen_home(mmfuse, monkeypatch, tmp_path):
    opened = []
    application = ModuleType("mmfuse_tui.app")
    application.run = lambda home, *, read_only: opened.append((home, read_only))
    monkeypatch.setitem(__import__("sys").modules, "mmfuse_tui.app", application)
    monkeypatch.setattr(dashboard, "at_terminal", lambda: True)

    mmfuse("tui", "--home", str(tmp_path), "--read-only")

    assert opened == [(tmp_path, True)]
