"""The drawn scenes: captions tell what the pictures show."""

from pathlib import Path

import torch

from mmfuse.batch import Split
from mmfuse.data import scenes
from mmfuse.data.scenes import COLOURS, QUARTERS, SHAPES, TASK, spelled


def _train(**values: object) -> Split:
    return scenes.load(Path(), scenes.Options(pictures=40, **values)).train  # type: ignore[arg-type]


def test_five_captions_share_a_picture_and_its_labels() -> None:
    split = _train()

    for start in (0, 100, 195):
        pictures, labels = split.inputs["image"][start : start + 5], split.target[start : start + 5]
        assert (pictures == pictures[0]).all()
        assert (labels == labels[0]).all()
    assert len({tuple(picture.flatten().tolist()) for picture in split.inputs["image"]}) == 40


def test_what_a_caption_says_is_among_the_pictures_labels() -> None:
    split = _train()

    for caption, label in zip(split.inputs["text"], split.target, strict=True):
        words = spelled(caption.numpy())
        shown = {name for name, there in zip(TASK.classes, label.tolist(), strict=True) if there}
        phrases = [words[start:] for start in range(len(words)) if words[start:].startswith("a ")]
        assert len(phrases) == 2, words
        for phrase in phrases:
            _, colour, shape, _, _, *quarter = phrase.split()[:7]
            assert {f"{what} {' '.join(quarter)}" for what in (colour, shape)} <= shown


def test_a_quarter_shows_one_colour_and_one_shape_or_nothing() -> None:
    labels = _train().target.view(-1, len(QUARTERS), len(COLOURS) + len(SHAPES))

    colours, shapes = labels[..., : len(COLOURS)].sum(2), labels[..., len(COLOURS) :].sum(2)
    assert colours.equal(shapes)
    assert set(colours.unique().tolist()) == {0.0, 1.0}
    assert set(colours.sum(1).unique().tolist()) == {2.0, 3.0}


def test_a_bare_quarter_is_dark_and_a_white_square_is_bright() -> None:
    split = _train(noise=0.0)
    labels = split.target.view(-1, 4, 10)
    quarters = split.inputs["image"].unfold(2, 16, 16).unfold(3, 16, 16).flatten(2, 3).transpose(1, 2)

    assert quarters[labels.sum(2) == 0].abs().max() == 0
    white_squares = (labels[..., COLOURS.index("white")] == 1) & (labels[..., len(COLOURS) + 1] == 1)
    assert white_squares.any()
    assert torch.allclose(quarters[white_squares].amax((2, 3)), torch.ones(3))
