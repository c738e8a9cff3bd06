"""The files of AV-MNIST on disk: written, recognised, opened, and refused when anything about them is wrong.

The layout is that of the published copies: ``image/``, ``audio/`` and label arrays for a train file (whose last rows
are the validation split) and a test file. MFAS's own code calls the first folder ``images/``; both names are read.
Files that mmfuse makes carry ``manifest.json`` with their split sizes and hashes; files without one must have the
published counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmfuse.architecture import canonical_json
from mmfuse.data.arrays import check_finite, open_array
from mmfuse.data.hashes import content_hashes
from mmfuse.data.progress import Progress, silent
from mmfuse.errors import DataInvalid, DataMissing

Part = Literal["train", "test"]
PARTS: tuple[Part, Part] = ("train", "test")
MANIFEST = "manifest.json"
PUBLISHED = {"train": 55_000, "val": 5_000, "test": 10_000}
_AGAIN = "mmfuse data get avmnist, or --set data.source=stand-in for the built-in data"
_FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """What made a folder of files: ``splits`` are sizes, ``files`` SHA-256 by name, ``facts`` whatever else matters."""

    generator: str
    stand_in: bool
    splits: Mapping[str, int]
    files: Mapping[str, str]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrays:
    """One part as stored: images (N, 784), audio (N, 112, 112), labels (N,), mapped from their files."""

    images: NDArray[Any]
    audio: NDArray[Any]
    labels: NDArray[Any]


@dataclass(frozen=True)
class Survey:
    """A folder whose files fit together: size of each split, and the manifest if there is one."""

    folder: Path
    splits: Mapping[str, int]
    manifest: Manifest | None

    @property
    def stand_in(self) -> bool:
        """Whether mmfuse made the data up."""
        return self.manifest is not None and self.manifest.stand_in


def names(folder: Path) -> tuple[str, ...]:
    """The six files' names below ``folder``, in the spelling that is there (``image/`` where neither is)."""
    image = "images" if (folder / "images").is_dir() and not (folder / "image").is_dir() else "image"
    return tuple(
        name for part in PARTS for name in (f"{image}/{part}_data.npy", f"audio/{part}_data.npy", f"{part}_labels.npy")
    )


def missing(folder: Path) -> tuple[str, ...]:
    """Those of the six files that are not there."""
    return tuple(name for name in names(folder) if not (folder / name).is_file())


def survey(folder: Path) -> Survey:
    """Look at the files' headers and sizes; nothing of their content is read.

    Raises:
        DataMissing: naming every file that is not there.
        DataInvalid: for a damaged file, a wrong shape or type, or counts that do not belong together.
    """
    absent = missing(folder)
    if absent:
        raise DataMissing(f"AV-MNIST in {folder} lacks {', '.join(absent)}", _AGAIN)
    manifest = read_manifest(folder)
    splits = manifest.splits if manifest else PUBLISHED
    expected = {"train": splits["train"] + splits["val"], "test": splits["test"]}
    counts = {part: _counts(folder, part) for part in PARTS}
    _check_counts(folder, counts, expected)
    return Survey(folder, splits, manifest)


def open_part(folder: Path, part: Part, *, rows: slice = slice(None)) -> Arrays:
    """Rows ``rows`` of one part, checked for shapes, types, finite values and labels from 0 to 9.

    Raises:
        DataInvalid: naming the file and what is wrong with it.
    """
    arrays = _open(folder, part)
    image, audio, label = (folder / name for name in _names_of(folder, part))
    labels = np.asarray(arrays.labels)
    if labels.min() < 0 or labels.max() > 9:
        row = int(np.argmax((labels < 0) | (labels > 9)))
        raise DataInvalid(f"{label} holds the label {labels[row]} in row {row}, expected 0 to 9", _AGAIN)
    cut = Arrays(arrays.images[rows], arrays.audio[rows], labels[rows])
    check_finite(cut.images, image, first=rows.start or 0)
    check_finite(cut.audio, audio, first=rows.start or 0)
    return cut


def fingerprint(surveyed: Survey, treatment: Mapping[str, Any], *, progress: Progress = silent) -> str:
    """Content hash of the files and of what is done to them.

    Raises:
        DataInvalid: when a file's content is not what the manifest says.
    """
    hashes = verified_hashes(surveyed, progress=progress)
    plain = {name.replace("images/", "image/"): value for name, value in hashes.items()}
    content = {"dataset": "avmnist", "files": plain, "splits": dict(surveyed.splits), "treatment": dict(treatment)}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]


