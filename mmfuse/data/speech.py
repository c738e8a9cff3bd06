"""Spoken digits out of arithmetic: a small formant synthesiser with many voices.

Source and filter in the manner of Klatt (1980, "Software for a cascade/parallel formant synthesizer"): a glottal pulse
train and turbulent noise drive a cascade of four resonators that follow the formants of the sounds of "zero" to "nine";
hisses pass a fifth resonator beside it. A whole batch of utterances is computed at once, sample by sample, so a
thousand of them take a moment. Equal voices, digits and random state give equal samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE = 8000
"""Samples per second."""
_FRAME = 40
"""Samples during which the resonators stand still (5 ms)."""
_BANDWIDTHS = (70.0, 100.0, 150.0, 250.0, 700.0)
"""Hz; four formants and the hiss."""
_OPEN = 0.6
"""Share of a glottal period during which the folds are open."""


@dataclass(frozen=True)
class Sound:
    """A speech sound: first three formants and centre of the hiss in Hz, loudness of voice and hiss, duration."""

    formants: tuple[float, float, float]
    seconds: float = 0.09
    voice: float = 1.0
    hiss: float = 0.0
    hiss_hz: float = 3000.0


# Formants of an adult male after Peterson and Barney (1952); consonants by ear.
_SOUNDS = {
    "Z": Sound((300, 1500, 2500), 0.08, 0.4, 0.3, 3600),
    "IY": Sound((280, 2250, 2900), 0.11),
    "R": Sound((330, 1060, 1500), 0.07, 0.7),
    "OW": Sound((500, 950, 2300), 0.09),
    "UH": Sound((380, 850, 2250), 0.07),
    "W": Sound((300, 610, 2200), 0.07, 0.6),
    "AH": Sound((620, 1200, 2550), 0.12),
    "N": Sound((280, 1450, 2600), 0.09, 0.4),
    "stop": Sound((350, 1500, 2500), 0.04, 0.0, 0.0),
    "T": Sound((350, 1700, 2600), 0.04, 0.0, 0.9, 3500),
    "UW": Sound((310, 900, 2250), 0.16),
    "TH": Sound((400, 1400, 2600), 0.09, 0.0, 0.15, 3200),
    "F": Sound((350, 1100, 2400), 0.1, 0.0, 0.2, 2200),
    "AO": Sound((570, 840, 2410), 0.13),
    "AA": Sound((730, 1090, 2440), 0.11),
    "EE": Sound((330, 2100, 2700), 0.09, 0.8),
    "V": Sound((300, 1100, 2400), 0.07, 0.35, 0.1, 2200),
    "S": Sound((320, 1600, 2600), 0.11, 0.0, 0.7, 3700),
    "IH": Sound((390, 1990, 2550), 0.09),
    "K": Sound((320, 1900, 2400), 0.035, 0.0, 0.7, 1800),
    "EH": Sound((530, 1840, 2480), 0.1),
}

WORDS = (
    ("Z", "IY", "R", "OW", "UH"),
    ("W", "AH", "N"),
    ("T", "UW"),
    ("TH", "R", "IY"),
    ("F", "AO", "R"),
    ("F", "AA", "EE", "V"),
    ("S", "IH", "stop", "K", "S"),
    ("S", "EH", "V", "AH", "N"),
    ("EH", "EE", "stop", "T"),
    ("N", "AA", "EE", "N"),
)
"""The sounds of "zero" to "nine"; a diphthong is two sounds."""


@dataclass(frozen=True)
class Voice:
    """A speaker: pitch in Hz, formants and durations relative to the table's speaker, breath, and an accent.

    ``accent`` multiplies each sound's three formants: {sound: factors}.
    """

    pitch: float
    tract: float
    pace: float
    breath: float
    accent: dict[str, tuple[float, float, float]]


def draw_voice(rng: np.random.Generator, *, accent: float = 0.06) -> Voice:
    """A random speaker; ``accent`` is the relative spread of each formant of each sound."""
    deep = rng.random()
    factors = {name: tuple(rng.normal(1.0, accent, 3).clip(0.8, 1.2).tolist()) for name in _SOUNDS}
    return Voice(
        pitch=95.0 + 150.0 * deep,
        tract=float(np.clip(0.93 + 0.22 * deep + rng.normal(0.0, 0.03), 0.85, 1.22)),
        pace=float(rng.uniform(0.8, 1.25)),
        breath=float(rng.uniform(0.005, 0.05)),
        accent=factors,
    )


def speak(
    digits: NDArray[np.int64], voices: list[Voice], rng: np.random.Generator, *, seconds: float
) -> NDArray[np.float64]:
    """Each digit once in its voice, at a random place of a clip: digits (B,), B voices -> (B, n), root mean square 1.

    Every utterance is a take of its own: durations, formants and pitch vary around the voice's.
    """
    frames = round(seconds * RATE / _FRAME)
    tracks = np.stack([_tracks(WORDS[digit], voice, rng, frames) for digit, voice in zip(digits, voices, strict=True)])
    pitch = _pitch(voices, rng, frames)
    voiced = _glottal(pitch) * np.repeat(tracks[..., 3], _FRAME, axis=1)
    turbulence = rng.standard_normal(voiced.shape)
    breath = np.array([voice.breath for voice in voices])[:, None]
    source = voiced * (1.0 + breath * turbulence) + 0.3 * breath * turbulence * (voiced != 0)
    hiss = turbulence * np.repeat(tracks[..., 4], _FRAME, axis=1)
    clips = _resonate(source, hiss, tracks, np.array([voice.tract for voice in voices]))
    return np.asarray(clips / np.sqrt(np.mean(clips**2, axis=1, keepdims=True)))


def _tracks(word: tuple[str, ...], voice: Voice, rng: np.random.Generator, frames: int) -> NDArray[np.float64]:
    """F1, F2, F3, loudness of voice and hiss, and the hiss's centre over time: (frames, 6), silent around the word."""
    sounds = [_SOUNDS[name] for name in word]
    lengths = np.array([sound.seconds for sound in sounds]) * voice.pace * rng.uniform(0.85, 1.2, len(sounds))
    lengths *= min(1.0, 0.95 * frames * _FRAME / RATE / lengths.sum())
    ends = np.cumsum(lengths) + rng.uniform(0.0, frames * _FRAME / RATE - lengths.sum())
    starts = ends - lengths
    wobble = rng.normal(1.0, 0.03, (len(sounds), 3))
    formants = np.array([sound.formants for sound in sounds]) * np.array([voice.accent[name] for name in word])
    times = np.arange(frames) * _FRAME / RATE
    steady = np.stack([starts + 0.3 * lengths, ends - 0.3 * lengths], axis=1).ravel()
    edges = np.stack([starts + 0.1 * lengths, ends - 0.1 * lengths], axis=1).ravel()
    edges = np.concatenate([[starts[0] - 0.01], edges, [ends[-1] + 0.01]])
    columns = [np.interp(times, steady, np.repeat(values, 2)) for values in (formants * voice.tract * wobble).T]
    for values in ([sound.voice for sound in sounds], [sound.hiss for sound in sounds]):
        columns.append(np.interp(times, edges, np.concatenate([[0.0], np.repeat(values, 2), [0.0]])))
    columns.append(np.interp(times, steady, np.repeat([sound.hiss_hz * voice.tract for sound in sounds], 2)))
    return np.stack(columns, axis=1)


