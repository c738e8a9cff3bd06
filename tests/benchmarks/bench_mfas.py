"""A whole MFAS search beside the published way of training its candidates, on AV-MNIST's sizes.

The published way: one candidate at a time, and for every batch both backbones are run forward, in training mode and
with gradients that nobody uses, before the fusion takes its step; validation runs both again. Ours is everything the
search does: one pass of the backbones, all candidates in groups, the surrogate. Candidates, samples, epochs and steps
are the same. Theirs is trained for a few of the candidates, spread over the search, and multiplied: all of them would
take hours. Pretraining is in neither.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch
from sidebyside import Ratio

from mmfuse.architecture import Architecture
from mmfuse.backbones import BackboneChoice, choose_backbones
from mmfuse.batch import Split, Splits
from mmfuse.models.assemble import build_model
from mmfuse.models.mfas import Mfas
from mmfuse.report import NullReporter
from mmfuse.search.drive import drive
from mmfuse.search.mfas import Options, search
from mmfuse.spec import TapOptions
from mmfuse.task import Modality, Task
from mmfuse.training.backbones import BackboneLibrary
from mmfuse.training.checkpoint import Checkpoint
from mmfuse.training.losses import objective
from mmfuse.training.optimiser import Cycles
from mmfuse.training.resident import epoch_batches
from mmfuse.training.scoring import score
from mmfuse.training.tapbench import TapBenchmark

TASK = Task(
    "bench",
    "multiclass",
    (Modality("image", "grid", (1, 28, 28)), Modality("audio", "grid", (1, 112, 112))),
    10,
    "accuracy",
)


def measure(*, quick: bool = False) -> list[Ratio]:
    """Seconds of a whole search, ours measured once, theirs from a few candidates."""
    train, val, shown = (64, 32, 1) if quick else (2000, 500, 3)
    splits = Splits(TASK, _split(train, seed=0), _split(val, seed=1), lambda: _split(1, seed=2), "benchmark")
    sizes = {"levels": 1, "sweeps": 1} if quick else {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        options = Options(control=False, finalists=0, benchmark=TapOptions(backbones=_backbones(place)), **sizes)
        evaluator = TapBenchmark(
            splits,
            options.benchmark,
            seed=0,
            device=torch.device("cpu"),
            folder=place / "run",
            data_root=place / "data",
            reporter=NullReporter(),
            should_stop=lambda: False,
            workers=2,
        )
        began = time.perf_counter()
        outcome = drive(
            search(TASK, options, np.random.default_rng(0)),
            evaluator=evaluator,
            reporter=NullReporter(),
            seed_of=lambda number: number,
        )
        ours = time.perf_counter() - began
    trials = outcome.trials
    assert all(record.status == "done" for record in trials)
    began = time.perf_counter()
    for record in trials[:: max(1, len(trials) // shown)][:shown]:
        assert _published(record.architecture, splits, options.benchmark) == record.steps
    theirs = (time.perf_counter() - began) / shown * len(trials)
    return [Ratio(f"MFAS search, {len(trials)} trainings / the published way", ours, theirs, goal=100.0, quicker=True)]


def _published(architecture: Architecture, splits: Splits, options: TapOptions) -> int:
    """Train one candidate as published; the number of optimiser steps it made."""
    held_out = round(options.choice_share * len(splits.train))
    train = splits.train.take(torch.arange(len(splits.train) - held_out))
    model = cast(Mfas, build_model(Architecture("mfas", {**architecture.params, "multitask": True}), TASK))
    fusion = list(model.chain.parameters())
    optimiser = torch.optim.Adam(fusion, lr=options.learning_rate, weight_decay=options.weight_decay)
    steps = -(-len(train) // options.batch_size)
    cycles = Cycles(
        highest=options.learning_rate, lowest=options.minimum_rate, first=1, factor=2, steps_per_epoch=steps
    )
    model.multitask = False
    step = 0
    for epoch in range(options.epochs):
        model.train()
        for batch in epoch_batches(train, batch_size=options.batch_size, seed=0, epoch=epoch):
            optimiser.param_groups[0]["lr"] = cycles.rate(step)
            model.zero_grad()
            objective(model, batch).backward()
            optimiser.step()
            step += 1
        score(model, splits.val, TASK)
    return step


def _backbones(place: Path) -> dict[str, BackboneChoice]:
    """Backbones whose weights are there already (untrained: their speed is the same)."""
    library, named = BackboneLibrary(place / "data"), {}
    for modality, choice in choose_backbones(TASK, {}).items():
        weights = build_model(choice.architecture, TASK).state_dict()
        key = library.add(Checkpoint(choice.architecture, TASK, "benchmark", "benchmark", weights, epoch=0, step=0))
        named[modality] = choice.model_copy(update={"weights": key})
    return named


def _split(samples: int, *, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    inputs = {m.name: torch.randn(samples, *m.shape, generator=generator) for m in TASK.modalities}
    return Split(inputs, torch.arange(samples) % 10, torch.arange(samples))


if __name__ == "__main__":
    print(*measure(), sep="\n")
