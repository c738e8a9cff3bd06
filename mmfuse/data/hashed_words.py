"""Words as counters: the projection of pNLP-Mixer, which needs no trained embedding.

Fusco et al., "pNLP-Mixer: an Efficient all-MLP Architecture for Language" (2022, arXiv 2202.04350), section 3. A word's
fingerprint is the elementwise minimum of 64 hash values over its parts (MinHash); a counting Bloom filter of F counters
says how many of the 64 fell into each. Words that share parts have similar counters.

Where we differ from M2-Mixer's code: it cuts words into WordPiece units of multilingual BERT first and takes the
minimum over the units' fingerprints; here a word is one unit, so no vocabulary has to be fetched. Windows of neighbours
are joined by the model (`mmfuse.models.blocks.pnlp`), not stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HASHES = 64
"""Hash values per fingerprint; a word's counters sum to this."""
_PART = 3
_PRIME = 2**31 - 1


def hash_words(words: Sequence[str], *, features: int) -> NDArray[np.uint8]:
    """Counters (V, features) of each word."""
    counters = np.zeros((len(words), features), dtype=np.uint8)
    known: dict[str, NDArray[np.int64]] = {}
    for row, word in enumerate(words):
        np.add.at(counters[row], fingerprint(word, known=known) % features, 1)
    return counters


def fingerprint(word: str, *, known: dict[str, NDArray[np.int64]] | None = None) -> NDArray[np.int64]:
    """(64,) values below 2^31 - 1: the minimum over the word's trigrams, or the word's own if it is at most one.

    ``known`` remembers the values of parts between calls.
    """
    known = {} if known is None else known
    last = len(word) - _PART
    parts = {word[start : start + _PART] for start in range(last + 1)} if last > 0 else {word}
    for part in parts:
        if part not in known:
            known[part] = _hashes(part)
    return np.asarray(np.minimum.reduce([known[part] for part in parts]))


def _hashes(part: str) -> NDArray[np.int64]:
    """64 hash functions from two: the first plus n times the second (Kirsch and Mitzenmacher 2006)."""
    content = part.encode()
    first = int.from_bytes(hashlib.sha256(content).digest(), "little") % _PRIME
    second = int.from_bytes(hashlib.sha224(content).digest(), "little") % _PRIME
    return np.asarray((first + np.arange(HASHES, dtype=np.int64) * second) % _PRIME)
