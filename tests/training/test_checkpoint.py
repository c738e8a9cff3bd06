import dataclasses
import os
import pickle
import resource

import pytest
import torch
from small_world import TASK, small_net, small_splits

from mmfuse.architecture import Architecture
from mmfuse.errors import CheckpointMismatch, DataInvalid, DataMissing, StoreError
from mmfuse.training.checkpoint import (
    Checkpoint,
    TrainingState,
    check_data,
    load_checkpoint,
    load_weights,
    rebuild_model,
    save_checkpoint,
)

STATE = TrainingState(
    position={"epoch": 1, "batch": 2, "step": 7},
    optimiser={"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": [{"betas": (0.9, 0.999), "params": [0]}]},
    schedule={"best": 0.5},
    scaler={},
    best=None,
    stale=1,
    seconds=2.5,
    seed=3,
    options={"epochs": 4},
)


def _checkpoint(**changes):
    values = {
        "architecture": Architecture("small", {"hidden": 12, "encoders": {"image": {"depth": 2}}}),
        "task": dataclasses.replace(TASK, classes=("a", "b", "c")),
        "fingerprint": "f00d",
        "dataset": "small (stand-in)",
        "weights": small_net().state_dict(),
        "epoch": 1,
        "step": 7,
        "metrics": {"val/accuracy": 0.5},
        "provenance": {"run": "20260101-0000-small-7f3a", "attempt": 2},
        "training": STATE,
    }
    return Checkpoint(**values | changes)


@pytest.mark.parametrize("training", [STATE, None])
def test_a_checkpoint_comes_back_as_it_was(tmp_path, training):
    checkpoint = _checkpoint(training=training)

    save_checkpoint(checkpoint, tmp_path / "new" / "last.ckpt")
    loaded = load_checkpoint(tmp_path / "new" / "last.ckpt")

    for name, value in loaded.weights.items():
        assert torch.equal(value, checkpoint.weights[name])
    assert dataclasses.replace(loaded, weights={}) == dataclasses.replace(checkpoint, weights={})
    assert set(loaded.versions) == {"mmfuse", "torch"}


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(DataMissing, match="there is no checkpoint at"):
        load_checkpoint(tmp_path / "best.ckpt")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_said_to_be_truncated(tmp_path, kept):
    path = tmp_path / "best.ckpt"
    save_checkpoint(_checkpoint(), path)
    os.truncate(path, int(path.stat().st_size * kept))

    with pytest.raises(DataInvalid, match=r"best\.ckpt is truncated or damaged"):
        load_checkpoint(path)


def test_a_file_with_one_wrong_bit_is_said_to_be_damaged(tmp_path):
    path = tmp_path / "best.ckpt"
    save_checkpoint(_checkpoint(), path)
    content = bytearray(path.read_bytes())
    weights = small_net().state_dict()["image.weight"].numpy().tobytes()
    content[content.index(weights)] ^= 1
    path.write_bytes(content)

    with pytest.raises(DataInvalid, match=r"best\.ckpt is truncated or damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps({"kind": "mmfuse checkpoint"})])
def test_another_kind_of_file_is_said_to_be_no_checkpoint(tmp_path, content):
    path = tmp_path / "best.ckpt"
    path.write_bytes(content)

    with pytest.raises(CheckpointMismatch, match="is not a checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("value", [{"state_dict": {}}, [1, 2], torch.zeros(2)])
def test_a_torch_file_of_somebody_else_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "best.ckpt")

    with pytest.raises(CheckpointMismatch, match="was not written by mmfuse"):
        load_checkpoint(tmp_path / "best.ckpt")


class Trap:
    """Runs code when it is unpickled."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def test_a_pickled_class_is_refused_without_being_run(tmp_path):
    torch.save({"kind": "mmfuse checkpoint", "format": 1, "weights": Trap()}, tmp_path / "best.ckpt")

    with pytest.raises(CheckpointMismatch, match="holds objects that are not plain data"):
        load_checkpoint(tmp_path / "best.ckpt")

    assert not Trap.sprung


def test_a_newer_format_is_refused_with_both_numbers(tmp_path):
    path = tmp_path / "best.ckpt"
    save_checkpoint(_checkpoint(), path)
    torch.save(torch.load(path, weights_only=True) | {"format": 2}, path)

    with pytest.raises(CheckpointMismatch, match="has format 2, this mmfuse reads up to 1"):
        load_checkpoint(path)


@pytest.mark.parametrize("part", ["weights", "task", "format"])
def test_a_checkpoint_with_a_part_missing_is_said_to_be_damaged(tmp_path, part):
    path = tmp_path / "best.ckpt"
    save_checkpoint(_checkpoint(), path)
    record = torch.load(path, weights_only=True)
    del record[part]
    torch.save(record, path)

    with pytest.raises(DataInvalid, match=f"is damaged: '{part}'"):
        load_checkpoint(path)


def test_data_of_another_fingerprint_is_named_beside_the_checkpoints():
    splits = dataclasses.replace(small_splits(), fingerprint="beef")

    with pytest.raises(CheckpointMismatch, match=r"small \(stand-in\) with fingerprint f00d.*fingerprint beef"):
        check_data(_checkpoint(task=TASK), splits)


def test_another_task_is_named_beside_the_checkpoints():
    other = dataclasses.replace(TASK, name="other", outputs=5)

    with pytest.raises(CheckpointMismatch, match="was trained on other, and the data is small"):
        check_data(_checkpoint(task=other), small_splits())


def test_of_another_task_on_the_same_data_it_is_told_what_differs():
    other = dataclasses.replace(TASK, outputs=5)

    with pytest.raises(CheckpointMismatch, match=f"another task of small: outputs 5, now {TASK.outputs}$"):
        check_data(_checkpoint(task=other), small_splits())


def test_the_same_data_is_accepted():
    check_data(_checkpoint(task=TASK), small_splits())


def test_weights_of_another_shape_are_refused_in_one_sentence():
    with pytest.raises(CheckpointMismatch, match=r"does not fit the model built from it: .*image\.weight") as caught:
        load_weights(small_net(hidden=5), _checkpoint())

    assert "\n" not in caught.value.message


def test_a_model_is_rebuilt_from_its_checkpoint_alone(tmp_path):
    architecture = Architecture("linear_probe", {})
    from mmfuse.models.assemble import build_model

    model = build_model(architecture, TASK)
    save_checkpoint(_checkpoint(architecture=architecture, task=TASK, weights=model.state_dict()), tmp_path / "a.ckpt")

    rebuilt = rebuild_model(load_checkpoint(tmp_path / "a.ckpt"))

    batch = small_splits().val.all()
    assert torch.equal(rebuilt(batch)["logits"], model.eval()(batch)["logits"])
    assert not rebuilt.training


def test_a_full_disk_leaves_the_earlier_checkpoint_and_nothing_else(tmp_path):
    path = tmp_path / "last.ckpt"
    save_checkpoint(_checkpoint(epoch=1), path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(StoreError, match="cannot write the checkpoint") as caught:
            save_checkpoint(_checkpoint(epoch=2), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "\n" not in caught.value.message
    assert load_checkpoint(path).epoch == 1
    assert [left.name for left in tmp_path.iterdir()] == ["last.ckpt"]
