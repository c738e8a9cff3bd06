"""The synthesiser: repeatable, at one level, and with the digits' own sounds."""

import numpy as np
import pytest

from mmfuse.data.speech import RATE, WORDS, Voice, draw_voice, speak


def _voice(seed: int = 0) -> Voice:
    return draw_voice(np.random.default_rng(seed))


def _say(digits: list[int], seed: int = 1, seconds: float = 0.8) -> np.ndarray:
    return speak(np.array(digits), [_voice()] * len(digits), np.random.default_rng(seed), seconds=seconds)


def test_there_is_a_word_for_each_digit_and_no_two_are_alike() -> None:
    assert len(WORDS) == len(set(WORDS)) == 10


def test_equal_voice_digits_and_random_state_give_equal_samples() -> None:
    assert np.array_equal(_say([3, 7]), _say([3, 7]))


def test_each_take_is_another() -> None:
    first, second = _say([5, 5])

    assert not np.allclose(first, second)


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.5])
def test_clips_have_the_asked_length_and_one_loudness(seconds: float) -> None:
    clips = _say(list(range(10)), seconds=seconds)

    assert clips.shape == (10, round(seconds * RATE))
    assert np.isfinite(clips).all()
    assert np.mean(clips**2, axis=1) == pytest.approx(np.ones(10))


def test_six_hisses_and_one_does_not() -> None:
    six, one = np.abs(np.fft.rfft(_say([6, 1]), axis=1)) ** 2
    high = slice(int(0.75 * len(six)), None)

    assert six[high].sum() / six.sum() > 0.3
    assert one[high].sum() / one.sum() < 0.1


def test_a_high_voice_has_more_zero_crossings_in_a_vowel_than_a_low_one() -> None:
    low, high = (Voice(pitch, 1.0, 1.0, 0.0, _voice().accent) for pitch in (90.0, 240.0))

    clips = speak(np.array([1, 1]), [low, high], np.random.default_rng(0), seconds=0.8)

    strongest = np.abs(np.fft.rfft(clips, axis=1))[:, : int(0.8 * 400)].argmax(axis=1) / 0.8
    assert strongest[1] > strongest[0]
