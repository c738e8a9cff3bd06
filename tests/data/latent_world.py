"""A small pair table and vectors that follow from the item's number, for tests of latents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmfuse.data.latents_layout import Column, EncoderIdentity, Storage
from mmfuse.data.latents_pairs import PairTable


def table(images: int = 40, captions_each: int = 3, *, name: str = "world") -> PairTable:
    """Images with several captions each; the last fifth of the images is val, the fifth before it test."""
    image = np.repeat(np.arange(images), captions_each)
    pairs = np.stack([image, np.arange(len(image))], axis=1).astype(np.int32)
    val, test = image >= images * 4 // 5, (image >= images * 3 // 5) & (image < images * 4 // 5)
    return PairTable(
        name=name,
        ids={
            "image": tuple(f"picture {n}.jpg" for n in range(images)),
            "text": tuple(f"{n // captions_each}#{n % captions_each}" for n in range(len(image))),
        },
        splits={"train": pairs[~(val | test)], "val": pairs[val], "test": pairs[test]},
    )


def identity(name: str = "dinov2-small", **changes: object) -> EncoderIdentity:
    values = {"name": name, "weights": "0" * 16, "pooling": "cls", "normalised": False, "preprocessing": {"size": 224}}
    return EncoderIdentity(**(values | changes))  # type: ignore[arg-type]


def column(modality: str = "image", *, dim: int = 6, storage: Storage = "float16", batch: int = 7) -> Column:
    return Column(modality, identity(f"{modality}-encoder"), dim, storage, batch)


def vectors(rows: range, dim: int = 6) -> NDArray[np.float32]:
    """The vectors (n, dim) of items ``rows``."""
    return np.sin(np.arange(rows.start, rows.stop)[:, None] * 0.7 + np.arange(dim)).astype(np.float32)
