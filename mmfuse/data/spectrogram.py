"""Pictures of sound: any clip becomes 112 x 112 grey values, as AV-MNIST has it.

AV-MNIST's audio is a 112 x 112 spectrogram per clip, whatever the clip's length. The published generators got there by
searching a segment length and an overlap that give 112 frames, or by drawing a figure and reading its pixels back; both
depend on library versions. Here the size follows from the formula of `spectrogram`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 112
WINDOW = 2 * (SIDE - 1)
"""Samples per frame: 222 give exactly 112 frequencies from 0 to half the rate (0 to 4 kHz at 8 kHz)."""
RANGE_DB = 60.0
"""Loudness below a clip's loudest point that still shows."""


def spectrogram(clips: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Spectrograms of clips of equal length: (B, n) -> (B, 112, 112), rows from high to low frequency, columns in time.

    Frame k of 112 starts at sample ``round(k (n - 222) / 111)``; clips shorter than 222 samples are padded with
    silence. A pixel is ``255 (1 + d / 60)`` clipped to 0..255 and rounded, where d is the power of the frame's
    Hann-windowed Fourier transform in dB below the clip's loudest value. Silence is 0 everywhere.
    """
    from scipy import fft, signal  # half a second to import, which who only asks what lies on disk need not wait for

    clips = np.pad(clips, ((0, 0), (0, max(0, WINDOW - clips.shape[1]))))
    starts = np.rint(np.arange(SIDE) * (clips.shape[1] - WINDOW) / (SIDE - 1)).astype(np.int64)
    frames = clips[:, starts[:, None] + np.arange(WINDOW)] * signal.get_window("hann", WINDOW)
    spectrum = fft.rfft(frames, axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    loudest = power.max(axis=(1, 2), keepdims=True)
    relative = np.divide(power, loudest, out=np.zeros_like(power), where=loudest > 0)
    decibels = 10.0 * np.log10(np.maximum(relative, 10.0 ** (-RANGE_DB / 10.0)))
    grey = np.rint(255.0 * (1.0 + decibels / RANGE_DB)).astype(np.uint8)
    return np.ascontiguousarray(grey.transpose(0, 2, 1)[:, ::-1])


def at_signal_to_noise(
    clips: NDArray[np.float64], noise: NDArray[np.float64], *, decibels: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """``clips`` plus ``noise`` (both (B, n)), the noise brought to the given signal-to-noise ratio, clip by clip.

    Powers are means over the whole clip; silent noise leaves a clip as it is.
    """
    signal_power = np.mean(clips**2, axis=1)
    noise_power = np.mean(noise**2, axis=1)
    wanted = signal_power / 10.0 ** (np.asarray(decibels) / 10.0)
    gain = np.sqrt(np.divide(wanted, noise_power, out=np.zeros_like(wanted), where=noise_power > 0))
    return np.asarray(clips + gain[:, None] * noise)
