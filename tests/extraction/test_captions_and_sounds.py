"""What is done to captions and sounds before an encoder sees them."""

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import wavfile

from mmfuse.extraction.captions import clean_caption, read_caption
from mmfuse.extraction.encoder import UnreadableItem
from mmfuse.extraction.sounds import read_sound


@pytest.mark.parametrize(
    ("caption", "cleaned"),
    [
        ("A Dog runs.", "a dog runs"),
        ('He said: "Hello!" (twice)', "he said hello twice"),
        ("it's a well-known, old dog", "it's a well-known, old dog"),
        ("tabs\tand\n\nlines ", "tabs\tand lines"),
        ("a#b*c~d;e", "a b c d e"),
    ],
)
def test_captions_are_cleaned_by_the_published_rules(caption: str, cleaned: str) -> None:
    assert clean_caption(caption, words=50) == cleaned


def test_only_the_first_words_are_kept() -> None:
    assert clean_caption("one two three four", words=2) == "one two"


@given(st.text(max_size=80))
def test_cleaning_twice_changes_nothing(caption: str) -> None:
    once = clean_caption(caption, words=50)

    assert clean_caption(once, words=50) == once


@pytest.mark.parametrize("caption", ["", "  ", "...!"])
def test_a_caption_without_words_is_unreadable(caption: str) -> None:
    with pytest.raises(UnreadableItem):
        read_caption(caption, clean=True, words=50, prompt="query: ")


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32])
def test_sounds_of_any_width_are_read_between_minus_one_and_one(tmp_path: Path, kind: type) -> None:
    tone = np.sin(np.arange(8000) * 0.05) * 0.5
    scaled = {np.uint8: tone * 127 + 128, np.int16: tone * 32767, np.int32: tone * 2147483647, np.float32: tone}[kind]
    wavfile.write(tmp_path / "tone.wav", 8000, scaled.astype(kind))

    heard = read_sound(str(tmp_path / "tone.wav"), rate=8000, seconds=30)

    assert heard.dtype == np.float32
    assert np.abs(heard - tone).max() < 0.02


def test_sounds_are_mixed_down_resampled_and_cut(tmp_path: Path) -> None:
    time = np.arange(2 * 44_100) / 44_100
    stereo = np.stack([np.sin(2 * np.pi * 440 * time), np.zeros(len(time))], axis=1)
    wavfile.write(tmp_path / "stereo.wav", 44_100, stereo.astype(np.float32))

    heard = read_sound(str(tmp_path / "stereo.wav"), rate=16_000, seconds=1.5)

    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 16_000)
    assert heard.shape == (24_000,)
    assert np.abs(heard - expected)[100:-100].max() < 0.02


def _empty(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)


def _text(path: Path) -> None:
    path.write_text("no sound")


def _nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize("make", [_empty, _text, _nothing])
def test_absent_damaged_and_empty_sounds_are_unreadable(tmp_path: Path, make: object) -> None:
    make(tmp_path / "sound.wav")  # type: ignore[operator]

    with pytest.raises(UnreadableItem):
        read_sound(str(tmp_path / "sound.wav"), rate=16_000, seconds=30)
