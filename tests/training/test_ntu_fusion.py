"""From files of skeletons and videos to a found fusion, on the stand-in: train, search, train what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mmfuse.architecture import Architecture
from mmfuse.errors import BadSpec
from mmfuse.jobs import Result, Workspace, run
from mmfuse.models.assemble import build_model
from mmfuse.registry import DATASETS
from mmfuse.report import NullReporter
from mmfuse.spec import resolve_search, resolve_train
from mmfuse.training.checkpoint import load_checkpoint

DATA = ["data.stand_in_classes=3", "data.stand_in_repeats=1", "data.length=16", "data.size=16", "data.frames=4"]
SKELETON: dict[str, Any] = {"family": "hcn", "params": {"width": 8, "dropout": 0.0}}
VIDEO: dict[str, Any] = {"family": "inflated_resnet", "params": {"width": 4, "depths": [1, 1, 1, 1]}}
BACKBONES = json.dumps({"skeleton": SKELETON, "video": VIDEO})


class Listener(NullReporter):
    """Keeps notes."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, Any]]] = []

    def note(self, message: str, **facts: Any) -> None:
        self.notes.append((message, facts))

    def told(self, message: str, fact: str) -> list[Any]:
        return [facts[fact] for what, facts in self.notes if what == message]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ntu-data")


def work(spec: Any, folder: Path, data_root: Path, reporter: NullReporter) -> Result:
    folder.mkdir()
    return run(spec, Workspace(folder, data_root, reporter, should_stop=lambda: False, device="cpu", threads=1))


def test_a_skeleton_backbone_is_trained_as_a_model_of_its_own(tmp_path: Path, data_root: Path) -> None:
    spec = resolve_train("hcn", "ntu", settings=[*DATA, "width=8", "dropout=0", "fit.epochs=2"])
    listener = Listener()

    result = work(spec, tmp_path / "run", data_root, listener)

    assert result["dataset_label"] == "ntu (stand-in)"
    assert 0 <= result["metrics"]["test/accuracy"] <= 1
    assert listener.told("backbone kept", "family") == ["hcn"]


def test_a_search_over_both_finds_a_fusion_and_trains_it(tmp_path: Path, data_root: Path) -> None:
    settings = [*DATA, f"benchmark.backbones={BACKBONES}", "benchmark.pretrain.epochs=2", "benchmark.epochs=1"]
    settings += ["levels=1", "sweeps=1", "fit.epochs=1", "fit.fusion_epochs=1"]
    spec = resolve_search("mfas", "ntu", preset="quick", settings=settings)
    listener = Listener()

    result = work(spec, tmp_path / "run", data_root, listener)

    assert listener.told("backbone", "origin") == ["pretrained", "pretrained", "this run", "this run"]
    assert listener.told("taps", "features")[:1] == [16 + 32 + 32 + 64 + 32 + 64 + 128 + 128]
    assert result["architecture"]["params"]["modalities"] == ["skeleton", "video"]
    assert result["trials"] >= 32
    assert "test/accuracy" in result["metrics"]


def test_the_published_array_is_trained_with_all_three_heads_kept_apart(tmp_path: Path, data_root: Path) -> None:
    layers = [[3, 0, 0], [1, 3, 0], [1, 1, 1], [3, 3, 0]]
    settings = [*DATA, 'modalities=["skeleton","video"]', f"layers={layers}", f"backbones={BACKBONES}"]
    settings += ["multitask=true", "prediction=ensemble", "fit.epochs=1", "fit.fusion_epochs=1"]
    spec = resolve_train("mfas", "ntu", settings=settings)

    result = work(spec, tmp_path / "run", data_root, Listener())

    weights = load_checkpoint(tmp_path / "run" / result["checkpoint"]).weights
    assert {"backbones.skeleton.head.weight", "backbones.video.head.weight"} <= set(weights)
    assert result["architecture"]["params"]["layers"] == layers


def test_training_begins_from_imagenet_weights_and_goes_on_without_their_file(tmp_path: Path, data_root: Path) -> None:
    path = tmp_path / "resnet.pth"
    task = DATASETS.declaration("ntu").TASK
    small = build_model(Architecture("inflated_resnet", VIDEO["params"]), task)
    names = {"stem.0": "conv1", "stem.1": "bn1"} | {f"stages.{n}": f"layer{n + 1}" for n in range(4)}
    state = {}
    for name, value in small.state_dict().items():
        ours = next((prefix for prefix in names if name.startswith(prefix)), None)
        if ours is not None:
            flat = value[:, :, value.shape[2] // 2] if value.dim() == 5 else value
            state[names[ours] + name.removeprefix(ours)] = flat
    state["conv1.weight"] = torch.full_like(state["conv1.weight"], 0.25)
    torch.save(state, path)
    settings = [*DATA, "width=4", "depths=[1,1,1,1]", f"imagenet={path}", "fit.learning_rate=1e-9"]
    spec = resolve_train("inflated_resnet", "ntu", settings=[*settings, "fit.epochs=1"], test=False)

    result = work(spec, tmp_path / "run", data_root, Listener())

    weights = load_checkpoint(tmp_path / "run" / result["checkpoint"]).weights
    torch.testing.assert_close(weights["stem.0.weight"], torch.full_like(weights["stem.0.weight"], 0.25))
    path.unlink()
    again = run(spec, Workspace(tmp_path / "run", data_root, NullReporter(), should_stop=lambda: False, device="cpu"))
    assert again["metrics"] == result["metrics"]


@pytest.mark.parametrize("search", ["mixmas", "random"])
def test_searches_over_mixer_blocks_refuse_it_in_one_sentence(search: str) -> None:
    with pytest.raises(BadSpec, match="no mixer block reads a skeleton, and skeleton of ntu is one") as caught:
        resolve_search(search, "ntu")

    assert caught.value.hint == "mmfuse search mfas --dataset ntu fuses backbones, which do"


def test_models_of_pictures_refuse_videos_in_one_sentence() -> None:
    with pytest.raises(BadSpec, match="block mlp is impossible: it takes grid or sequence or vector, video is a video"):
        resolve_train("unimodal", "ntu", settings=["modality=video"])
    with pytest.raises(BadSpec, match=r"model lenet_image halves its input .* and video of ntu has shape"):
        resolve_train("lenet_image", "ntu", settings=["modality=video"])
