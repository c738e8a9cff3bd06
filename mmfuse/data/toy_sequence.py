"""Toy with a text and a static vector: three yes-or-no answers at once, made up in memory (multilabel, micro F1).

Label 0: the word A stands before the word B in the text. Label 1: the vector's entries sum to more than 0. Label 2:
exactly one of the two. So order in the sequence matters, and the last label needs both modalities.
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

TASK = Task(
    name="toy_sequence",
    kind="multilabel",
    modalities=(Modality("text", "sequence", (12, 8)), Modality("static", "vector", (5,))),
    outputs=3,
    metric="f1_micro",
)


class Options(OptionsBase):
    """How many samples."""

    samples: Annotated[int, Field(ge=8)] = 512
    """Training samples; validation and test have half as many each."""
    noise: Annotated[float, Field(ge=0)] = 0.1
    """Deviation of the noise on the word vectors, which have length 1."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of everything."""


import numpy as np

_SPLITS = ("train", "val", "test")
_VERSION = 1


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
    """Words 0 (A) and 1 (B) occur once each at random places, words 2 to 7 fill the rest; a word is a unit vector."""
    import torch

    from mmfuse.batch import Split

    sizes = _sizes(options)
    count, (length, width) = sizes[split], TASK.modality("text").shape
    rng = np.random.default_rng([options.seed, _SPLITS.index(split)])
    words = rng.integers(2, width, (count, length))
    places = np.argsort(rng.random((count, length)), axis=1)[:, :2]
    words[np.arange(count), places[:, 0]] = 0
    words[np.arange(count), places[:, 1]] = 1
    text = np.eye(width)[words] + options.noise * rng.standard_normal((count, length, width))
    static = rng.standard_normal((count, *TASK.modality("static").shape))
    before, positive = places[:, 0] < places[:, 1], static.sum(axis=1) > 0
    target = np.stack([before, positive, before != positive], axis=1)
    first = sum(sizes[name] for name in _SPLITS[: _SPLITS.index(split)])
    return Split(
        {"text": torch.from_numpy(text).float(), "static": torch.from_numpy(static).float()},
        torch.from_numpy(target).float(),
        torch.arange(first, first + count),
    )
