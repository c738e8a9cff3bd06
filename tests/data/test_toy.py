"""The toys: their answers are where they say, and nowhere else."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from mmfuse.batch import Split
from mmfuse.data import toy, toy_sequence

NOWHERE = Path("/nowhere")


def _pixels(split: Split, *names: str) -> np.ndarray:
    return np.concatenate([split.inputs[name].flatten(1).numpy() for name in names], axis=1)


def _accuracy(options: toy.Options, *names: str) -> float:
    """Of logistic regression on the pixels of the named modalities."""
    splits = toy.load(NOWHERE, options)
    model = LogisticRegression(max_iter=500).fit(_pixels(splits.train, *names), splits.train.target)
    return float(model.score(_pixels(splits.val, *names), splits.val.target))


def test_a_linear_model_reads_the_signs_if_it_has_both_modalities() -> None:
    options = toy.Options(samples=400)

    assert _accuracy(options, "image", "audio") > 0.95
    assert 0.4 < _accuracy(options, "image") < 0.6
    assert 0.4 < _accuracy(options, "audio") < 0.6


def test_no_linear_model_reads_the_turn() -> None:
    assert _accuracy(toy.Options(samples=2000, rule="turn"), "image", "audio") < 0.4


def test_a_model_that_sees_all_positions_reads_the_turn() -> None:
    splits = toy.load(NOWHERE, toy.Options(samples=1000, rule="turn", noise=0.1))
    model = MLPClassifier(64, random_state=0, max_iter=200)

    model.fit(_pixels(splits.train, "image"), splits.train.target // 2)

    assert model.score(_pixels(splits.val, "image"), splits.val.target // 2) > 0.95


def test_the_set_of_corners_says_nothing_about_the_turn() -> None:
    splits = toy.load(NOWHERE, toy.Options(samples=64, rule="turn", noise=0.0))

    for name in ("image", "audio"):
        corners = splits.train.inputs[name].reshape(64, 2, 4, 2, 4).permute(0, 1, 3, 2, 4).reshape(64, 4, 16)
        sets = {tuple(sorted(map(tuple, picture.tolist()))) for picture in corners}
        assert len(sets) == 1


@pytest.mark.parametrize("rule", ["sign", "turn"])
def test_the_class_is_twice_the_images_answer_plus_the_audios(rule: str) -> None:
    splits = toy.load(NOWHERE, toy.Options(samples=64, rule=rule, noise=0.0))
    target = splits.train.target

    for name, answer in (("image", target // 2), ("audio", target % 2)):
        pictures = [set(map(str, splits.train.inputs[name][answer == value].tolist())) for value in (0, 1)]
        assert not pictures[0] & pictures[1]


def test_the_labels_of_the_sequence_are_what_the_text_says() -> None:
    splits = toy_sequence.load(NOWHERE, toy_sequence.Options(samples=100, noise=0.0))

    words = splits.train.inputs["text"].argmax(dim=2)
    first = (words == 0).float().argmax(dim=1) < (words == 1).float().argmax(dim=1)
    positive = splits.train.inputs["static"].sum(dim=1) > 0
    target = splits.train.target.bool()
    assert target[:, 0].equal(first)
    assert target[:, 1].equal(positive)
    assert target[:, 2].equal(first ^ positive)


def test_toys_load_from_memory_and_never_touch_the_root(tmp_path: Path) -> None:
    for module in (toy, toy_sequence):
        module.load(tmp_path, module.Options())

        assert module.prepare(tmp_path) == tmp_path
        assert module.check(tmp_path).samples == {"train": 512, "val": 256, "test": 256}
    assert list(tmp_path.iterdir()) == []
