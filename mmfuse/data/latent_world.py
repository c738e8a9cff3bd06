"""Latent world: made-up latents of images and captions, with which FuseMix can be tried and judged in seconds.

What image and caption share (16 numbers) and what each has for itself (16 more) goes through a random network of its
own; the outputs are the latents (64 and 48 numbers). Partners can be found through the shared numbers alone, and with
few pairs adapters learn the training pairs by heart, which is where blending them helps. It is a stand-in: no encoder
saw any picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mmfuse.data.progress import Progress, silent
from mmfuse.data.status import DataStatus
from mmfuse.data.subset_options import SubsetOptions
from mmfuse.task import Modality, Task

if TYPE_CHECKING:
    from mmfuse.latents import LatentPairs, LatentSplits

TASK = Task(
    name="latent_world",
    kind="retrieval",
    modalities=(Modality("image", "vector", (64,)), Modality("text", "vector", (48,))),
    outputs=0,
    metric="r_mean",
)


class Options(SubsetOptions):
    """How large the world is."""

    images: Annotated[int, Field(ge=1)] = 500
    """Training images; few enough to be learnt by heart, so that augmentation shows."""
    validation: Annotated[int, Field(ge=1)] = 250
    """Images of validation; few, because an epoch here is a step or two."""
    test: Annotated[int, Field(ge=1)] = 1000
    """Images of test."""
    captions: Annotated[int, Field(ge=1)] = 1
    """Captions of each image; COCO and Flickr30k have five."""
    noise: Annotated[float, Field(ge=0)] = 0.1
    """Deviation of the noise on every latent."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the two networks and of everything that goes through them."""


import hashlib

import numpy as np
from numpy.typing import NDArray

from mmfuse.architecture import canonical_json

_VERSION = 1
_SPLITS = ("train", "val", "test")
_SHARED, _PRIVATE, _HIDDEN = 16, 16, 96


def load(root: Path, options: Options, *, progress: Progress = silent) -> LatentSplits:
    """The world; nothing is read from or written to ``root``."""
    from mmfuse.data.subsets import subset
    from mmfuse.latents import LatentSplits

    return LatentSplits(
        task=TASK,
        train=subset(_pairs(options, "train"), options, progress=progress),
        val=_pairs(options, "val"),
        open_test=lambda: _pairs(options, "test"),
    )


def prepare(root: Path, *, progress: Progress = silent) -> Path:
    """Nothing is needed."""
    return root


def status(root: Path, options: Options | None = None) -> DataStatus:
    """Always there."""
    options = options or Options()
    pairs = {split: images * options.captions for split, images in _images(options).items()}
    if options.fraction < 1:
        pairs["train"] = max(1, round(options.fraction * pairs["train"]))
    return DataStatus(TASK.name, "stand-in", None, True, pairs)


def check(root: Path, options: Options | None = None, *, progress: Progress = silent) -> DataStatus:
    """Nothing can be wrong."""
    return status(root, options)


def _images(options: Options) -> dict[str, int]:
    return {"train": options.images, "val": options.validation, "test": options.test}


def _pairs(options: Options, split: str) -> LatentPairs:
    import torch

    from mmfuse.latents import LatentPairs

    recipe = {"dataset": TASK.name, "version": _VERSION, **options.model_dump(mode="json")}
    world = np.random.default_rng([options.seed, 0])
    draws = np.random.default_rng([options.seed, 1 + _SPLITS.index(split)])
    images = _images(options)[split]
    shared = draws.standard_normal((images, _SHARED))
    owner = np.repeat(np.arange(images), options.captions)
    latents = {}
    for modality, known in zip(TASK.modalities, (shared, shared[owner]), strict=True):
        network = _network(modality.shape[0], world)
        clean = _through(np.hstack([known, draws.standard_normal((len(known), _PRIVATE))]), network)
        noisy = clean + options.noise * draws.standard_normal(clean.shape)
        latents[modality.name] = torch.from_numpy(noisy.astype(np.float32))
    return LatentPairs(
        names=tuple(latents),
        latents=latents,
        pairs=torch.from_numpy(np.stack([owner, np.arange(len(owner))], axis=1).astype(np.int32)),
        fingerprint=hashlib.sha256(canonical_json(recipe).encode()).hexdigest()[:16],
        label=f"{TASK.name} (stand-in)",
        stand_in=True,
        encoders={name: f"{TASK.name} {name} network, seed {options.seed}" for name in latents},
        provenance=recipe,
    )


def _network(outputs: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of a layer with tanh and of a linear one, scaled so that tanh is well bent."""
    inputs = _SHARED + _PRIVATE
    first = 1.5 * rng.standard_normal((inputs, _HIDDEN)) / np.sqrt(inputs)
    return first, rng.standard_normal((_HIDDEN, outputs)) / np.sqrt(_HIDDEN)


def _through(
    values: NDArray[np.float64], network: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.tanh(values @ network[0]) @ network[1]
    return result
