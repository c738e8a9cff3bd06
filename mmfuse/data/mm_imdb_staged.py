"""MM-IMDB's modalities as arrays: read whole where they are small, reduced once and mapped into memory where not.

What is reduced lies in ``staged/`` beside the file, one folder per representation, with a manifest; its name carries a
mark of the source's size and modification time, so that another file is reduced anew. The source is read in blocks of
some megabytes and never as a whole. On disk all 25,959 films take, as bytes, 319 MB of posters at 64 x 64 and 5.1 GB
at 256 x 256; as 16-bit floats, 20.4 GB of BERT's vectors of 512 tokens; as bytes per counter, a table of all words. In
memory are the pages that batches touch.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfuse.architecture import canonical_json
from mmfuse.data.arrays import check_finite
from mmfuse.data.hashed_words import hash_words
from mmfuse.data.hashes import sha256_of
from mmfuse.data.mm_imdb_files import MEAN_BGR, Survey, digest, key, opened, read_words
from mmfuse.data.progress import Progress, silent
from mmfuse.data.staging import staged
from mmfuse.errors import DataInvalid

IMAGENET = (
    255 * np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1),
    255 * np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1),
)
"""ImageNet's mean and deviation of RGB, for bytes; what MixMAS scales posters by, and pretrained networks expect."""
STAGED = "staged"
_FORMAT = 1
_VALUES = "values.npy"
_MANIFEST = "manifest.json"
_BLOCK_BYTES = 1 << 24


Statistics = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Column:
    """One modality of all films, (N, ...), and the hash of what it was read from.

    ``statistics`` are mean and deviation over the training rows, broadcasting against one film; None for what is not to
    be scaled. ``table`` (V, F) holds what numbers in ``values`` stand for.
    """

    values: NDArray[Any]
    digest: str
    statistics: Statistics | None = None
    table: NDArray[np.uint8] | None = None


def vectors(surveyed: Survey, name: str, *, width: int, fill_unknown: bool = False) -> Column:
    """The vectors (N, width) under ``name``; with ``fill_unknown`` a row that holds NaN becomes 0.

    Raises:
        DataMissing, DataInvalid: when the key is absent, of another shape, damaged, or holds NaN or infinity.
    """
    with opened(surveyed.path) as file:
        values = np.asarray(key(file, name, row=(width,), kinds="f")[()], dtype=np.float32)
    content = digest(values)
    if fill_unknown:
        values[np.isnan(values).any(axis=1)] = 0.0
    check_finite(values, surveyed.path / name)
    return Column(values, content, _statistics(values, surveyed.splits["train"], axes=(0,)))


