"""Backbones are trained once and known by their weights; their taps are computed once, whole or not at all."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import h5py
import pytest
import tap_world as world
import torch
from tap_world import BACKBONES, PRETRAIN, SPLITS, Listener, stops_after

from mmfuse.architecture import Architecture
from mmfuse.backbones import BackboneChoice
from mmfuse.batch import Splits
from mmfuse.errors import CheckpointMismatch, DataMissing, Diverged, Stopped
from mmfuse.models.assemble import build_model
from mmfuse.models.lenet import LeNet
from mmfuse.training.backbones import Backbone, BackboneLibrary, obtain_backbones, weights_hash
from mmfuse.training.checkpoint import load_checkpoint, save_checkpoint
from mmfuse.training.forked import Died, Message, run_forked
from mmfuse.training.taps import TapTable, cached_taps

CPU = torch.device("cpu")


def obtain(place: Path, **changes: Any) -> dict[str, Backbone]:
    settled: dict[str, Any] = {
        "choices": BACKBONES,
        "splits": SPLITS,
        "pretrain": PRETRAIN,
        "folder": place / "run",
        "reporter": Listener(),
        "should_stop": lambda: False,
    } | changes
    choices, splits = settled.pop("choices"), settled.pop("splits")
    return obtain_backbones(choices, splits, device=CPU, data_root=place / "data", **settled)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data root with both backbones, and the run that trained them."""
    place = tmp_path_factory.mktemp("trained")
    obtain(place)
    yield place


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained / "data", tmp_path / "data")
    return tmp_path


def test_a_second_run_finds_the_backbones_of_the_first(trained: Path, place: Path) -> None:
    heard = Listener()

    again = obtain(place, reporter=heard)

    assert heard.origins() == ["found again", "found again"]
    assert {name: b.key for name, b in again.items()} == {name: b.key for name, b in obtain(trained).items()}


@pytest.mark.parametrize(
    "changes",
    [
        {"pretrain": PRETRAIN.model_copy(update={"seed": 1})},
        {"pretrain": PRETRAIN.model_copy(update={"learning_rate": 0.01})},
        {"splits": replace(SPLITS, fingerprint="beef")},
        {"splits": replace(SPLITS, train=SPLITS.train.take(torch.arange(100)))},
        {"choices": {"image": BackboneChoice(family="lenet_image", params={"channels": 1})}},
    ],
)
def test_another_recipe_is_trained_anew(place: Path, changes: dict[str, Any]) -> None:
    heard = Listener()

    obtain(place, reporter=heard, **{"choices": {"image": BACKBONES["image"]}} | changes)

    assert heard.origins() == ["pretrained"]


def test_a_resumed_run_keeps_its_backbones_whatever_became_of_the_data_root(place: Path) -> None:
    first, heard = obtain(place), Listener()
    shutil.rmtree(place / "data")

    again = obtain(place, reporter=heard)

    assert heard.origins() == ["this run", "this run"]
    assert {name: b.key for name, b in again.items()} == {name: b.key for name, b in first.items()}


def test_an_interrupted_pretraining_ends_with_the_same_weights(tmp_path: Path) -> None:
    longer = PRETRAIN.model_copy(update={"epochs": 40})
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    expected = obtain(whole, pretrain=longer)

    for modality in ("image", "audio"):
        reached = stopped / "run" / modality / "checkpoints" / "last.ckpt"
        with pytest.raises(Stopped):
            obtain(stopped, pretrain=longer, should_stop=reached.exists)
    resumed = obtain(stopped, pretrain=longer)

    assert {name: b.key for name, b in resumed.items()} == {name: b.key for name, b in expected.items()}


