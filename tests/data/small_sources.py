"""Tiny files in the formats of AV-MNIST's public sources, and tiny AV-MNISTs without a manifest."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from scipy.io import wavfile

RATE = 8000


def write_idx(path: Path, values: np.ndarray) -> None:
    """An IDX file of bytes, gzipped the same way each time."""
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes(), mtime=0))


def write_mnist(folder: Path, *, train: int = 48, test: int = 20, seed: int = 0) -> Path:
    """Random pictures with a bright stripe where their label says."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name, count in (("train", train), ("t10k", test)):
        labels = rng.permutation(np.arange(count) % 10)
        images = rng.integers(0, 60, (count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            image[2 * label : 2 * label + 3] += 150
        write_idx(folder / f"{name}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{name}-labels-idx1-ubyte.gz", labels)
    return folder


def write_fsdd(folder: Path, *, speakers: tuple[str, ...] = ("ann", "bob", "cid"), takes: int = 4) -> Path:
    """A tone per digit, of a length of its own, in int16."""
    folder.mkdir(parents=True, exist_ok=True)
    for digit in range(10):
        for number, speaker in enumerate(speakers):
            for take in range(takes):
                time = np.arange(1200 + 150 * digit + 40 * take) / RATE
                tone = np.sin(2 * np.pi * (200 + 300 * digit + 20 * number) * time)
                wavfile.write(folder / f"{digit}_{speaker}_{take}.wav", RATE, (tone * 20000).astype(np.int16))
    return folder


def write_esc50(folder: Path, *, kinds: int = 4, recordings: int = 2) -> Path:
    """Noise of 44.1 kHz in stereo, in folders below, as the archive has it."""
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    for kind in range(kinds):
        for recording in range(recordings):
            noise = rng.integers(-9000, 9000, (22050, 2)).astype(np.int16)
            wavfile.write(folder / "audio" / f"{recording + 1}-{1000 + kind}-A-{kind}.wav", 44100, noise)
    return folder


def write_published(folder: Path, *, train: int = 24, test: int = 8, images: str = "image") -> Path:
    """Files as the public copies have them, with no manifest: float64 images, byte spectrograms."""
    rng = np.random.default_rng(1)
    for name in (images, "audio"):
        (folder / name).mkdir(parents=True)
    for part, count in (("train", train), ("test", test)):
        np.save(folder / images / f"{part}_data.npy", rng.normal(0.0, 50.0, (count, 784)))
        np.save(folder / "audio" / f"{part}_data.npy", rng.integers(0, 256, (count, 112, 112)).astype(np.uint8))
        np.save(folder / f"{part}_labels.npy", (np.arange(count) % 10).astype(np.uint8))
    return folder
