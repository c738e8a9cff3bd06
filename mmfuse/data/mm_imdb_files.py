"""The file of MM-IMDB: recognised, opened, read a few rows at a time, refused when anything about it is wrong.

``multimodal_imdb.hdf5`` holds one row per film under each of its keys, and says in the attribute ``split`` (an array in
Fuel's format) which rows are train, dev and test. Rows of a split are grouped by genre, rarest first. Genre names stand
in the attribute ``target_names`` of ``genres``, most frequent first. ``metadata.npy`` beside it holds the vocabulary.
Keys that nothing here reads (``three_grams``, ``word_grams``) may be absent.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mmfuse.architecture import canonical_json
from mmfuse.data.pickles import load_object
from mmfuse.errors import DataInvalid, DataMissing

FILE = "multimodal_imdb.hdf5"
VOCABULARY = "metadata.npy"
SPLITS = ("train", "val", "test")
_STORED = {"train": "train", "val": "dev", "test": "test"}
PUBLISHED = {"train": range(15_552), "val": range(15_552, 18_160), "test": range(18_160, 25_959)}
"""Rows of each split in the published file, for copies that lost their attribute."""
ADDRESS = "https://archive.org/download/mmimdb"
"""Where the authors' file is mirrored; ``MMFUSE_MM_IMDB_URL`` names another place."""
MEAN_BGR = np.array([103.939, 116.779, 123.68])
"""ImageNet's mean colour, which the file's authors subtracted from posters in BGR before they cut off decimals."""
MADE_BY = "mmfuse_made_by"
"""File attribute that tells a stand-in, and which recipe made it, wherever it is put."""
AGAIN = "mmfuse data get mm_imdb, or --set data.source=stand-in for the built-in data"

Rows = slice | NDArray[np.int64]
_GENRES = 23


@dataclass(frozen=True)
class Survey:
    """A file whose structure is sound: rows of each split, genre names, and what made it if mmfuse did."""

    path: Path
    splits: Mapping[str, range]
    genres: tuple[str, ...]
    made_by: str

    @property
    def count(self) -> int:
        """Number of films."""
        return max(rows.stop for rows in self.splits.values())


def address() -> str:
    """Address of the folder that the files are fetched from."""
    return os.environ.get("MMFUSE_MM_IMDB_URL", ADDRESS).rstrip("/")


def survey(path: Path) -> Survey:
    """Look at the file's structure; none of its rows is read.

    Raises:
        DataMissing: when it is not there.
        DataInvalid: when it is damaged, or its splits and genres make no sense.
    """
    with opened(path) as file:
        genres = key(file, "genres", row=(_GENRES,), kinds="iub")
        splits = _splits(file, len(genres))
        return Survey(path, splits, _names(genres, path), str(file.attrs.get(MADE_BY, "")))


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, open for reading; what goes wrong while it is being read is told in a sentence.

    Raises:
        DataMissing, DataInvalid: as `survey`.
    """
    if not path.is_file():
        raise DataMissing(f"MM-IMDB's file {path} is not there", AGAIN)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        raise DataInvalid(f"{path} is damaged or incomplete ({_first_line(error)})", "fetch it again") from error


def key(file: h5py.File, name: str, *, row: tuple[int | None, ...], kinds: str) -> h5py.Dataset:
    """The dataset under ``name``; ``row`` is one film's shape, None an axis of any length, ``kinds`` NumPy's letters.

    Raises:
        DataMissing: when the file has no such key.
        DataInvalid: when the key has another shape or type, or fewer rows than the genres.
    """
    path = Path(file.filename)
    if name not in file:
        raise DataMissing(f"{path} has no key '{name}'; it has {', '.join(sorted(file))}", _instead(name))
    dataset = file[name]
    shape = getattr(dataset, "shape", ())
    fits = len(shape) == len(row) + 1 and all(want in (None, size) for want, size in zip(row, shape[1:], strict=True))
    if not fits or dataset.dtype.kind not in kinds:
        wanted = ", ".join("any" if size is None else str(size) for size in row)
        raise DataInvalid(
            f"{path}: {name} holds {getattr(dataset, 'dtype', 'a group')} of shape {shape}, expected (N, {wanted})",
            "is it another dataset's file?",
        )
    films = len(file["genres"]) if "genres" in file else len(dataset)
    if len(dataset) != films:
        raise DataInvalid(f"{path}: {name} has {len(dataset):,} rows, genres {films:,}", "fetch it again")
    return dataset


def read_genres(surveyed: Survey) -> NDArray[np.uint8]:
    """(N, 23) of 0 and 1.

    Raises:
        DataInvalid: for other values, or a film without any genre.
    """
    with opened(surveyed.path) as file:
        genres = np.asarray(key(file, "genres", row=(_GENRES,), kinds="iub")[()])
    strange = (genres != 0) & (genres != 1)
    if strange.any():
        row = int(np.argmax(strange.any(axis=1)))
        raise DataInvalid(f"{surveyed.path}: genres of row {row} are not 0 and 1", "fetch it again")
    if not genres.any(axis=1).all():
        row = int(np.argmin(genres.any(axis=1)))
        raise DataInvalid(f"{surveyed.path}: row {row} has no genre", "fetch it again")
    return genres.astype(np.uint8)


def check_identities(surveyed: Survey) -> None:
    """Check that no film is in the file twice.

    Raises:
        DataMissing, DataInvalid: when the key is absent or wrong, or a film occurs twice.
    """
    with opened(surveyed.path) as file:
        identities, counts = np.unique(key(file, "imdb_ids", row=(), kinds="SO")[()], return_counts=True)
    if counts.max() > 1:
        twice = identities[int(np.argmax(counts))]
        name = twice.decode() if isinstance(twice, bytes) else str(twice)
        raise DataInvalid(f"{surveyed.path} holds the film {name} {counts.max()} times", "fetch it again")


def read_words(surveyed: Survey) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """The plots as numbers of words, and the words.

    Raises:
        DataMissing: when plots or vocabulary are not there.
        DataInvalid: when they are damaged or do not belong together.
    """
    path = surveyed.path.with_name(VOCABULARY)
    words = _vocabulary(path)
    with opened(surveyed.path) as file:
        plots = [np.asarray(plot, dtype=np.int64) for plot in key(file, "sequences", row=(), kinds="O")[()]]
    largest = max((int(plot.max()) for plot in plots if len(plot)), default=0)
    smallest = min((int(plot.min()) for plot in plots if len(plot)), default=0)
    if smallest < 0 or largest >= len(words):
        wrong = smallest if smallest < 0 else largest
        raise DataInvalid(f"{surveyed.path} uses word {wrong:,}, {path} has {len(words):,} words", "fetch both again")
    return plots, words


def digest(values: NDArray[Any]) -> str:
    """SHA-256 of an array's type, shape and content."""
    head = f"{values.dtype.str}{values.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(values).tobytes()).hexdigest()


