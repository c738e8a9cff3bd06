"""Toy: two tiny pictures made up in memory, for tests, first steps and planted truths (4 classes, accuracy).

The class is two answers in one, ``2 a + b``: ``a`` is in the image, ``b`` in the audio, so one modality alone gets half
of the samples right at best. How an answer is written down is the ``rule``:

- "sign": the picture is a fixed pattern or its negative. A linear model reads it.
- "turn": two marks stand in neighbouring corners of the picture, and the answer is whether the second follows the first
  clockwise. Each corner alone looks the same for both answers, and so does the set of corners without their places, and
  no linear model can tell: only a model that mixes tokens across positions gets it (with tokens of 4 x 4 pixels).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmfuse.data.progress import Progress, silent
from mmfuse.data.status import DataStatus
from mmfuse.options import Options as OptionsBase
from mmfuse.task import Modality, Task

if TYPE_CHECKING:
    from mmfuse.batch import Split, Splits

TASK = Task(
    name="toy",
    kind="multiclass",
    modalities=(Modality("image", "grid", (1, 8, 8)), Modality("audio", "grid", (1, 8, 8))),
    outputs=4,
    metric="accuracy",
)

BACKBONES = {name: {"family": "lenet_image"} for name in ("image", "audio")}
"""The audio is as small a picture as the image: five blocks, as for spectrograms, would be two too many."""


class Options(OptionsBase):
    """How many samples, and what hides the answer in them."""

    samples: Annotated[int, Field(ge=8)] = 512
    """Training samples; validation and test have half as many each."""
    rule: Literal["sign", "turn"] = "sign"
    """How a picture holds its answer (see the module's text)."""
    noise: Annotated[float, Field(ge=0)] = 0.5
    """Deviation of the noise on every pixel; marks have amplitude 1."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of answers, places and noise."""


import numpy as np
from numpy.typing import NDArray

_SPLITS = ("train", "val", "test")
_VERSION = 1
_CLOCKWISE = ((0, 0), (0, 4), (4, 4), (4, 0))
_MARKS = np.array(
    [
        [[1, 1, 1, 1], [1, -1, -1, 1], [1, -1, -1, 1], [1, 1, 1, 1]],
        [[1, -1, -1, 1], [-1, 1, 1, -1], [-1, 1, 1, -1], [1, -1, -1, 1]],
    ],
    dtype=np.float32,
)
"""A frame and a cross of 4 x 4 pixels."""


def load(root: Path, options: Options, *, progress: Progress = silent) -> Splits:
    """The toy data; nothing is read from or written to ``root``."""
    from mmfuse.data.in_memory import made_splits

    return made_splits(TASK, options, _split, version=_VERSION)


def prepare(root: Path, *, progress: Progress = silent) -> Path:
    """Nothing is needed."""
    return root


def status(root: Path, options: Options | None = None) -> DataStatus:
    """Always there."""
    return DataStatus(TASK.name, "real", None, True, _sizes(options or Options()))


def check(root: Path, options: Options | None = None, *, progress: Progress = silent) -> DataStatus:
    """Nothing can be wrong."""
    return status(root, options)


def _sizes(options: Options) -> dict[str, int]:
    return {"train": options.samples, "val": options.samples // 2, "test": options.samples // 2}


def _split(options: Options, split: str) -> Split:
    import torch

    from mmfuse.batch import Split

    sizes = _sizes(options)
    rng = np.random.default_rng([options.seed, _SPLITS.index(split)])
    target = rng.permutation(np.arange(sizes[split]) % TASK.outputs)
    write = {"sign": _sign, "turn": _turn}[options.rule]
    pictures = {"image": write(target // 2, rng), "audio": write(target % 2, rng)}
    first = sum(sizes[name] for name in _SPLITS[: _SPLITS.index(split)])
    return Split(
        {name: torch.from_numpy(_noisy(picture, options.noise, rng)) for name, picture in pictures.items()},
        torch.from_numpy(target),
        torch.arange(first, first + sizes[split]),
    )


def _sign(answers: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    """One fixed pattern for 1, its negative for 0: (N, 8, 8)."""
    pattern: NDArray[np.float32] = np.block([[_MARKS[0], _MARKS[1]], [_MARKS[1], _MARKS[0]]])
    signs: NDArray[np.float32] = (2 * answers - 1).astype(np.float32)
    return signs[:, None, None] * pattern


def _turn(answers: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    """The frame in a random corner, the cross in the next one clockwise for 1, the other way for 0: (N, 8, 8)."""
    pictures = np.zeros((len(answers), 8, 8), dtype=np.float32)
    corners = rng.integers(0, 4, len(answers))
    for picture, corner, answer in zip(pictures, corners, answers, strict=True):
        for mark, place in zip(_MARKS, (corner, corner + (1 if answer else -1)), strict=True):
            row, column = _CLOCKWISE[place % 4]
            picture[row : row + 4, column : column + 4] = mark
    return pictures


def _noisy(pictures: NDArray[np.float32], noise: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """(N, 8, 8) -> (N, 1, 8, 8)."""
    return (pictures + noise * rng.standard_normal(pictures.shape))[:, None].astype(np.float32)
