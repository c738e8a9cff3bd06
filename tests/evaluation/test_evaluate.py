import dataclasses

import pytest
import torch

from mmfuse.architecture import Architecture
from mmfuse.batch import Split, Splits
from mmfuse.errors import CheckpointMismatch, DataMissing, UnknownName
from mmfuse.evaluation.evaluate import evaluate
from mmfuse.models.assemble import build_model
from mmfuse.task import Modality, Task
from mmfuse.training.checkpoint import Checkpoint, save_checkpoint

CPU = torch.device("cpu")
TASK = Task("letters", "multiclass", (Modality("image", "grid", (1, 3, 3)),), outputs=4, metric="accuracy")
PROBE = Architecture("linear_probe", {})


def _split(samples, seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(samples, 1, 3, 3, generator=generator)
    return Split({"image": image}, torch.randint(4, (samples,), generator=generator), 100 + torch.arange(samples))


@pytest.fixture
def opened():
    return []


@pytest.fixture
def splits(opened):
    def open_test():
        opened.append("test")
        return _split(30, 3)

    return Splits(TASK, _split(40, 1), _split(20, 2), open_test, fingerprint="f00d")


@pytest.fixture
def checkpoint():
    torch.manual_seed(0)
    return Checkpoint(PROBE, TASK, "f00d", "letters", build_model(PROBE, TASK).state_dict(), epoch=3, step=12)


def test_the_test_split_is_opened_once(splits, checkpoint, opened):
    evaluation = evaluate(checkpoint, splits, device=CPU)

    assert opened == ["test"]
    assert (evaluation.split, evaluation.samples) == ("test", 30)


@pytest.mark.parametrize(("split", "samples"), [("train", 40), ("val", 20)])
def test_other_splits_are_measured_without_opening_the_test_split(splits, checkpoint, opened, split, samples):
    assert evaluate(checkpoint, splits, split=split, device=CPU).samples == samples
    assert opened == []


def test_predictions_are_those_of_the_checkpoints_weights_in_stored_order(splits, checkpoint):
    evaluation = evaluate(checkpoint, splits, device=CPU, batch_size=7)

    split = _split(30, 3)
    expected = split.inputs["image"].flatten(1) @ checkpoint.weights["output.weight"].T
    torch.testing.assert_close(evaluation.logits, expected + checkpoint.weights["output.bias"])
    assert torch.equal(evaluation.target, split.target)
    assert torch.equal(evaluation.ids, split.ids)
    hits = (evaluation.logits.argmax(1) == split.target).sum().item()
    assert evaluation.metrics["accuracy"] == pytest.approx(hits / 30)


def test_the_models_cost_is_told(splits, checkpoint):
    evaluation = evaluate(checkpoint, splits, device=CPU)

    assert (evaluation.parameters, evaluation.macs) == (9 * 4 + 4, 9 * 4)
    assert evaluation.latency_ms > 0
    assert evaluation.device == "cpu"


def test_a_checkpoint_file_will_do(splits, checkpoint, tmp_path):
    save_checkpoint(checkpoint, tmp_path / "best.ckpt")

    assert (
        evaluate(tmp_path / "best.ckpt", splits, device=CPU).metrics == evaluate(checkpoint, splits, device=CPU).metrics
    )


def test_other_data_is_refused_before_the_test_split_is_opened(splits, checkpoint, opened):
    with pytest.raises(CheckpointMismatch, match=r"f00d.*beef"):
        evaluate(checkpoint, dataclasses.replace(splits, fingerprint="beef"), device=CPU)

    assert opened == []


def test_an_unknown_split_is_refused_with_the_nearest_one(splits, checkpoint):
    with pytest.raises(UnknownName, match="no split named 'tset'") as caught:
        evaluate(checkpoint, splits, split="tset", device=CPU)

    assert "did you mean 'test'" in caught.value.hint


def test_a_missing_checkpoint_is_said_to_be_missing(splits, tmp_path):
    with pytest.raises(DataMissing):
        evaluate(tmp_path / "best.ckpt", splits, device=CPU)
