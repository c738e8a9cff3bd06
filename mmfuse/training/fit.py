"""Full training: an architecture in, its best checkpoint out, exact to the bit however often it is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmfuse.architecture import Architecture
from mmfuse.batch import Splits
from mmfuse.errors import BadSpec
from mmfuse.models.assemble import build_model
from mmfuse.report import Reporter
from mmfuse.spec import FitOptions
from mmfuse.training.checkpoint import load_checkpoint
from mmfuse.training.engine import FullTraining, Plan
from mmfuse.training.seeding import derive_seed, seeded
from mmfuse.training.supervised import Supervised


@dataclass(frozen=True)
class FitResult:
    """Where the best checkpoint lies, which validation it stems from (``metrics``, as ``val/accuracy``), and the cost.

    ``seconds`` add up over attempts.
    """

    best_checkpoint: Path
    best_epoch: int
    metrics: Mapping[str, float]
    epochs: int
    steps: int
    seconds: float
    stopped_early: bool


def fit(
    architecture: Architecture,
    splits: Splits,
    options: FitOptions,
    *,
    seed: int,
    device: torch.device,
    folder: Path,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    provenance: Mapping[str, Any],
    warm: Mapping[str, Mapping[str, Tensor]] | None = None,
) -> FitResult:
    """Build ``architecture`` and train it; ``warm`` are weights for its encoders by modality.

    Raises:
        Stopped, Diverged, CheckpointMismatch, StoreError, BadSpec: see `fit_model`.
    """
    with seeded(derive_seed(seed, "weights")):
        model = build_model(architecture, splits.task)
    for modality, weights in (warm or {}).items():
        model.get_submodule(f"encoders.{modality}").load_state_dict(weights)
    return fit_model(
        model,
        splits,
        options,
        architecture=architecture,
        seed=seed,
        device=device,
        folder=folder,
        reporter=reporter,
        should_stop=should_stop,
        provenance=provenance,
    )


def fit_model(
    model: nn.Module,
    splits: Splits,
    options: FitOptions,
    *,
    architecture: Architecture,
    seed: int,
    device: torch.device,
    folder: Path,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    provenance: Mapping[str, Any],
    devices: int = 1,
    strategy: str = "auto",
) -> FitResult:
    """Train ``model``, or go on where ``folder/checkpoints/last.ckpt`` says an earlier attempt was.

    The best epoch by the task's validation score (then by loss) is kept in ``folder/checkpoints/best.ckpt``.
    ``devices`` and ``strategy`` are Lightning's, for training on several GPUs.

    Raises:
        Stopped: at a safe point after ``should_stop()`` became true, with last.ckpt written.
        Diverged: when a loss is no number.
        CheckpointMismatch: when last.ckpt belongs to another training.
        StoreError: when a checkpoint cannot be written.
        BadSpec: when the device cannot compute in the wanted precision.
    """
    if options.precision == "16-mixed" and device.type == "cpu":
        raise BadSpec("precision 16-mixed needs a GPU", "--set fit.precision=bf16-mixed works on a CPU")
    plan = Plan(
        architecture=architecture,
        splits=splits,
        options=options,
        seed=seed,
        last=folder / "checkpoints" / "last.ckpt",
        best=folder / "checkpoints" / "best.ckpt",
        provenance=provenance,
    )
    method = Supervised(splits, options, seed=seed)
    work = FullTraining(model, plan, method, reporter=reporter, should_stop=should_stop)
    if plan.last.exists():
        work.resume(load_checkpoint(plan.last))
    reporter.resumed(work.position.step)
    if not work.done:
        # Lightning takes seconds to import; searches that train nothing in full never need it.
        from mmfuse.training.module import train

        train(work, device=device, devices=devices, strategy=strategy)
    return result_of(plan)


def result_of(plan: Plan) -> FitResult:
    """What came of ``plan``, read from the files, so that it is the same whichever process trained."""
    last = load_checkpoint(plan.last)
    state = last.training
    if state is None or state.best is None:
        raise BadSpec(f"{plan.last} belongs to a training that has not begun", "remove it and start anew")
    return FitResult(
        best_checkpoint=plan.best,
        best_epoch=state.best["epoch"],
        metrics=state.best["metrics"],
        epochs=last.epoch,
        steps=last.step,
        seconds=state.seconds,
        stopped_early=last.epoch < plan.options.epochs,
    )
