"""Spectrograms: their size, their formula, and noise at a stated level."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.data.spectrogram import SIDE, at_signal_to_noise, spectrogram


@pytest.mark.parametrize("samples", [1, 221, 222, 223, 1148, 5000, 18262])
def test_a_clip_of_any_length_becomes_112_by_112_bytes(samples: int) -> None:
    clip = np.random.default_rng(0).standard_normal((2, samples))

    pictures = spectrogram(clip)

    assert pictures.shape == (2, SIDE, SIDE)
    assert pictures.dtype == np.uint8


@pytest.mark.parametrize(("hertz", "row"), [(0, 111), (1000, 111 - 28), (4000, 0)])
def test_a_tone_shines_in_the_row_of_its_frequency_counted_from_below(hertz: int, row: int) -> None:
    clip = np.cos(2 * np.pi * hertz * np.arange(4000) / 8000)[None]

    picture = spectrogram(clip)[0]

    assert set(picture.astype(int).mean(axis=1).argsort()[-1:]) <= {row - 1, row, row + 1}


def test_time_runs_from_left_to_right() -> None:
    clip = np.zeros((1, 4000))
    clip[0, 3000:] = np.random.default_rng(0).standard_normal(1000)

    picture = spectrogram(clip)[0]

    assert picture[:, :70].max() == 0
    assert picture[:, 90:].mean() > 100


def test_silence_is_black() -> None:
    assert spectrogram(np.zeros((1, 3000))).max() == 0


def test_the_loudest_point_is_255_and_values_60_decibels_below_are_0() -> None:
    clip = np.zeros((1, 40 * 222))
    time = np.arange(10 * 222) / 8000
    clip[0, : 10 * 222] = np.sin(2 * np.pi * 1000 * time)
    clip[0, 30 * 222 :] = np.sin(2 * np.pi * 1000 * time) * 10 ** (-66 / 20)

    picture = spectrogram(clip)[0]

    assert picture.max() == 255
    assert picture[:, -20:].max() == 0


@given(st.floats(1e-3, 1e3))
def test_loudness_does_not_matter(gain: float) -> None:
    clip = np.random.default_rng(5).standard_normal((1, 1500))

    louder = spectrogram(gain * clip).astype(int)

    assert np.abs(louder - spectrogram(clip)).max() <= 1


@given(st.floats(-20.0, 40.0), st.floats(0.01, 100.0))
def test_noise_gets_the_stated_level_whatever_its_own(decibels: float, loudness: float) -> None:
    rng = np.random.default_rng(6)
    clip, noise = rng.standard_normal((2, 3, 500))

    mixed = at_signal_to_noise(clip, loudness * noise, decibels=decibels)

    ratio = np.mean(clip**2, axis=1) / np.mean((mixed - clip) ** 2, axis=1)
    assert 10 * np.log10(ratio) == pytest.approx(decibels)


def test_silent_noise_leaves_a_clip_as_it_is() -> None:
    clip = np.ones((1, 10))

    assert np.array_equal(at_signal_to_noise(clip, np.zeros((1, 10)), decibels=0.0), clip)
