"""A small file of MM-IMDB as its authors write it, without mmfuse's own writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SPLITS = {"train": (0, 24), "dev": (24, 34), "test": (34, 48)}
FILMS = 48
NAMES = [f"genre {number}" for number in range(23)]
WORDS = ["_UNK_", "the", "heist", "sails", "at", "dawn", "ship"]
MEAN = np.array([103.939, 116.779, 123.68]).reshape(3, 1, 1)


def content(seed: int = 0) -> dict[str, Any]:
    """Every key's rows; posters (N, 3, 20, 12) in RGB under ``rgb``, not stored as such."""
    rng = np.random.default_rng(seed)
    genres = (rng.random((FILMS, 23)) < 0.2).astype(np.int32)
    genres[np.arange(FILMS), np.arange(FILMS) % 23] = 1
    rgb = rng.integers(0, 256, (FILMS, 3, 20, 12))
    return {
        "rgb": rgb,
        "images": (rgb[:, ::-1] - MEAN).astype(np.int32),
        "genres": genres,
        "features": rng.standard_normal((FILMS, 300)).astype(np.float32),
        "vgg_features": np.maximum(rng.standard_normal((FILMS, 4096)), 0).astype(np.float32),
        "imdb_ids": np.array([f"{row + 28219:07d}" for row in range(FILMS)], dtype="S7"),
        "sequences": [rng.integers(0, len(WORDS), 2 + row % 5).astype(np.int32) for row in range(FILMS)],
    }


def write(root: Path, films: dict[str, Any], *, split: bool = True) -> Path:
    """The file and its vocabulary below ``root/mm_imdb``; gives the file's path."""
    folder = root / "mm_imdb"
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "multimodal_imdb.hdf5", "w") as file:
        for name, rows in films.items():
            if name == "sequences":
                plots = file.create_dataset(name, (len(rows),), h5py.vlen_dtype(np.dtype("int32")))
                for row, plot in enumerate(rows):
                    plots[row] = plot
            elif name != "rgb":
                file.create_dataset(name, data=rows)
        if "genres" in file:
            file["genres"].attrs["target_names"] = json.dumps(NAMES)
        if split:
            file.attrs["split"] = fuel_splits(SPLITS, sorted(file))
    vocabulary = {"ix_to_word": dict(enumerate(WORDS)), "lookup": np.zeros((2, 3)), "vocab_size": len(WORDS)}
    np.save(folder / "metadata.npy", np.array(vocabulary, dtype=object))
    return folder / "multimodal_imdb.hdf5"


def fuel_splits(splits: dict[str, tuple[int, int]], sources: list[str]) -> np.ndarray:
    """The array that Fuel keeps splits in."""
    fields = [("split", "S5"), ("source", "S12"), ("start", "i8"), ("stop", "i8"), ("indices", h5py.ref_dtype)]
    rows = [
        (split.encode(), source.encode(), start, stop, h5py.Reference(), True, b".")
        for split, (start, stop) in splits.items()
        for source in sources
    ]
    return np.array(rows, dtype=[*fields, ("available", "?"), ("comment", "S1")])
