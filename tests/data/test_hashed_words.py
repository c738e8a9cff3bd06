"""Hashed words: counters of a MinHash fingerprint, alike for words that share parts."""

import hashlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse.data.hashed_words import HASHES, fingerprint, hash_words

PRIME = 2**31 - 1
words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def _by_hand(part: str) -> list[int]:
    first = int.from_bytes(hashlib.sha256(part.encode()).digest(), "little")
    second = int.from_bytes(hashlib.sha224(part.encode()).digest(), "little")
    return [(first + number * second) % PRIME for number in range(64)]


def test_a_short_word_has_its_own_64_hashes() -> None:
    assert fingerprint("sea").tolist() == _by_hand("sea")
    assert fingerprint("a").tolist() == _by_hand("a")


def test_a_longer_word_has_the_least_of_its_trigrams() -> None:
    expected = np.min([_by_hand("shi"), _by_hand("hip"), _by_hand("ips")], axis=0)

    assert fingerprint("ships").tolist() == expected.tolist()


@given(word=words, features=st.integers(16, 300))
@settings(deadline=None, max_examples=50)
def test_a_words_counters_sum_to_the_number_of_hashes(word: str, features: int) -> None:
    (counters,) = hash_words([word], features=features)

    assert counters.shape == (features,)
    assert int(counters.sum()) == HASHES
    assert np.array_equal(counters, np.bincount(fingerprint(word) % features, minlength=features))


def test_words_that_share_parts_are_nearer_than_words_that_do_not() -> None:
    ship, ships, dawn = hash_words(["friendship", "friendships", "dawn"], features=1024).astype(int)

    assert np.minimum(ship, ships).sum() > 40
    assert np.minimum(ship, dawn).sum() < 20


def test_the_order_of_words_changes_nothing_for_each() -> None:
    one, two = hash_words(["dawn", "heist"], features=64), hash_words(["heist", "dawn"], features=64)

    assert np.array_equal(one, two[::-1])
