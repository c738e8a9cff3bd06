"""Sound files as the waveforms that audio encoders are fed."""

from __future__ import annotations

import warnings
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfuse.extraction.encoder import UnreadableItem


def read_sound(path: str, *, rate: int, seconds: float) -> NDArray[np.float32]:
    """The first ``seconds`` of a WAV file as mono samples (n,) between -1 and 1 at ``rate`` per second.

    Raises:
        UnreadableItem: when the file is absent, no WAV, or silent of samples.
    """
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            given, samples = wavfile.read(Path(path))
    except (OSError, ValueError, EOFError) as error:
        raise UnreadableItem(path) from error
    wave = _scaled(np.asarray(samples))
    wave = wave.mean(axis=1) if wave.ndim == 2 else wave
    if not len(wave):
        raise UnreadableItem(path)
    wave = wave[: int(np.ceil(seconds * given))]
    if given != rate:
        common = gcd(given, rate)
        wave = resample_poly(wave, rate // common, given // common)
    return np.ascontiguousarray(wave[: int(seconds * rate)], dtype=np.float32)


def _scaled(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Integers of any width as numbers between -1 and 1; 8 bits are unsigned in WAV."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.float64) - 128.0) / 128.0
    if samples.dtype.kind == "i":
        return samples.astype(np.float64) / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float64)
