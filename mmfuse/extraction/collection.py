"""A collection: which items there are, where each is read from, and which belong together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfuse.data.latents_pairs import SPLITS, PairTable
from mmfuse.errors import DataInvalid

Fetch = Sequence[Any]
"""Items of one modality by number; a slice gives several."""


@dataclass(frozen=True)
class Collection:
    """The pair table, and per modality its items: paths or captions, or tensors.

    ``odd`` are entries of the annotation files that were left out, by reason: their number and the first names.
    """

    table: PairTable
    items: Mapping[str, Fetch]
    odd: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def complaints(self) -> tuple[str, ...]:
        """One sentence per kind of odd entry."""
        return tuple(f"{len(names):,} {reason}: {shortlist(names)}" for reason, names in self.odd.items() if names)


def shortlist(names: Sequence[str], *, most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class CaptionedMedia:
    """Collects captioned media row by row: each medium is one item however many captions it has.

    In training, captions with the same words are one item too, so that no text is encoded twice; in validation and
    test each caption is a query of its own, as the published protocols count them.
    """

    def __init__(self, name: str, *, medium: str, folder: str = "") -> None:
        self.name = name
        self.medium = medium
        self.folder = folder
        self.media: dict[str, int] = {}
        self.captions: list[str] = []
        self.known: dict[str, int] = {}
        self.rows: dict[str, list[tuple[int, int]]] = {}
        self.odd: dict[str, list[str]] = {}

    def add(self, split: str, medium: object, captions: Sequence[object]) -> None:
        """Take ``captions`` of one medium into ``split``; what is no text, or empty, is noted as odd."""
        if not isinstance(medium, str) or not medium.strip():
            self.odd.setdefault(f"entries of {split} without a file name", []).append(repr(medium)[:60])
            return
        sound = [caption.strip() for caption in captions if isinstance(caption, str) and caption.strip()]
        if len(sound) < len(captions) or not captions:
            self.odd.setdefault(f"{self.medium} entries of {split} with an empty caption or none", []).append(medium)
        rows = self.rows.setdefault(split, [])
        for caption in sound:
            number = self.media.setdefault(medium, len(self.media))
            rows.append((number, self._caption(split, caption)))

    def finish(self) -> Collection:
        """The collection.

        Raises:
            DataInvalid: when there is not one pair.
        """
        if not any(self.rows.values()):
            raise DataInvalid(f"the annotations of {self.name} hold no caption of any {self.medium}")
        splits = {split: _table(self.rows[split]) for split in SPLITS if split in self.rows}
        prefix = f"{self.folder}/" if self.folder else ""
        media = tuple(self.media)
        table = PairTable(
            self.name,
            {self.medium: media, "text": tuple(_mark(number, text) for number, text in enumerate(self.captions))},
            splits,
        )
        return Collection(table, {self.medium: [prefix + path for path in media], "text": self.captions}, self.odd)

    def _caption(self, split: str, caption: str) -> int:
        if split == "train" and caption in self.known:
            return self.known[caption]
        self.captions.append(caption)
        if split == "train":
            self.known[caption] = len(self.captions) - 1
        return len(self.captions) - 1


def _mark(number: int, caption: str) -> str:
    """A caption's id: its number, and a hash of its words so that other captions make another table."""
    return f"{number}:{hashlib.blake2b(caption.encode(), digest_size=6).hexdigest()}"


def _table(rows: list[tuple[int, int]]) -> NDArray[np.int32]:
    return np.array(rows, dtype=np.int32).reshape(-1, 2)