def posters(surveyed: Survey, *, height: int, width: int, progress: Progress = silent) -> Column:
    """Posters (N, 3, height, width) in RGB bytes, with statistics per colour over the training rows.

    Raises:
        DataMissing, DataInvalid: when there are none, or they are damaged or no posters.
    """

    def reduce(target: Path) -> dict[str, Any]:
        reduced = _create(target, (surveyed.count, 3, height, width), np.uint8)
        hashed = hashlib.sha256()
        for start, block in _blocks(surveyed, "images", (3, None, None), "i", progress):
            hashed.update(block.tobytes())
            reduced[start : start + len(block)] = _resized(_rgb(block), height, width)
        reduced.flush()
        mean, std = _statistics(reduced, surveyed.splits["train"], axes=(0, 2, 3))
        return {"digest": hashed.hexdigest(), "mean": mean.tolist(), "std": std.tolist()}

    values, facts = _staged(surveyed, f"posters-{height}x{width}", reduce)
    statistics = tuple(np.array(facts[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    return Column(values, facts["digest"], (statistics[0], statistics[1]))


def token_vectors(surveyed: Survey, *, length: int, width: int, progress: Progress = silent) -> Column:
    """BERT's vectors (N, length, width) of the first tokens as 16-bit floats; zeros where the file has fewer.

    Raises:
        DataMissing, DataInvalid: when the file has none, or they are damaged, too large, or not finite.
    """

    def reduce(target: Path) -> dict[str, Any]:
        reduced = _create(target, (surveyed.count, length, width), np.float16)
        hashed = hashlib.sha256()
        for start, block in _blocks(surveyed, "embeddings", (None, width), "f", progress):
            hashed.update(block.tobytes())
            kept = block[:, :length].astype(np.float16)
            check_finite(kept, surveyed.path / "embeddings", first=start)
            reduced[start : start + len(block), : kept.shape[1]] = kept
        reduced.flush()
        return {"digest": hashed.hexdigest()}

    values, facts = _staged(surveyed, f"tokens-{length}", reduce)
    return Column(values, facts["digest"])


def hashed_words(surveyed: Survey, *, length: int, features: int, progress: Progress = silent) -> Column:
    """The first words of each plot as rows of a table of hashed words; the table's last row, zeros, fills short plots.

    Raises:
        DataMissing, DataInvalid: when plots or vocabulary are absent or damaged.
    """
    plots, words = read_words(surveyed)

    def reduce(target: Path) -> dict[str, Any]:
        progress(0, 1, what=f"hashing {len(words):,} words")
        table = _create(target, (len(words) + 1, features), np.uint8)
        table[:-1] = hash_words(words, features=features)
        table.flush()
        return {"words": hashlib.sha256("\n".join(words).encode()).hexdigest()}

    table, facts = _staged(surveyed, f"words-{features}", reduce)
    if len(table) != len(words) + 1 or facts["words"] != hashlib.sha256("\n".join(words).encode()).hexdigest():
        raise DataInvalid(f"{surveyed.path.parent}: the vocabulary changed, its plots did not", "fetch both again")
    numbers = np.full((len(plots), length), len(words), dtype=np.int32)
    for row, plot in enumerate(plots):
        numbers[row, : len(plot)] = plot[:length]
    content = canonical_json([digest(np.concatenate(plots)), [len(plot) for plot in plots], facts["words"]])
    return Column(numbers, hashlib.sha256(content.encode()).hexdigest(), table=table)


def verify(surveyed: Survey, *, progress: Progress = silent) -> None:
    """Read everything that was reduced from this file and compare it with its manifest.

    Raises:
        DataInvalid: naming what changed since it was made.
    """
    folders = sorted((surveyed.path.parent / STAGED).glob(f"*-{_mark(surveyed)}"))
    for number, folder in enumerate(folders):
        progress(number, len(folders), what=f"reading {folder.name}")
        if sha256_of(folder / _VALUES) != _facts(folder).get("sha256"):
            raise DataInvalid(f"{folder / _VALUES} changed since it was made", f"remove {folder}, it is made again")


def _staged(surveyed: Survey, name: str, make: Callable[[Path], dict[str, Any]]) -> tuple[NDArray[Any], dict[str, Any]]:
    """The array that ``make`` writes to the path it is given, and what it says about it; made once per source."""
    folder = surveyed.path.parent / STAGED / f"{name}-{_mark(surveyed)}"
    if not folder.is_dir():
        with staged(folder) as work:
            if work is not None:
                facts = make(work / _VALUES) | {"format": _FORMAT, "sha256": sha256_of(work / _VALUES)}
                (work / _MANIFEST).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        for outdated in folder.parent.glob(f"{name}-*"):
            if outdated != folder:
                shutil.rmtree(outdated, ignore_errors=True)
    try:
        return np.load(folder / _VALUES, mmap_mode="c", allow_pickle=False), _facts(folder)
    except (ValueError, OSError, EOFError) as error:
        raise DataInvalid(f"{folder} is damaged", f"remove {folder}, it is made again") from error


def _facts(folder: Path) -> dict[str, Any]:
    facts = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    return facts if isinstance(facts, dict) else {}


def _mark(surveyed: Survey) -> str:
    """Stands for this state of the source."""
    stat = surveyed.path.stat()
    return hashlib.sha256(f"{_FORMAT} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:8]


def _create(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> np.memmap[Any, Any]:
    """A new mapped array; what is not written is 0 and takes no room on disk."""
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def _blocks(
    surveyed: Survey, name: str, row: tuple[int | None, ...], kinds: str, progress: Progress
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Rows of a key as (first row, block), in blocks of bounded size."""
    with opened(surveyed.path) as file:
        source = key(file, name, row=row, kinds=kinds)
        size = max(1, _BLOCK_BYTES // max(1, source.dtype.itemsize * int(np.prod(source.shape[1:]))))
        for start in range(0, surveyed.count, size):
            progress(start, surveyed.count, what=f"reading {name}")
            yield start, source[start : min(start + size, surveyed.count)]


def _rgb(stored: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Mean-subtracted BGR (n, 3, H, W) as RGB bytes: exact but for the decimals that were cut off."""
    restored: NDArray[np.float32] = stored + MEAN_BGR.astype(np.float32).reshape(3, 1, 1)
    return np.rint(restored).clip(0, 255).astype(np.uint8)[:, ::-1]


def _resized(posters: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(n, 3, H, W) -> (n, 3, height, width), linear and without aliasing."""
    if posters.shape[2:] == (height, width):
        return posters
    from torch import from_numpy
    from torch.nn.functional import interpolate

    pixels = from_numpy(np.ascontiguousarray(posters)).float()
    smaller = interpolate(pixels, (height, width), mode="bilinear", antialias=True)
    resized: NDArray[np.uint8] = smaller.round().clamp(0, 255).byte().numpy()
    return resized


def _statistics(values: NDArray[Any], train: range, *, axes: tuple[int, ...]) -> Statistics:
    """Mean and deviation of the training rows over ``axes``, in double precision, a few rows at a time.

    Where nothing varies the deviation is given as 1.
    """
    totals, squares = [], []
    for start in range(train.start, train.stop, 512):
        block = values[start : min(start + 512, train.stop)].astype(np.float64)
        totals.append(block.sum(axis=axes))
        squares.append(np.square(block).sum(axis=axes))
    count = len(train) * int(np.prod([values.shape[axis] for axis in axes[1:]]))
    mean = np.sum(totals, axis=0) / count
    std = np.sqrt(np.maximum(np.sum(squares, axis=0) / count - mean**2, 0.0))
    return mean, np.where(std > 1e-6 * np.abs(mean), std, 1.0)