def verified_hashes(surveyed: Survey, *, progress: Progress = silent, fresh: bool = False) -> dict[str, str]:
    """SHA-256 of the six files, compared with the manifest's; ``fresh`` distrusts remembered hashes.

    Raises:
        DataInvalid: naming the files that changed since they were made.
    """
    hashes = content_hashes(surveyed.folder, names(surveyed.folder), progress=progress, fresh=fresh)
    stated = surveyed.manifest.files if surveyed.manifest else {}
    changed = [name for name, value in hashes.items() if stated.get(name, value) != value]
    if changed:
        raise DataInvalid(
            f"{', '.join(changed)} in {surveyed.folder} changed since the manifest was written",
            "remove the folder and build it again",
        )
    return hashes


def write_part(
    folder: Path,
    part: Part,
    *,
    images: NDArray[np.float32],
    audio: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    pairs: NDArray[np.int32],
) -> None:
    """Write one part's files; ``pairs`` (N, 2) says what each row was made of and goes to ``<part>_pairs.npy``."""
    for name in ("image", "audio"):
        (folder / name).mkdir(exist_ok=True)
    np.save(folder / f"image/{part}_data.npy", images)
    np.save(folder / f"audio/{part}_data.npy", audio)
    np.save(folder / f"{part}_labels.npy", labels)
    np.save(folder / f"{part}_pairs.npy", pairs)


def write_manifest(
    folder: Path, *, generator: str, stand_in: bool, splits: Mapping[str, int], facts: Mapping[str, Any]
) -> None:
    """Write ``manifest.json`` over the files that are in ``folder`` now."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.npy"))
    manifest = {
        "format": _FORMAT,
        "generator": generator,
        "stand_in": stand_in,
        "splits": dict(splits),
        "facts": dict(facts),
        "files": content_hashes(folder, files),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest; None where there is none.

    Raises:
        DataInvalid: for a damaged manifest or one of a newer format.
    """
    path = folder / MANIFEST
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataInvalid(f"{path} cannot be read: {error}", _AGAIN) from error
    try:
        if record["format"] > _FORMAT:
            raise DataInvalid(f"{path} has format {record['format']}, this mmfuse reads {_FORMAT}", "upgrade mmfuse")
        splits = {split: int(record["splits"][split]) for split in ("train", "val", "test")}
        if min(splits.values()) < 1:
            raise ValueError(f"splits of {splits}")
        return Manifest(record["generator"], bool(record["stand_in"]), splits, record["files"], record["facts"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataInvalid(f"{path} is not a manifest of AV-MNIST ({error!r})", _AGAIN) from error


def _names_of(folder: Path, part: Part) -> tuple[str, str, str]:
    image, audio, labels = names(folder)[3 * PARTS.index(part) :][:3]
    return image, audio, labels


def _open(folder: Path, part: Part) -> Arrays:
    image, audio, labels = (folder / name for name in _names_of(folder, part))
    return Arrays(
        open_array(image, row=(784,), kinds="uf"),
        open_array(audio, row=(112, 112), kinds="uf"),
        open_array(labels, row=(), kinds="ui"),
    )


def _counts(folder: Path, part: Part) -> dict[str, int]:
    arrays = _open(folder, part)
    values = (len(arrays.images), len(arrays.audio), len(arrays.labels))
    return dict(zip(_names_of(folder, part), values, strict=True))


def _check_counts(folder: Path, counts: Mapping[Part, Mapping[str, int]], expected: Mapping[str, int]) -> None:
    for train, test in zip(counts["train"], counts["test"], strict=True):
        if (counts["train"][train], counts["test"][test]) == (expected["test"], expected["train"]):
            raise DataInvalid(f"{train} and {test} in {folder} seem to be swapped: the first is the smaller", _AGAIN)
    for part, found in counts.items():
        wrong = {name: count for name, count in found.items() if count != expected[part]}
        if wrong:
            listing = ", ".join(f"{name} holds {count:,}" for name, count in wrong.items())
            raise DataInvalid(f"{listing} rows in {folder}, expected {expected[part]:,}", _AGAIN)
