"""FuseMix's published layout: ``.dpt`` files, one dictionary of vectors by row number, read without running code.

In sets for training, row i of the images belongs to row i of the texts, so an image with five captions was encoded and
stored five times; equal rows become one item here. In sets for retrieval each image stands once, and the text file also
holds ``txt2img``, which image each caption belongs to.
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmfuse.data.latents_layout import LARGEST, Column, EncoderIdentity, Storage
from mmfuse.data.latents_pairs import SPLITS, PairTable
from mmfuse.data.latents_writer import LatentWriter
from mmfuse.data.progress import Progress, silent
from mmfuse.errors import BadSpec, DataInvalid, DataMissing

_MAPS = ("txt2img", "img2txt")
_BATCH = 4096
_AGAIN = "is it a file of features from FuseMix's extraction?"
_DAMAGE = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)
"""What reading a damaged file raises."""


@dataclass(frozen=True)
class DptSplit:
    """The two files of one split."""

    image: Path
    text: Path


@dataclass(frozen=True)
class _Items:
    """Distinct vectors (N, d) of one modality, and the item of each of the file's rows."""

    vectors: NDArray[np.float32]
    rows: NDArray[np.int64]


def import_dpt(
    folder: Path,
    splits: Mapping[str, DptSplit],
    *,
    name: str,
    encoders: Mapping[str, str],
    storage: Storage = "float16",
    progress: Progress = silent,
) -> list[Path]:
    """Write ``image.h5`` and ``text.h5`` to ``folder`` from ``splits`` (train, val, test); gives their paths.

    ``encoders`` say in a word what made each modality; the files themselves do not.

    Raises:
        BadSpec: when the folder is there already.
        DataMissing, DataInvalid: when a file is absent, damaged, holds anything but vectors, or does not fit its
            partner.
    """
    files = [folder / "image.h5", folder / "text.h5"]
    taken = [path for path in files if path.exists()]
    if taken:
        raise BadSpec(f"{taken[0]} is there already", "remove it, or choose another --name")
    parts: dict[str, list[_Items]] = {"image": [], "text": []}
    pairs: dict[str, NDArray[np.int32]] = {}
    for number, split in enumerate(split for split in SPLITS if split in splits):
        progress(number, len(splits), what=f"reading {split}")
        image, text, found = _read(splits[split])
        offset = [sum(len(part.vectors) for part in parts[modality]) for modality in ("image", "text")]
        pairs[split] = (found + np.array(offset)).astype(np.int32)
        parts["image"].append(image)
        parts["text"].append(text)
    vectors = {modality: _stacked(found, modality) for modality, found in parts.items()}
    table = PairTable(name, {modality: _ids(rows) for modality, rows in vectors.items()}, pairs)
    for path, (modality, rows) in zip(files, vectors.items(), strict=True):
        _write(path, table, modality, rows, encoders[modality], storage, progress)
    return files


