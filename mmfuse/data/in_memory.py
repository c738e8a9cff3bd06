"""Datasets that are made up in memory from their options: the same options, the same samples and fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

from mmfuse.architecture import canonical_json
from mmfuse.batch import Split, Splits
from mmfuse.options import Options
from mmfuse.task import Task

Made = TypeVar("Made", bound=Options)


def made_splits(task: Task, options: Made, split: Callable[[Made, str], Split], *, version: int) -> Splits:
    """The splits that ``split(options, name)`` makes; ``version`` counts the changes of what it makes."""
    recipe = {"dataset": task.name, "version": version, **options.model_dump(mode="json")}
    return Splits(
        task=task,
        train=split(options, "train"),
        val=split(options, "val"),
        open_test=lambda: split(options, "test"),
        fingerprint=hashlib.sha256(canonical_json(recipe).encode()).hexdigest()[:16],
        provenance=recipe,
    )
