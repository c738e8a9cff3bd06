"""Arrays in .npy files, opened without reading them, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfuse.errors import DataInvalid

_ROWS = 2048


def open_array(path: Path, *, row: tuple[int, ...], kinds: str) -> NDArray[Any]:
    """The array of a .npy file, mapped into memory (writes stay private and never reach the file).

    ``row`` is the shape of one sample; ``kinds`` the numpy kinds allowed ("u" unsigned, "i" signed, "f" floating).

    Raises:
        DataInvalid: for a file that is no array, is shorter or longer than its header says, or holds another shape or
            type.
    """
    try:
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataInvalid(
            f"{path} is not a complete .npy array ({_first_line(error)})", "fetch or build it again"
        ) from error
    if not isinstance(array, np.memmap):
        raise DataInvalid(f"{path} holds an archive, not one array", "fetch or build it again")
    if array.shape[1:] != row or array.ndim != len(row) + 1:
        raise DataInvalid(
            f"{path} holds shape {array.shape}, expected {_pattern(row)}", "is it another dataset's file?"
        )
    if array.dtype.kind not in kinds:
        raise DataInvalid(
            f"{path} holds {array.dtype} values, expected {_words(kinds)}", "is it another dataset's file?"
        )
    if path.stat().st_size != array.offset + array.nbytes:
        raise DataInvalid(f"{path} is longer than its header says", "fetch or build it again")
    return array


def check_finite(array: NDArray[Any], path: Path, *, first: int = 0) -> None:
    """Read the rows of a floating-point array once and refuse NaN and infinity; ``first`` is the first row's number.

    Raises:
        DataInvalid: naming the first row that holds one.
    """
    if array.dtype.kind != "f":
        return
    for start in range(0, len(array), _ROWS):
        finite = np.isfinite(array[start : start + _ROWS]).reshape(len(array[start : start + _ROWS]), -1).all(axis=1)
        if not finite.all():
            row = first + start + int(np.argmin(finite))
            raise DataInvalid(f"{path} holds NaN or infinity in row {row}", "fetch or build it again")


def mean_and_std(array: NDArray[Any]) -> tuple[float, float]:
    """Mean and standard deviation over all elements, in double precision, a few rows at a time (std is never 0)."""
    total = squares = 0.0
    for start in range(0, len(array), _ROWS):
        rows = np.asarray(array[start : start + _ROWS], dtype=np.float64)
        total += float(rows.sum())
        squares += float(np.square(rows).sum())
    mean = total / array.size
    deviation = max(squares / array.size - mean**2, 0.0) ** 0.5
    return mean, deviation if deviation > 0 else 1.0


def _pattern(row: tuple[int, ...]) -> str:
    return f"(N, {', '.join(map(str, row))})" if row else "(N,)"


def _words(kinds: str) -> str:
    names = {"u": "unsigned integer", "i": "integer", "f": "floating-point"}
    return " or ".join(names[kind] for kind in kinds)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