def read_dpt(path: Path) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The vectors (n, d) in order of their row numbers, and the maps that a text file for retrieval holds.

    Raises:
        DataMissing, DataInvalid: when the file is absent, damaged or holds anything else.
    """
    value = _unpickled(path)
    if not isinstance(value, dict):
        raise DataInvalid(f"{path} holds {type(value).__name__}, expected a dictionary of vectors", _AGAIN)
    maps = {key: value[key] for key in _MAPS if key in value}
    rows = {str(key): vector for key, vector in value.items() if key not in _MAPS}
    absent = next((number for number in range(len(rows)) if str(number) not in rows), None)
    if not rows or absent is not None:
        raise DataInvalid(f"{path} has {len(rows):,} rows, but none of number {absent or 0}", _AGAIN)
    ordered = [rows[str(number)] for number in range(len(rows))]
    wrong = next((n for n, v in enumerate(ordered) if not _is_vector(v) or v.shape != ordered[0].shape), None)
    if wrong is not None:
        raise DataInvalid(f"{path}: row {wrong} is no vector of the length of the others", _AGAIN)
    vectors = torch.stack([vector.float() for vector in ordered])
    unfit = ~(vectors.abs() < LARGEST).all(1)  # NaN is not smaller either
    if bool(unfit.any()):
        row = int(unfit.nonzero()[0])
        raise DataInvalid(f"{path}: row {row} holds NaN, infinity or a number of {LARGEST:,.0f} or more", _AGAIN)
    return vectors.numpy(), maps


def _read(split: DptSplit) -> tuple[_Items, _Items, NDArray[np.int64]]:
    """Images, texts, and pairs (P, 2) of their items."""
    (image, _), (text, maps) = read_dpt(split.image), read_dpt(split.text)
    if "txt2img" not in maps:
        if len(image) != len(text):
            raise DataInvalid(
                f"{split.image} has {len(image):,} rows and {split.text} has {len(text):,}, expected as many",
                "are they of the same set and split?",
            )
        images, texts = _distinct(image), _distinct(text)
        return images, texts, np.stack([images.rows, texts.rows], axis=1)
    owner = _owners(maps["txt2img"])
    if set(owner) != set(range(len(text))) or not set(owner.values()) <= set(range(len(image))):
        raise DataInvalid(
            f"{split.text}: its map from texts to images does not fit {len(text):,} texts and {len(image):,} images",
            "are they of the same set and split?",
        )
    pairs = np.array([(owner[number], number) for number in range(len(text))], dtype=np.int64)
    return _Items(image, np.arange(len(image))), _Items(text, np.arange(len(text))), pairs


def _is_vector(value: Any) -> bool:
    """Whether it is a dense tensor of at least one real number."""
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
        return False
    return value.ndim == 1 and value.numel() > 0 and not value.is_complex()


def _owners(found: Any) -> dict[int, int]:
    """By text its image; empty where the map is none of whole numbers."""
    try:
        return {int(key): int(value) for key, value in found.items()}
    except (AttributeError, TypeError, ValueError):
        return {}


def _unpickled(path: Path) -> Any:
    if not path.is_file():
        raise DataMissing(f"there is no file {path}", "FuseMix's extraction writes <split>.dpt")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataInvalid(
            f"{path} is not a dictionary of tensors alone, or damaged; nothing in it was executed",
            "do not open it with other tools unless you trust where it came from",
        ) from error
    except _DAMAGE as error:
        raise DataInvalid(f"{path} is truncated or damaged", "copy it again") from error


def _distinct(vectors: NDArray[np.float32]) -> _Items:
    """Equal rows once, in order of their first appearance."""
    seen: dict[bytes, int] = {}
    rows = np.array(
        [seen.setdefault(hashlib.blake2b(row.tobytes(), digest_size=16).digest(), len(seen)) for row in vectors],
        dtype=np.int64,
    )
    first = np.zeros(len(seen), dtype=np.int64)
    first[rows[::-1]] = np.arange(len(rows))[::-1]
    return _Items(vectors[first], rows)


def _stacked(parts: list[_Items], modality: str) -> NDArray[np.float32]:
    widths = {part.vectors.shape[1] for part in parts}
    if len(widths) != 1:
        raise DataInvalid(
            f"the splits' vectors of {modality} have lengths {sorted(widths)}, expected one length", _AGAIN
        )
    return np.concatenate([part.vectors for part in parts])


def _ids(vectors: NDArray[np.float32]) -> tuple[str, ...]:
    """The files know no names: an item is called after its number and its content."""
    return tuple(
        f"{number}:{hashlib.blake2b(row.tobytes(), digest_size=6).hexdigest()}" for number, row in enumerate(vectors)
    )


def _write(
    path: Path,
    table: PairTable,
    modality: str,
    rows: NDArray[np.float32],
    encoder: str,
    storage: Storage,
    progress: Progress,
) -> None:
    identity = EncoderIdentity(encoder, "imported", "as imported", False, {"layout": "dpt"})
    column = Column(modality, identity, rows.shape[1], storage, _BATCH)
    with LatentWriter(path, table, column) as writer:
        for batch in writer.pending():
            writer.write(batch.start, rows[batch.start : batch.stop])
            progress(batch.stop, len(rows), what=f"writing {path.name}")
        writer.publish()
