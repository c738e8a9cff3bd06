"""MIMIC-III's file: read from the published pickle or from its plain conversion, cleaned, and cut into splits."""

from __future__ import annotations

import hashlib
import random
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmfuse.architecture import canonical_json
from mmfuse.data.pickles import load_arrays
from mmfuse.errors import DataInvalid, DataMissing

PICKLE, CONVERTED = "im.pk", "mimic_iii.npz"
_ROWS = {"adm_features_all": (5,), "ep_tdata": (24, 12), "adm_labels_all": (None,), "y_icd9": (20,)}
"""Shape of one stay in each array of the pickle; None is any length."""
_SHUFFLE_SEED = 10
_LARGEST = 1e18
"""Beyond this float32 and int64 come to their ends, and nothing in a hospital is so large."""


@dataclass(frozen=True)
class Stays:
    """n stays: static (n, 5) and timeseries (n, 24, 12) float32 without gaps, died (n, 6+), diagnoses (n, 20)."""

    static: NDArray[np.float32]
    timeseries: NDArray[np.float32]
    died: NDArray[np.int64]
    diagnoses: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.static)


def is_there(folder: Path) -> bool:
    """Whether the folder holds the pickle or its conversion."""
    return (folder / PICKLE).is_file() or (folder / CONVERTED).is_file()


def not_there(folder: Path) -> tuple[str, str]:
    """The sentence and the hint for a folder that holds neither."""
    return (
        f"MIMIC-III is not in {folder}: neither {CONVERTED} nor {PICKLE}",
        f"ask MultiBench's authors for {PICKLE} (access to MIMIC-III is needed), or --set data.source=stand-in",
    )


def read(folder: Path) -> Stays:
    """The folder's stays, from the conversion where there is one.

    Raises:
        DataMissing: when neither file is there.
        DataInvalid: when the file is damaged or holds something else.
    """
    if (folder / CONVERTED).is_file():
        return _stays(_read_npz(folder / CONVERTED), folder / CONVERTED)
    if not (folder / PICKLE).is_file():
        raise DataMissing(*not_there(folder))
    return _stays(load_arrays(folder / PICKLE), folder / PICKLE)


def convert(folder: Path) -> Path:
    """Write the pickle's four arrays as ``mimic_iii.npz``, whole or not at all; gives its path.

    Raises:
        DataMissing: when there is no pickle.
        DataInvalid: when it is damaged or holds something else.
    """
    path = folder / CONVERTED
    if path.is_file() and not (folder / PICKLE).is_file():
        return path
    if not (folder / PICKLE).is_file():
        raise DataMissing(
            f"MIMIC-III cannot be downloaded: it needs an agreement with PhysioNet; {folder / PICKLE} is not there",
            f"ask MultiBench's authors for {PICKLE}, put it at {folder / PICKLE} and say this again",
        )
    arrays = load_arrays(folder / PICKLE)
    _stays(arrays, folder / PICKLE)
    temporary = path.with_name(f".{path.name}.partial")
    with zipfile.ZipFile(temporary, "w") as archive:
        for name in _ROWS:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.save(member, np.asarray(arrays[name], dtype=np.float64))
    temporary.replace(path)
    return path


def target(stays: Stays, which: Literal["mortality"] | int) -> NDArray[np.int64]:
    """What is predicted (n,): for mortality the first k of 1..5 with ``died[:, k] > 0``, else 0; or one diagnosis."""
    if which == "mortality":
        flags = stays.died[:, 1:6] > 0
        return np.where(flags.any(axis=1), flags.argmax(axis=1) + 1, 0).astype(np.int64)
    return (stays.diagnoses[:, int(which)] > 0).astype(np.int64)


def split_rows(count: int, *, published: bool) -> dict[str, NDArray[np.int64]]:
    """Row numbers by split: of the shuffled rows the first tenth is val, the second test, the rest train.

    The shuffle is ``numpy.random.default_rng(10).permutation``, or, published, ``random.seed(10); random.shuffle``.
    """
    if published:
        order = list(range(count))
        random.Random(_SHUFFLE_SEED).shuffle(order)
        rows = np.array(order, dtype=np.int64)
    else:
        rows = np.random.default_rng(_SHUFFLE_SEED).permutation(count).astype(np.int64)
    return {"val": rows[: count // 10], "test": rows[count // 10 : count // 5], "train": rows[count // 5 :]}


def fingerprint(stays: Stays, treatment: Mapping[str, Any]) -> str:
    """Content hash of the values and of what is done to them; the same from the pickle and from its conversion."""
    digest = hashlib.sha256(canonical_json({"dataset": "mimic_iii", "treatment": dict(treatment)}).encode())
    for values in (stays.static, stays.timeseries, stays.died, stays.diagnoses):
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:16]


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataInvalid(
            f"{path} is not a complete archive of arrays ({error})", "remove it and convert again"
        ) from error


def _stays(arrays: Any, path: Path) -> Stays:
    if not isinstance(arrays, dict) or any(name not in arrays for name in _ROWS):
        held = ", ".join(sorted(map(str, arrays))) if isinstance(arrays, dict) else type(arrays).__name__
        raise DataInvalid(f"{path} holds {held or 'nothing'}, expected {', '.join(_ROWS)}", "is it MultiBench's im.pk?")
    values = {name: _checked(arrays[name], name, row, path) for name, row in _ROWS.items()}
    counts = {name: len(array) for name, array in values.items()}
    if len(set(counts.values())) != 1 or min(counts.values()) < 10:
        listing = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        raise DataInvalid(f"{path} holds different or too few numbers of stays: {listing}", "is it MultiBench's im.pk?")
    return Stays(
        values["adm_features_all"].astype(np.float32),
        values["ep_tdata"].astype(np.float32),
        values["adm_labels_all"].astype(np.int64),
        values["y_icd9"].astype(np.int64),
    )


def _checked(value: Any, name: str, row: tuple[int | None, ...], path: Path) -> NDArray[np.float64]:
    """The array as numbers of the expected shape, infinities and gaps as 0 (as in the published code)."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataInvalid(f"{path}: {name} is no array of numbers ({error})", "is it MultiBench's im.pk?") from error
    fits = array.ndim == len(row) + 1 and all(
        wanted in (None, found) for wanted, found in zip(row, array.shape[1:], strict=True)
    )
    if not fits or (name == "adm_labels_all" and array.shape[1] < 6):
        wanted = "(n, 6 or more)" if name == "adm_labels_all" else f"(n, {', '.join(map(str, row))})"
        raise DataInvalid(f"{path}: {name} has shape {array.shape}, expected {wanted}", "is it MultiBench's im.pk?")
    cleaned = np.where(np.isfinite(array), array, 0.0)
    if cleaned.size and np.abs(cleaned).max() > _LARGEST:
        raise DataInvalid(
            f"{path}: {name} holds {cleaned.flat[np.abs(cleaned).argmax()]:.3g}, which is no measurement",
            "is it damaged? fetch it again",
        )
    return cleaned
