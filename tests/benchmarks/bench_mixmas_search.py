"""A MixMAS search beside the same trials run the published way, on AV-MNIST's sizes.

The published way: per candidate a Lightning Trainer over a loader that fetches sample by sample, the whole validation
split after each epoch, and a test pass over it at the end. (The release re-uses one Trainer and so trains only its
first candidate; here every candidate is trained, as was meant.) Both train the same candidates on the same sample for
the same number of epochs and steps.
"""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from pathlib import Path

import lightning
import torch
from sidebyside import Ratio
from torch.utils.data import DataLoader, Dataset

from mmfuse.architecture import Architecture
from mmfuse.batch import Batch, Split, Splits
from mmfuse.models.assemble import build_model
from mmfuse.report import NullReporter
from mmfuse.search.drive import Trial, drive
from mmfuse.search.mixmas import Options, search
from mmfuse.spec import BenchmarkOptions
from mmfuse.task import Modality, Task
from mmfuse.training.microbench import MicroBenchmark

TASK = Task(
    "bench",
    "multiclass",
    (Modality("image", "grid", (1, 28, 28)), Modality("audio", "grid", (1, 112, 112))),
    10,
    "accuracy",
)


def measure(*, quick: bool = False) -> list[Ratio]:
    """Seconds of a whole search, both ways, once each."""
    train, val, epochs = (128, 128, 1) if quick else (1000, 5000, 10)
    splits = Splits(TASK, _split(train, seed=0), _split(val, seed=1), lambda: _split(1, seed=2), "benchmark")
    options = Options(
        space={"blocks": ["mlp", "hyper"], "functions": ["concat", "mean"]},
        benchmark=BenchmarkOptions(sample="all", epochs=epochs, encoders="fresh"),
    )
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory() as folder:
        evaluator = MicroBenchmark(
            splits,
            options.benchmark,
            seed=0,
            device=torch.device("cpu"),
            folder=Path(folder),
            reporter=NullReporter(),
            should_stop=lambda: False,
            workers=2,
        )
        began = time.perf_counter()
        outcome = drive(
            search(TASK, options, rng=None), evaluator=evaluator, reporter=NullReporter(), seed_of=lambda number: number
        )
        ours = time.perf_counter() - began
    trials = [Trial(record.number, record.architecture, record.seed) for record in outcome.trials]
    assert all(record.status == "done" for record in outcome.trials)
    began = time.perf_counter()
    for trial in trials:
        steps = _published(trial, splits, epochs=epochs, batch_size=options.benchmark.batch_size)
        assert steps == outcome.trials[trial.number].steps
    theirs = time.perf_counter() - began
    return [Ratio(f"MixMAS search, {len(trials)} trials / the published way", ours, theirs, goal=5.0, quicker=True)]


class _Samples(Dataset[Batch]):
    """One sample at a time, as the release's loaders fetch them."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, position: int) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
        inputs = {name: value[position] for name, value in self.split.inputs.items()}
        return inputs, self.split.target[position], self.split.ids[position]


class _Module(lightning.LightningModule):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.model = build_model(architecture, TASK)

    def _loss(self, parts: list) -> torch.Tensor:
        batch = Batch(*parts)
        outputs = self.model(batch)
        accuracy = (outputs["logits"].argmax(1) == batch.target).float().mean()
        self.log("accuracy", accuracy)
        return self.model.loss(outputs, batch)["total"]

    def training_step(self, parts: list) -> torch.Tensor:
        return self._loss(parts)

    def validation_step(self, parts: list) -> None:
        self._loss(parts)

    def test_step(self, parts: list) -> None:
        self._loss(parts)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def _published(trial: Trial, splits: Splits, *, epochs: int, batch_size: int) -> int:
    """Train and measure one candidate as published; the number of optimiser steps it made."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=epochs,
            default_root_dir=folder,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        module = _Module(trial.architecture)
        train = DataLoader(_Samples(splits.train), batch_size=batch_size, shuffle=True)
        val = DataLoader(_Samples(splits.val), batch_size=batch_size)
        trainer.fit(module, train, val)
        trainer.test(module, val, verbose=False)
        return int(trainer.global_step)


def _split(samples: int, *, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    inputs = {m.name: torch.randn(samples, *m.shape, generator=generator) for m in TASK.modalities}
    return Split(inputs, torch.arange(samples) % 10, torch.arange(samples))


if __name__ == "__main__":
    print(*measure(), sep="\n")
