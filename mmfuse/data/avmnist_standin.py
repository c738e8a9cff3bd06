"""AV-MNIST's stand-in: handwritten and spoken digits made on this machine, in the files of the public dataset.

Images are the 1,797 handwritten digits that ship with scikit-learn (43 writers, 8 x 8), drawn at 28 x 28 under small
turns and shifts, their energy reduced by a PCA basis fitted on train. Audio is our own synthesiser's (`speech`): every
clip is a take of its own by one of many voices, under noise, as a 112 x 112 spectrogram. Handwriting and voices of one
split never occur in another. Each modality alone is weak by construction; `Recipe`'s defaults were measured so that
fusion pays clearly and a linear model does not get far (tests/data/test_avmnist_standin.py holds them to it).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmfuse.architecture import canonical_json
from mmfuse.data import avmnist_files as files
from mmfuse.data.energy import Basis, fit_basis
from mmfuse.data.progress import Progress, silent
from mmfuse.data.spectrogram import SIDE, at_signal_to_noise, spectrogram
from mmfuse.data.speech import Voice, draw_voice, speak
from mmfuse.data.staging import staged

logger = logging.getLogger(__name__)

VERSION = 1
"""Of the code below; raised when equal recipes give other data than before."""
_CHUNK = 250
_SPLITS = ("train", "val", "test")
_SOURCES = {"train": range(1200), "val": range(1200, 1400), "test": range(1400, 1797)}
"""Rows of scikit-learn's digits per split; writers follow each other, so most writers stay on one side."""


@dataclass(frozen=True)
class Recipe:
    """Everything the stand-in follows from. Sizes are numbers of pairs, angles degrees, shifts pixels."""

    train: int = 6000
    val: int = 1000
    test: int = 2000
    seed: int = 0
    energy: float = 0.55
    rotation: float = 25.0
    shift: float = 3.0
    snr_db: float = -3.5
    snr_spread_db: float = 6.0
    seconds: float = 0.9
    accent: float = 0.12
    train_voices: int = 20
    val_voices: int = 5
    test_voices: int = 10

    @property
    def folder(self) -> str:
        """Name of the folder that holds what this recipe makes; another recipe has another."""
        content = canonical_json({"version": VERSION, **asdict(self)})
        mark = hashlib.sha256(content.encode()).hexdigest()[:8]
        return f"{self.train}-{self.val}-{self.test}-seed{self.seed}-{mark}"


def ensure(folder: Path, recipe: Recipe, *, progress: Progress = silent) -> Path:
    """``folder``, built first if it is not there. Of several processes that ask at once, one builds and the rest wait.

    Raises:
        DataMissing: when ``folder`` can be neither found nor written.
    """
    if folder.is_dir():
        return folder
    with staged(folder) as work:
        if work is not None:
            logger.warning("building the stand-in of AV-MNIST in %s (once; real data: mmfuse data get avmnist)", folder)
            _build(work, recipe, progress)
    return folder


def _build(folder: Path, recipe: Recipe, progress: Progress) -> None:
    sizes = {split: int(getattr(recipe, split)) for split in _SPLITS}
    labels = {split: _labels(sizes[split], _rng(recipe, "labels", split)) for split in _SPLITS}
    images, sources = _images(labels, recipe)
    basis = fit_basis(images["train"], energy=recipe.energy)
    reduced = {split: _reduced(images[split], basis) for split in _SPLITS}
    total, done = sum(sizes.values()), 0
    audio, speakers = {}, {}
    for number, split in enumerate(_SPLITS):
        audio[split], voices = _audio(labels[split], split, recipe, partial(_tell, progress, done, total))
        speakers[split] = voices + 1000 * number
        done += sizes[split]
    pairs = {split: np.stack([sources[split], speakers[split]], axis=1).astype(np.int32) for split in _SPLITS}
    members: dict[files.Part, tuple[str, ...]] = {"train": ("train", "val"), "test": ("test",)}
    for part, splits in members.items():
        files.write_part(
            folder,
            part,
            images=np.concatenate([reduced[split] for split in splits]),
            audio=np.concatenate([audio[split] for split in splits]),
            labels=np.concatenate([labels[split] for split in splits]).astype(np.uint8),
            pairs=np.concatenate([pairs[split] for split in splits]),
        )
    facts = {
        "recipe": asdict(recipe),
        "basis_sha256": basis.sha256,
        "components": len(basis.directions),
        "variance_kept": round(basis.kept, 6),
        "pairs": "columns: row of scikit-learn's digits, voice",
    }
    files.write_manifest(folder, generator=f"stand-in {VERSION}", stand_in=True, splits=sizes, facts=facts)