def fingerprint(content: Mapping[str, str], *, splits: Mapping[str, range], treatment: Mapping[str, Any]) -> str:
    """Stands for the content of the keys that are used, the splits, and what was done to both."""
    rows = {split: [rows.start, rows.stop] for split, rows in splits.items()}
    record = {"dataset": "mm_imdb", "content": dict(content), "splits": rows, "treatment": dict(treatment)}
    return hashlib.sha256(canonical_json(record).encode()).hexdigest()[:16]


def _splits(file: h5py.File, films: int) -> dict[str, range]:
    path = Path(file.filename)
    stored = file.attrs.get("split")
    if stored is None:
        if films != PUBLISHED["test"].stop:
            raise DataInvalid(
                f"{path} has no attribute 'split' and {films:,} films, not {PUBLISHED['test'].stop:,}", "fetch it again"
            )
        return dict(PUBLISHED)
    try:
        parts = {
            (_text(entry["split"]), _text(entry["source"])): range(int(entry["start"]), int(entry["stop"]))
            for entry in stored
        }
        found = {split: parts[name, "genres"] for split, name in _STORED.items()}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataInvalid(
            f"{path}: its attribute 'split' names no train, dev and test rows", "fetch it again"
        ) from error
    edges = [bound for rows in sorted(found.values(), key=lambda rows: rows.start) for bound in (rows.start, rows.stop)]
    if edges[0] < 0 or edges[-1] > films or edges != sorted(edges) or min(map(len, found.values())) == 0:
        listing = ", ".join(f"{split} {rows.start:,} to {rows.stop:,}" for split, rows in found.items())
        raise DataInvalid(f"{path}: its splits are {listing}, of {films:,} films", "fetch it again")
    return found


def _names(genres: h5py.Dataset, path: Path) -> tuple[str, ...]:
    try:
        names = json.loads(_text(genres.attrs["target_names"]))
    except (KeyError, ValueError, TypeError) as error:
        raise DataInvalid(f"{path}: genres have no list of names (target_names)", "fetch it again") from error
    if not isinstance(names, list) or len(names) != _GENRES or not all(isinstance(name, str) for name in names):
        raise DataInvalid(f"{path}: target_names is not a list of {_GENRES} names", "fetch it again")
    return tuple(names)


def _vocabulary(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise DataMissing(f"hashed words need the vocabulary {path}, which is not there", AGAIN)
    record = load_object(path)
    numbered = record.get("ix_to_word") if isinstance(record, dict) else None
    if not isinstance(numbered, dict) or sorted(numbered) != list(range(len(numbered))) or not numbered:
        raise DataInvalid(f"{path} holds no numbered list of words (ix_to_word)", "fetch it again")
    return tuple(str(numbered[number]) for number in range(len(numbered)))


def _instead(name: str) -> str:
    """What to type where a key is not there."""
    others = {
        "images": "--set data.image=vgg uses vgg_features instead",
        "vgg_features": "--set data.image=pixels uses the posters instead",
        "embeddings": "the published file has none: add BERT's last hidden states (N, tokens, 768), "
        "or use --set data.text=word2vec",
        "sequences": "--set data.text=word2vec uses the mean word vectors instead",
    }
    return others.get(name, AGAIN)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
