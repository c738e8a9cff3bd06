"""What the user changes of what is said about runs: names, tags, stars, notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """What to write into a run's meta data; None leaves a field as it is."""

    name: str | None = None
    tags: tuple[str, ...] | None = None
    notes: str | None = None
    starred: bool | None = None


def retag(tags: Sequence[str], words: str) -> tuple[str, ...]:
    """``tags`` after ``words`` such as ``paper +seed -draft``: a leading minus takes a tag away, others are added."""
    kept = list(tags)
    for word in words.replace(",", " ").split():
        name = word.lstrip("+-")
        if word.startswith("-"):
            kept = [tag for tag in kept if tag != name]
        elif name and name not in kept:
            kept.append(name)
    return tuple(kept)
