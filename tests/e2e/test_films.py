"""Films, posters and plots fused: each command's job on a tiny stand-in, one of them through the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from typed import Command, shown

from mmfuse.architecture import Architecture
from mmfuse.jobs import Workspace, run
from mmfuse.models.assemble import build_model
from mmfuse.report import NullReporter
from mmfuse.spec import SearchSpec, TrainSpec, resolve_search, resolve_train, task_of
from mmfuse.training.checkpoint import load_checkpoint

TINY = ["data.stand_in_size=60", "data.image_height=32", "data.image_width=32"]
HASHED = ["data.text=pnlp", "data.text_length=12", "data.hash_features=32"]
TINY_VGG = '{"image":{"family":"vgg","params":{"width":2,"convolutions":[1,1,1,2,2]}}}'


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


def _done(spec: SearchSpec | TrainSpec, data_root: Path, folder: Path) -> dict[str, Any]:
    """The result of the job that the command line would start with this spec."""
    return run(spec, Workspace(folder, data_root, NullReporter(), should_stop=lambda: False, device="cpu"))


def test_one_modality_is_trained_from_the_command_line(mmfuse: Command, data_root: Path) -> None:
    settings = [word for setting in [*TINY, "modality=text", "fit.epochs=1"] for word in ("--set", setting)]

    finished = mmfuse(
        "train", "unimodal", "--dataset", "mm_imdb", *settings, "--data-root", str(data_root), "--json"
    )  # fmt: skip

    result = shown(finished)["result"]
    assert result["dataset_label"] == "mm_imdb (stand-in)"
    assert {f"test/f1_{average}" for average in ("micro", "macro", "weighted", "samples")} <= set(result["metrics"])


def test_the_listing_tells_what_a_run_would_load(mmfuse: Command, data_root: Path) -> None:
    listed = shown(mmfuse("data", "ls", "--json", "--data-root", str(data_root)))

    (films,) = [entry for entry in listed["datasets"] if entry["dataset"] == "mm_imdb"]
    assert (films["source"], films["metric"], films["outputs"]) == ("stand-in", "f1_weighted", 23)
    assert films["missing"] == ["multimodal_imdb.hdf5", "metadata.npy"]


def test_m2_mixer_is_trained_and_scored_by_weighted_f1(data_root: Path, tmp_path: Path) -> None:
    spec = resolve_train("m2_mixer", "mm_imdb", preset="mm_imdb_small", settings=[*TINY, "fit.epochs=1"])

    result = _done(spec, data_root, tmp_path)

    assert result["metric"] == "val/f1_weighted"
    assert 0 <= result["metrics"]["test/f1_weighted"] <= 1


def test_mixmas_searches_posters_and_hashed_words(data_root: Path, tmp_path: Path) -> None:
    space = ['space.blocks=["mlp","pnlp"]', 'space.functions=["concat"]', 'space.networks=["mlp"]']
    short = ["benchmark.epochs=1", "benchmark.sample=all", "benchmark.batch_size=32"]
    spec = resolve_search("mixmas", "mm_imdb", settings=[*TINY, *HASHED, *space, *short], train=False)

    result = _done(spec, data_root, tmp_path)

    assert result["trials"] == 1 + 2 + 1 + 1
    assert set(result["architecture"]["params"]["encoders"]) == {"image", "text"}


def test_mfas_searches_over_the_films_own_backbones(data_root: Path, tmp_path: Path) -> None:
    last = ["finalists=1", "final_repeats=1", f"benchmark.backbones={TINY_VGG}"]
    short = ["benchmark.pretrain.epochs=1", "benchmark.epochs=1", "fit.epochs=1", "fit.fusion_epochs=1"]
    spec = resolve_search("mfas", "mm_imdb", preset="late-fusion", settings=[*TINY, *last, *short])

    result = _done(spec, data_root, tmp_path)

    backbones = result["architecture"]["params"]["backbones"]
    assert {name: choice["family"] for name, choice in backbones.items()} == {"image": "vgg", "text": "maxout_text"}
    assert all(choice["weights"] for choice in backbones.values())
    assert "test/f1_weighted" in result["metrics"]


def test_a_training_begins_with_the_weights_of_a_file(data_root: Path, tmp_path: Path) -> None:
    small = {"width": 2, "convolutions": [1, 1, 1, 2, 2]}
    films = task_of("mm_imdb", {"image_height": 32, "image_width": 32})
    donor = build_model(Architecture("vgg", small), films)
    weights = {name: value for name, value in donor.state_dict().items() if name.startswith("features.")}
    torch.save(weights, tmp_path / "vgg.pth")
    settings = [*TINY, "width=2", "convolutions=[1,1,1,2,2]", f"weights={tmp_path / 'vgg.pth'}", "frozen=true"]

    result = _done(resolve_train("vgg", "mm_imdb", settings=[*settings, "fit.epochs=1"]), data_root, tmp_path / "run")

    trained = load_checkpoint(tmp_path / "run" / result["checkpoint"]).weights
    assert all(torch.equal(trained[name], value) for name, value in weights.items())