def _pitch(voices: list[Voice], rng: np.random.Generator, frames: int) -> NDArray[np.float64]:
    """Pitch in Hz per sample (B, n): falling through the clip, differently each time, with a little jitter."""
    base = np.array([voice.pitch for voice in voices]) * rng.normal(1.0, 0.05, len(voices))
    fall = rng.uniform(0.0, 0.25, len(voices))[:, None] * np.linspace(-0.5, 0.5, frames)
    jitter = rng.normal(0.0, 0.01, (len(voices), frames))
    return np.repeat(base[:, None] * (1.0 - fall + jitter), _FRAME, axis=1)


def _glottal(pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivative of Rosenberg's glottal pulse, one period per cycle of ``pitch`` (B, n), softened towards 4 kHz."""
    phase = np.cumsum(pitch / RATE, axis=1) % 1.0
    pulse = np.where(phase < _OPEN, (2.0 * _OPEN - 3.0 * phase) * phase / _OPEN**2, 0.0)
    pulse[:, 1:] = 0.5 * (pulse[:, 1:] + pulse[:, :-1])
    return pulse


def _resonate(
    source: NDArray[np.float64], hiss: NDArray[np.float64], tracks: NDArray[np.float64], tract: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Send (B, n) sources through the moving resonators; each section of the cascade lags one inaudible sample."""
    batch, samples = source.shape
    fourth = np.broadcast_to(3500.0 * np.minimum(tract, 1.05)[:, None], tracks.shape[:2])
    centres = np.stack([*(tracks[..., i] for i in range(3)), fourth, tracks[..., 5]]).clip(150.0, 3800.0)
    decay = np.exp(-np.pi * np.array(_BANDWIDTHS) / RATE)[:, None, None]
    first = 2.0 * decay * np.cos(2.0 * np.pi * centres / RATE)
    second = np.broadcast_to(-(decay**2), first.shape)
    gain = 1.0 - first - second
    gain[4] = 1.0 - decay[4]  # gain 1 at its centre, not at 0 Hz as the formants have it
    drive, last, before = np.zeros((3, 5, batch))
    out = np.empty((samples, batch))
    feeds = np.ascontiguousarray(source.T), np.ascontiguousarray(hiss.T)
    for t in range(samples):
        if t % _FRAME == 0:
            a, b, c = (np.ascontiguousarray(part[:, :, t // _FRAME]) for part in (gain, first, second))
        drive[1:4] = last[:3]
        drive[0] = feeds[0][t]
        drive[4] = feeds[1][t]
        before *= c
        before += a * drive
        before += b * last
        last, before = before, last
        np.add(last[3], last[4], out=out[t])
    return np.ascontiguousarray(out.T)
