"""What lies on disk of a dataset, for people: the answer of every dataset's ``status`` function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class DataStatus:
    """A dataset below one data root, learnt without reading its content.

    ``source`` is what ``source=auto`` would load now: real files, a stand-in (``built`` says whether it is there
    already), or "unusable" where real files are half there or wrong and ``problem`` says how. ``samples`` counts rows
    per split, ``missing`` names absent files of the real dataset.
    """

    dataset: str
    source: Literal["real", "stand-in", "unusable"]
    folder: Path | None
    built: bool
    samples: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""