def test_backbones_are_the_same_trained_side_by_side_or_one_after_the_other(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        alone, together = (obtain(tmp_path / str(workers), workers=workers) for workers in (1, 2))
    finally:
        torch.set_num_threads(before)

    assert {name: b.key for name, b in alone.items()} == {name: b.key for name, b in together.items()}


def test_a_pretraining_that_diverges_says_so_as_any_training_does(tmp_path: Path) -> None:
    image = SPLITS.train.inputs["image"] * float("nan")
    broken = replace(SPLITS, train=replace(SPLITS.train, inputs={**SPLITS.train.inputs, "image": image}))

    with pytest.raises(Diverged, match="the training loss is nan"):
        obtain(tmp_path, splits=broken)


def test_weights_can_be_given_by_hash_or_path(trained: Path, place: Path) -> None:
    key = obtain(trained)["image"].key
    path = trained / "data" / "backbones" / f"{key}.ckpt"

    for number, weights in enumerate((key, str(path))):
        heard = Listener()
        choices = {"image": BACKBONES["image"].model_copy(update={"weights": weights})}
        given = obtain(place, choices=choices, folder=place / f"run{number}", reporter=heard)
        assert (given["image"].key, heard.origins()) == (key, ["given"])


def test_weights_that_cannot_be_used_are_refused_with_the_reason(trained: Path, place: Path) -> None:
    key = obtain(trained)["image"].key
    image = BACKBONES["image"].model_copy(update={"weights": key})
    wider = BackboneChoice(family="lenet_image", params={"channels": 5}, weights=key)
    fusion = place / "fusion.ckpt"
    checkpoint = load_checkpoint(trained / "run" / "image.ckpt")
    save_checkpoint(replace(checkpoint, architecture=Architecture("mfas", {"layers": [[0, 0, 0]]})), fusion)

    with pytest.raises(CheckpointMismatch, match="belong to a model mfas, which declares no taps"):
        obtain(place, choices={"image": image.model_copy(update={"weights": str(fusion)})})
    with pytest.raises(DataMissing, match="no backbone with weights 0123"):
        obtain(place, choices={"image": image.model_copy(update={"weights": "0123"})})
    with pytest.raises(CheckpointMismatch, match=r'the weights for image belong to .*"channels":2.*"channels":5'):
        obtain(place, choices={"image": wider})
    with pytest.raises(CheckpointMismatch, match="fingerprint f00d"):
        obtain(place, choices={"image": image}, splits=replace(SPLITS, fingerprint="beef"))


def test_a_damaged_backbone_is_trained_again(trained: Path, place: Path) -> None:
    key = obtain(trained)["image"].key
    path = place / "data" / "backbones" / f"{key}.ckpt"
    path.write_bytes(path.read_bytes()[:500])

    assert BackboneLibrary(place / "data").made_by("no such recipe") is None
    heard, later = Listener(), Listener()
    obtain(place, choices={"image": BACKBONES["image"]}, reporter=heard)
    obtain(place, choices={"image": BACKBONES["image"]}, folder=place / "another run", reporter=later)

    assert (heard.origins(), later.origins()) == (["pretrained"], ["found again"])
    assert weights_hash(BackboneLibrary(place / "data").get(key).weights) == key


def test_many_processes_can_keep_the_same_backbone_at_once(trained: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(trained / "run" / "image.ckpt")
    library = BackboneLibrary(tmp_path)

    def keep(_: int, send: Any) -> None:
        for number in range(20):
            weights = {name: value + number for name, value in checkpoint.weights.items()}
            send(library.add(replace(checkpoint, weights=weights), recipe=f"recipe {number}"))

    events = list(run_forked(range(4), keep, workers=4, should_stop=lambda: False))

    assert not [event.reason for event in events if isinstance(event, Died)]
    assert len([event for event in events if isinstance(event, Message)]) == 80


def test_the_hash_changes_with_every_bit_and_nothing_else() -> None:
    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(2)}
    changed = weights["a"].clone()
    changed[1, 2] = torch.nextafter(changed[1, 2], torch.tensor(9.0))

    same = weights_hash(dict(reversed([(name, value.clone()) for name, value in weights.items()])))

    assert same == weights_hash(weights)
    others = [{**weights, "a": changed}, {**weights, "a": weights["a"].T}, {**weights, "a": weights["a"].double()}]
    assert len({weights_hash(each) for each in (weights, *others, {"a": weights["a"]})}) == 5


def taps(place: Path, backbones: dict[str, Backbone], splits: Splits = SPLITS, **changes: Any) -> TapTable:
    settled: dict[str, Any] = {"reporter": Listener(), "should_stop": lambda: False} | changes
    return cached_taps(backbones, splits, data_root=place / "data", device=CPU, **settled)


def test_taps_are_those_of_frozen_backbones_standardised_on_train(place: Path) -> None:
    backbones = obtain(place)

    table = taps(place, backbones)

    expected = []
    for modality, backbone in backbones.items():
        model = cast(LeNet, build_model(backbone.architecture, SPLITS.task))
        model.load_state_dict(backbone.weights)
        with torch.no_grad():
            expected += model.eval().taps(SPLITS.train.inputs[modality])
    raw = torch.cat(expected, dim=1)
    torch.testing.assert_close(table.train.taps * table.std + table.mean, raw, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(table.train.taps.mean(0), torch.zeros(28), rtol=0, atol=1e-5)
    torch.testing.assert_close(table.train.taps.std(0, correction=0), torch.ones(28), rtol=0, atol=1e-4)
    assert table.layout.widths == ((2, 4, 8), (2, 4, 8))
    assert torch.equal(table.val.target, SPLITS.val.target)


def test_taps_in_half_precision_are_those_in_single_rounded(place: Path) -> None:
    backbones = obtain(place)
    heard = Listener()

    exact, half = taps(place, backbones), taps(place, backbones, dtype="float16", reporter=heard)
    again = taps(place, backbones, dtype="float16", reporter=heard)

    assert heard.origins() == ["computed", "cached"]
    assert torch.equal(half.train.taps, exact.train.taps.half())
    assert torch.equal(half.val.taps, again.val.taps)
    assert torch.equal(half.mean, exact.mean) and half.mean.dtype == torch.float32
    whole, halved = sorted((place / "data" / "taps").glob("*.h5"), key=lambda path: -path.stat().st_size)
    assert halved.stat().st_size < 0.75 * whole.stat().st_size


def test_a_cached_table_is_read_without_a_second_copy_of_its_rows(place: Path) -> None:
    backbones = obtain(place)
    many = replace(SPLITS, train=world.make_split(20_000, seed=3))
    size = taps(place, backbones, many).train.taps.numel() * 4

    tracemalloc.start()
    try:
        taps(place, backbones, many)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 1.5 * size


def test_what_a_killed_process_was_writing_is_swept_up_and_what_a_live_one_writes_is_not(place: Path) -> None:
    backbones, folder = obtain(place), place / "data" / "taps"
    folder.mkdir()
    gone = subprocess.Popen(["true"])
    gone.wait()
    names = {owner: f".pictures-0123.h5.{owner}.partial" for owner in (f"{platform.node()}.{gone.pid}", "elsewhere.1")}
    names["live"] = f".pictures-0123.h5.{platform.node()}.{os.getpid()}.partial"
    for name in names.values():
        (folder / name).write_bytes(b"half a table")

    taps(place, backbones)

    left = {path.name for path in folder.iterdir() if path.suffix == ".partial"}
    assert left == {names["live"], names["elsewhere.1"]}


def test_taps_are_computed_once_and_the_same_from_the_cache(place: Path) -> None:
    backbones, first, second = obtain(place), Listener(), Listener()

    computed, cached = (taps(place, backbones, reporter=heard) for heard in (first, second))

    assert (first.origins(), second.origins()) == (["computed"], ["cached"])
    assert torch.equal(computed.train.taps, cached.train.taps)
    assert torch.equal(computed.val.taps, cached.val.taps)


def test_other_weights_data_or_backbones_have_other_files(place: Path) -> None:
    backbones = obtain(place)
    swapped = {"image": backbones["image"], "audio": replace(backbones["audio"], key="0123456789abcdef")}

    for each, splits in (
        (backbones, SPLITS),
        (swapped, SPLITS),
        (backbones, replace(SPLITS, fingerprint="beef")),
        ({"image": backbones["image"]}, SPLITS),
        (dict(reversed(backbones.items())), SPLITS),
    ):
        taps(place, each, splits)

    assert len(list((place / "data" / "taps").glob("*.h5"))) == 5


@pytest.mark.parametrize("damage", ["cut", "flipped", "other rows", "other shape"])
def test_a_damaged_cache_is_noticed_and_made_anew(place: Path, damage: str) -> None:
    backbones = obtain(place)
    whole = taps(place, backbones)
    (path,) = (place / "data" / "taps").glob("*.h5")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        with h5py.File(path) as file:
            stored = file["train"][0, :4].tobytes()
        content[content.index(stored)] ^= 0xFF
        path.write_bytes(content)
    elif damage == "other rows":  # as when the address of a block is damaged
        with h5py.File(path, "r+") as file:
            file["val"][...] = file["val"][()][::-1]
    else:
        smaller = replace(SPLITS, train=SPLITS.train.take(torch.arange(50)))
        taps(place, backbones, smaller)
    heard = Listener()

    again = taps(place, backbones, reporter=heard)

    assert heard.origins() == ["computed"]
    assert torch.equal(again.train.taps, whole.train.taps)


def test_a_stopped_pass_leaves_nothing(place: Path) -> None:
    backbones = obtain(place)

    with pytest.raises(Stopped):
        taps(place, backbones, should_stop=stops_after(1))

    assert not (place / "data" / "taps").exists()


def test_a_place_that_cannot_be_written_costs_the_cache_and_nothing_else(place: Path) -> None:
    backbones = obtain(place)
    (place / "data" / "taps").write_text("a file where the folder should be")

    table = taps(place, backbones)

    assert len(table.train) == 160


@pytest.mark.parametrize("room", [100, 2_000, 10_000, 30_000])
def test_a_disk_that_fills_up_costs_the_cache_and_not_the_process(place: Path, room: int) -> None:
    backbones = obtain(place)

    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            os._exit(0 if len(taps(place, backbones).train) == 160 else 1)
        finally:
            os._exit(1)  # an error in the child must not go on as a second pytest

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not any((place / "data" / "taps").iterdir())


def test_pretraining_never_opens_the_test_split_and_keeps_whole_checkpoints(trained: Path) -> None:
    for name in BACKBONES:
        checkpoint = load_checkpoint(trained / "run" / f"{name}.ckpt")
        assert checkpoint.training is None
        assert checkpoint.fingerprint == world.SPLITS.fingerprint
