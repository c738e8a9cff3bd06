"""Small sets of latent pairs for tests."""

from __future__ import annotations

from dataclasses import replace

import torch

from mmfuse.data.latent_world import Options, load
from mmfuse.latents import LatentPairs, LatentSplits
from mmfuse.report import NullReporter

SMALL = {"embed": 8, "depth": 1, "expansion": 1, "dropout": 0.2, "chunk": 7, "tile": 5}
FIT = {"epochs": 4, "batch_size": 10, "learning_rate": 0.01, "schedule": "warmup", "warmup_steps": 3}


def world(images: int = 60, **options: int) -> LatentSplits:
    return load(None, Options(images=images, validation=20, test=20, **options))


def with_train(splits: LatentSplits, **changes: object) -> LatentSplits:
    return replace(splits, train=replace(splits.train, **changes))


def by_class(splits: LatentSplits, classes: int = 4) -> LatentSplits:
    """The same pairs, said to share a class only."""

    def labelled(pairs: LatentPairs) -> LatentPairs:
        return replace(pairs, classes=torch.arange(len(pairs)) % classes)

    task = replace(splits.task, metric="p1_mean")
    return LatentSplits(task, labelled(splits.train), labelled(splits.val), lambda: labelled(splits.open_test()))


class Listener(NullReporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.notes: list[tuple[str, dict[str, object]]] = []
        self.going: list[tuple[float, float]] = []

    def metrics(self, values, *, step, epoch=None, trial=None) -> None:
        self.rows.append((step, dict(values)))

    def note(self, message, **facts) -> None:
        self.notes.append((message, facts))

    def progress(self, done, total, *, what) -> None:
        self.going.append((done, total))

    def losses(self) -> list[float]:
        return [values["train/loss"] for _, values in self.rows if "train/loss" in values]
