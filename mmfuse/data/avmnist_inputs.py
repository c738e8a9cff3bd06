"""The three public sources of AV-MNIST as people have them on disk: MNIST's IDX files, FSDD's and ESC-50's recordings.

Each reader takes the folder of one source and finds the files in it or one folder further down, as archives unpack
them. Recordings are listed in the order of their names, never in that of the folder.
"""

from __future__ import annotations

import gzip
import os
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.io import wavfile

from mmfuse.data.speech import RATE
from mmfuse.errors import DataInvalid, DataMissing

MNIST_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_FSDD_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<take>\d+)\.wav")
_ESC50_NAME = re.compile(r"(?P<fold>\d)-\d+-[A-Z]-(?P<kind>\d+)\.wav")


@dataclass(frozen=True)
class Utterance:
    """A recording of FSDD: the digit, who says it, and for the how-manieth time."""

    path: Path
    digit: int
    speaker: str
    take: int


@dataclass(frozen=True)
class Noise:
    """A recording of ESC-50 and its class (0 to 49)."""

    path: Path
    kind: int


def read_mnist(folder: Path) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Images (N, 784) and labels (N,) of "train" and "test", from the IDX files, gzipped or not.

    Raises:
        DataMissing: naming the files that are not there.
        DataInvalid: for a damaged file, images of another size, or counts that differ.
    """
    found = {name: _find_idx(folder, name) for names in MNIST_FILES.values() for name in names}
    absent = [f"{name}.gz" for name, path in found.items() if path is None]
    if absent:
        raise DataMissing(f"MNIST in {folder} lacks {', '.join(absent)}", "fetch the four IDX files of MNIST")
    return {part: _mnist_part(found[images], found[labels]) for part, (images, labels) in MNIST_FILES.items()}


def list_fsdd(folder: Path) -> list[Utterance]:
    """The spoken digits ``{digit}_{speaker}_{take}.wav``, ordered by digit, speaker and take.

    Raises:
        DataMissing: when there is none, or none of some digit.
    """
    found = []
    for path in folder.rglob("*.wav"):
        match = _FSDD_NAME.fullmatch(path.name)
        if match:
            found.append(Utterance(path, int(match["digit"]), match["speaker"], int(match["take"])))
    silent = [str(digit) for digit in range(10) if all(utterance.digit != digit for utterance in found)]
    if silent:
        raise DataMissing(
            f"{folder} holds no recording like 3_jackson_0.wav of digit {', '.join(silent)}",
            "give the folder of the Free Spoken Digit Dataset",
        )
    return sorted(found, key=lambda utterance: (utterance.digit, utterance.speaker, utterance.take))


def list_esc50(folder: Path) -> list[Noise]:
    """The recordings ``{fold}-{clip}-{letter}-{class}.wav``, ordered by class and name.

    Raises:
        DataMissing: when there is none.
    """
    found = []
    for path in folder.rglob("*.wav"):
        match = _ESC50_NAME.fullmatch(path.name)
        if match:
            found.append(Noise(path, int(match["kind"])))
    if not found:
        raise DataMissing(f"{folder} holds no recording like 1-100032-A-0.wav", "give the folder of ESC-50")
    return sorted(found, key=lambda noise: (noise.kind, noise.path.name))


def read_wav(path: Path) -> NDArray[np.float64]:
    """A recording as samples from -1 to 1 at 8 kHz: channels averaged, resampled by a polyphase filter.

    Raises:
        DataInvalid: for a file that is no complete, non-empty recording.
    """
    try:
        lacking = _bytes_lacking(path)
        if lacking > 0:
            raise DataInvalid(f"{path} is cut off: {lacking:,} bytes of its samples are missing", "fetch it again")
        rate, samples = wavfile.read(path)
    except (ValueError, EOFError, OSError, ArithmeticError, struct.error) as error:
        raise DataInvalid(f"{path} is not a complete WAV file ({error})", "fetch it again") from error
    if samples.size == 0:
        raise DataInvalid(f"{path} holds no samples", "fetch it again")
    values = samples.astype(np.float64)
    if samples.dtype.kind == "u":
        values = (values - 128.0) / 128.0
    elif samples.dtype.kind == "i":
        values /= float(-np.iinfo(samples.dtype).min)
    if values.ndim == 2:
        values = values.mean(axis=1)
    return values if rate == RATE else np.asarray(signal.resample_poly(values, RATE, rate))


def _bytes_lacking(path: Path) -> int:
    """How many bytes of samples a RIFF file promises and does not hold; SciPy reads what is there and only warns."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        order = {b"RIFF": "<", b"RIFX": ">"}.get(file.read(12)[:4])
        while order and len(header := file.read(8)) == 8:
            length = int(struct.unpack(f"{order}I", header[4:])[0])
            if header[:4] == b"data":
                return file.tell() + length - size
            file.seek(length + length % 2, os.SEEK_CUR)
    return 0


def _find_idx(folder: Path, name: str) -> Path | None:
    """The file, plain or gzipped, also as some mirrors spell it (``train-images.idx3-ubyte``)."""
    for spelling in (name, name.replace("-idx", ".idx")):
        for candidate in (f"{spelling}.gz", spelling):
            path = next(iter(sorted(folder.rglob(candidate))), None)
            if path is not None:
                return path
    return None


def _mnist_part(images: Path | None, labels: Path | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    assert images is not None and labels is not None
    pixels, digits = _read_idx(images, axes=3), _read_idx(labels, axes=1)
    if pixels.shape[1:] != (28, 28):
        raise DataInvalid(f"{images} holds images of {pixels.shape[1:]} pixels, expected (28, 28)", "fetch MNIST")
    if len(pixels) != len(digits):
        raise DataInvalid(f"{images} holds {len(pixels):,} images but {labels} {len(digits):,} labels", "fetch MNIST")
    if len(digits) == 0 or digits.max() > 9:
        raise DataInvalid(f"{labels} holds no labels from 0 to 9", "fetch MNIST")
    return pixels.reshape(len(pixels), 784), digits


def _read_idx(path: Path, *, axes: int) -> NDArray[np.uint8]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataInvalid(f"{path} is not a complete gzip file ({error})", "fetch it again") from error
    start = 4 + 4 * axes
    if content[:4] != bytes((0, 0, 8, axes)) or len(content) < start:
        raise DataInvalid(f"{path} is not an IDX file of bytes with {axes} axes", "fetch it again")
    shape = struct.unpack(f">{axes}I", content[4:start])
    if len(content) - start != int(np.prod(shape)):
        raise DataInvalid(
            f"{path} holds {len(content) - start:,} bytes, its header promises {int(np.prod(shape)):,}",
            "fetch it again",
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
