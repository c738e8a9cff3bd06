"""A small world for searches over taps: two 8 x 8 pictures, four classes, backbones that train in a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmfuse.architecture import Architecture
from mmfuse.backbones import BackboneChoice
from mmfuse.batch import Split, Splits
from mmfuse.report import NullReporter
from mmfuse.search.drive import Trial
from mmfuse.spec import PretrainOptions, TapOptions
from mmfuse.task import Modality, Task
from mmfuse.training.tapbench import TapBenchmark

TASK = Task(
    "pictures",
    "multiclass",
    (Modality("image", "grid", (1, 8, 8)), Modality("audio", "grid", (1, 8, 8))),
    4,
    "accuracy",
)
BACKBONES = {
    "image": BackboneChoice(family="lenet_image", params={"channels": 2}),
    "audio": BackboneChoice(family="lenet_image", params={"channels": 2, "modality": "audio"}),
}
PRETRAIN = PretrainOptions(epochs=1, batch_size=32)


def make_split(samples: int, *, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    target = torch.arange(samples) % 4
    image = torch.randn(samples, 1, 8, 8, generator=generator)
    audio = torch.randn(samples, 1, 8, 8, generator=generator)
    image += (target % 2).float()[:, None, None, None]
    audio += (target // 2).float()[:, None, None, None]
    return Split({"image": image, "audio": audio}, target, torch.arange(samples) + 1000 * seed)


def _no_test() -> Split:
    raise AssertionError("the test split was opened")


SPLITS = Splits(TASK, make_split(160, seed=0), make_split(60, seed=1), _no_test, fingerprint="f00d")


class Listener(NullReporter):
    """Keeps notes and metrics."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.rows: list[tuple[int | None, int, dict[str, float]]] = []

    def note(self, message: str, **facts: Any) -> None:
        self.notes.append((message, facts))

    def metrics(self, values: Any, *, step: int, epoch: int | None = None, trial: int | None = None) -> None:
        self.rows.append((trial, step, dict(values)))

    def origins(self) -> list[str]:
        return [facts["origin"] for message, facts in self.notes if message in ("backbone", "taps")]


def bench(place: Path, **changes: Any) -> TapBenchmark:
    controls: dict[str, Any] = {
        "seed": 5,
        "device": torch.device("cpu"),
        "folder": place / "run" / "backbones",
        "data_root": place / "data",
        "reporter": NullReporter(),
        "should_stop": _never,
        "workers": 2,
    }
    splits = changes.pop("splits", SPLITS)
    for name in list(changes):
        if name in controls:
            controls[name] = changes.pop(name)
    settled = {"backbones": BACKBONES, "pretrain": PRETRAIN, "final_width": 12} | changes
    return TapBenchmark(splits, TapOptions(**settled), **controls)


def trials(*layers: list[list[int]], first: int = 0, stage: str = "", **params: Any) -> list[Trial]:
    given = {"modalities": ["image", "audio"], "width": 8, "dropout": 0.5, "batchnorm": False, "alphas": False} | params
    return [
        Trial(number, Architecture("mfas", {**given, "layers": each}, stage), 100 + number)
        for number, each in enumerate(layers, start=first)
    ]


def stops_after(calls: int) -> Callable[[], bool]:
    left = [calls]

    def should_stop() -> bool:
        left[0] -= 1
        return left[0] < 0

    return should_stop


def _never() -> bool:
    return False