def _tell(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total, what="building the stand-in of avmnist")


def _rng(recipe: Recipe, what: str, split: str) -> np.random.Generator:
    stream = ("labels", "images", "voices", "speech").index(what)
    return np.random.default_rng([recipe.seed, stream, _SPLITS.index(split)])


def _labels(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Balanced, in random order."""
    return rng.permutation(np.arange(count) % 10)


def _images(
    labels: dict[str, NDArray[np.int64]], recipe: Recipe
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.int64]]]:
    """Images (N, 784) from 0 to 255 and the digit each was drawn after, per split."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, sources = {}, {}
    for split, wanted in labels.items():
        rng = _rng(recipe, "images", split)
        sources[split] = _deal(wanted, digits.target[_SOURCES[split]], rng) + _SOURCES[split].start
        images[split] = _draw(digits.images[sources[split]] / 16.0, recipe, rng).reshape(len(wanted), -1) * 255.0
    return images, sources


def _deal(wanted: NDArray[np.int64], available: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """For each wanted label a position in ``available`` of that label, every one used equally often."""
    dealt = np.empty(len(wanted), dtype=np.int64)
    for label in range(10):
        rows = np.flatnonzero(wanted == label)
        pool = rng.permutation(np.flatnonzero(available == label))
        dealt[rows] = np.resize(pool, len(rows))
    return dealt


def _draw(digits: NDArray[np.float64], recipe: Recipe, rng: np.random.Generator) -> NDArray[np.float64]:
    """8 x 8 digits as 28 x 28 images (20 pixels for the digit, as in MNIST), turned and shifted at random, bilinear."""
    count = len(digits)
    angle = np.deg2rad(rng.uniform(-recipe.rotation, recipe.rotation, count))[:, None, None]
    zoom = 2.5 * rng.uniform(0.9, 1.1, count)[:, None, None]
    shift = rng.uniform(-recipe.shift, recipe.shift, (2, count))[:, :, None, None]
    y, x = np.meshgrid(np.arange(28) - 13.5, np.arange(28) - 13.5, indexing="ij")
    y, x = y - shift[0], x - shift[1]
    row = (np.cos(angle) * y - np.sin(angle) * x) / zoom + 4.5
    column = (np.sin(angle) * y + np.cos(angle) * x) / zoom + 4.5
    return _bilinear(np.pad(digits, ((0, 0), (1, 1), (1, 1))), row.clip(0, 8.999), column.clip(0, 8.999))


def _bilinear(
    images: NDArray[np.float64], row: NDArray[np.float64], column: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Images (N, H, W) read at fractional places (N, h, w)."""
    top, left = row.astype(np.int64), column.astype(np.int64)
    down, right = row - top, column - left
    which = np.arange(len(images))[:, None, None]
    upper = images[which, top, left] * (1 - right) + images[which, top, left + 1] * right
    lower = images[which, top + 1, left] * (1 - right) + images[which, top + 1, left + 1] * right
    return np.asarray(upper * (1 - down) + lower * down)


def _reduced(images: NDArray[np.float64], basis: Basis) -> NDArray[np.float32]:
    """What the basis keeps, in quarters of a grey level: coarser than what linear-algebra libraries differ by."""
    return (np.rint(4.0 * basis.project(images)) / 4.0).astype(np.float32)


def _audio(
    labels: NDArray[np.int64], split: str, recipe: Recipe, tell: Callable[[int], None]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Spectrograms (N, 112, 112) of the labels spoken by the split's voices in turn, and which voice spoke."""
    rng = _rng(recipe, "voices", split)
    voices: list[Voice] = [draw_voice(rng, accent=recipe.accent) for _ in range(getattr(recipe, f"{split}_voices"))]
    turns = rng.permutation(np.resize(np.arange(len(voices)), len(labels)))
    rng = _rng(recipe, "speech", split)
    pictures = np.empty((len(labels), SIDE, SIDE), dtype=np.uint8)
    for start in range(0, len(labels), _CHUNK):
        rows = slice(start, start + _CHUNK)
        clips = speak(labels[rows], [voices[turn] for turn in turns[rows]], rng, seconds=recipe.seconds)
        level = rng.normal(recipe.snr_db, recipe.snr_spread_db, len(clips))
        pictures[rows] = spectrogram(at_signal_to_noise(clips, _noise(clips.shape, rng), decibels=level))
        tell(min(start + _CHUNK, len(labels)))
    return pictures, turns


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise whose spectrum falls like speech's: white noise, each sample plus nine tenths of the one before."""
    white = rng.standard_normal(shape)
    white[:, 1:] += 0.9 * white[:, :-1]
    return white
