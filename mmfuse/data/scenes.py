"""Scenes: drawn pictures of coloured shapes, five captions each, for first steps in retrieval (40 labels, f1_micro).

A picture (3 x 32 x 32) shows one shape in each of two or three quarters. A caption names two of them in words, which
kind stands where; so a caption fits its own picture and few others, and five captions tell a picture from all others.
Labels are what stands where: each of 6 colours and 4 shapes in each of 4 quarters. It is a stand-in: nobody took these
pictures, and nobody wrote these captions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mmfuse.data.progress import Progress, silent
from mmfuse.data.status import DataStatus
from mmfuse.options import Options as OptionsBase
from mmfuse.task import Modality, Task

if TYPE_CHECKING:
    from mmfuse.batch import Split, Splits

COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
SHAPES = ("disc", "square", "triangle", "cross")
QUARTERS = ("top left", "top right", "bottom left", "bottom right")
WORDS = ("a", "and", "beside", "with", "in", "the", "top", "bottom", "left", "right", *COLOURS, *SHAPES)
LENGTH = 16
"""Words of a caption, filled up with nothing."""

TASK = Task(
    name="scenes",
    kind="multilabel",
    modalities=(Modality("image", "grid", (3, 32, 32)), Modality("text", "sequence", (LENGTH, len(WORDS)))),
    outputs=len(QUARTERS) * (len(COLOURS) + len(SHAPES)),
    metric="f1_micro",
    classes=tuple(f"{what} {quarter}" for quarter in QUARTERS for what in (*COLOURS, *SHAPES)),
)


class Options(OptionsBase):
    """How many pictures, and how clear they are."""

    pictures: Annotated[int, Field(ge=8)] = 1600
    """Training pictures; validation and test have a quarter as many each."""
    captions: Annotated[int, Field(ge=1, le=12)] = 5
    """Captions of each picture (COCO and Flickr30k: 5)."""
    noise: Annotated[float, Field(ge=0)] = 0.15
    """Deviation of the noise on every pixel; colours lie between 0 and 1."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of scenes, words and noise."""


import numpy as np
from numpy.typing import NDArray

_SPLITS = ("train", "val", "test")
_VERSION = 1
_PAINT = np.array([[1, 0, 0], [0, 0.8, 0], [0, 0, 1], [1, 1, 0], [0.6, 0, 0.8], [1, 1, 1]], dtype=np.float32)
_EMPTY = -1


def load(root: Path, options: Options, *, progress: Progress = silent) -> Splits:
    """The scenes, a row per caption; nothing is read from or written to ``root``."""
    from mmfuse.data.in_memory import made_splits

    return made_splits(TASK, options, _split, version=_VERSION)


def prepare(root: Path, *, progress: Progress = silent) -> Path:
    """Nothing is needed."""
    return root


def status(root: Path, options: Options | None = None) -> DataStatus:
    """Always there."""
    options = options or Options()
    rows = {split: _pictures(options, split) * options.captions for split in _SPLITS}
    return DataStatus(TASK.name, "real", None, True, rows)


def check(root: Path, options: Options | None = None, *, progress: Progress = silent) -> DataStatus:
    """Nothing can be wrong."""
    return status(root, options)


def spelled(caption: NDArray[np.float32]) -> str:
    """The words of one caption (LENGTH, V), as text."""
    return " ".join(WORDS[word] for word in caption.argmax(axis=1)[caption.any(axis=1)])


def _pictures(options: Options, split: str) -> int:
    return options.pictures if split == "train" else options.pictures // 4


def _split(options: Options, split: str) -> Split:
    import torch

    from mmfuse.batch import Split

    rng = np.random.default_rng([options.seed, _VERSION, _SPLITS.index(split)])
    scenes = _scenes(_pictures(options, split), rng)
    images = _draw(scenes, rng) + options.noise * rng.standard_normal((len(scenes), 3, 32, 32))
    owner = np.repeat(np.arange(len(scenes)), options.captions)
    first = sum(_pictures(options, name) for name in _SPLITS[: _SPLITS.index(split)]) * options.captions
    return Split(
        {
            "image": torch.from_numpy(images.astype(np.float32)[owner]),
            "text": torch.from_numpy(np.stack([_caption(scenes[number], rng) for number in owner])),
        },
        torch.from_numpy(_labels(scenes)[owner]),
        torch.arange(first, first + len(owner)),
    )


def _scenes(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Colour and shape in each quarter (count, 4, 2); one quarter is `_EMPTY`, in half of the scenes two are."""
    scenes = np.stack([rng.integers(len(COLOURS), size=(count, 4)), rng.integers(len(SHAPES), size=(count, 4))], axis=2)
    order = rng.permuted(np.tile(np.arange(4), (count, 1)), axis=1)
    scenes[np.arange(count), order[:, 0]] = _EMPTY
    barer = np.flatnonzero(rng.random(count) < 0.5)
    scenes[barer, order[barer, 1]] = _EMPTY
    return scenes


def _draw(scenes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Pictures (n, 3, 32, 32) without noise, shapes shifted by up to two pixels inside their quarter."""
    pictures = np.zeros((len(scenes), 3, 32, 32), dtype=np.float32)
    shifts = rng.integers(-2, 3, size=(len(scenes), 4, 2))
    for shape in range(len(SHAPES)):
        for number, quarter in np.argwhere(scenes[:, :, 1] == shape):
            down, right = shifts[number, quarter]
            mask = np.roll(_MASKS[shape], (down, right), axis=(0, 1))
            top, left = 16 * (quarter // 2), 16 * (quarter % 2)
            colour = _PAINT[scenes[number, quarter, 0]]
            pictures[number, :, top : top + 16, left : left + 16] = mask * colour[:, None, None]
    return pictures


def _masks() -> NDArray[np.float32]:
    """Each shape (4, 16, 16) as 0 and 1, 12 pixels wide."""
    y, x = np.mgrid[-7.5:8.5, -7.5:8.5]
    disc = y**2 + x**2 < 36
    square = np.maximum(abs(y), abs(x)) < 5.2
    triangle = (y < 5) & (y > -6) & (abs(x) < (y + 6) / 2)
    cross = (np.minimum(abs(y), abs(x)) < 2) & (np.maximum(abs(y), abs(x)) < 6)
    return np.stack([disc, square, triangle, cross]).astype(np.float32)


_MASKS = _masks()


def _caption(scene: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Two of the scene's shapes in random order, as words (LENGTH, V), one at most per row."""
    quarters = rng.permutation(np.flatnonzero(scene[:, 0] != _EMPTY))[:2]
    link = ("and", "beside", "with")[rng.integers(3)]
    phrases = [["a", COLOURS[scene[q, 0]], SHAPES[scene[q, 1]], "in", "the", *QUARTERS[q].split()] for q in quarters]
    words = [*phrases[0], link, *phrases[1]]
    caption = np.zeros((LENGTH, len(WORDS)), dtype=np.float32)
    caption[np.arange(len(words)), [WORDS.index(word) for word in words]] = 1.0
    return caption


def _labels(scenes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Which colour and which shape is in each quarter (n, 40)."""
    colours = scenes[:, :, :1] == np.arange(len(COLOURS))
    shapes = scenes[:, :, 1:] == np.arange(len(SHAPES))
    return np.concatenate([colours, shapes], axis=2).reshape(len(scenes), -1).astype(np.float32)
