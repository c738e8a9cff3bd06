"""A full training as a state that steps and epochs move forward, and that can be saved and taken up at any of them.

Nothing here knows Lightning: `mmfuse.training.module` drives it. Nor does it know what is trained on what: that is the
`Method`'s, of which `mmfuse.training.supervised` is the usual one. Everything that matters for the next step is either
a function of the position (data order, randomness, cosine schedule) or in the checkpoint, so a training that was
killed at any moment ends, on the CPU, with the weights of one that never was.

After each epoch the model is scored on the whole validation split; with several ranks each does so for itself, so that
they decide alike without talking.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mmfuse.architecture import Architecture
from mmfuse.batch import Splits
from mmfuse.errors import CheckpointMismatch, Diverged, Stopped
from mmfuse.latents import LatentSplits
from mmfuse.report import NullReporter, Reporter
from mmfuse.spec import FitOptions
from mmfuse.training.checkpoint import Checkpoint, TrainingState, check_data, load_weights, save_checkpoint
from mmfuse.training.optimiser import Schedule, make_schedule
from mmfuse.training.progress import Best, Position, Standing
from mmfuse.training.recorder import LossRecorder
from mmfuse.training.seeding import seed_step


@dataclass(frozen=True)
class Plan:
    """What is to be trained, on what, how, and where the results go; the same for every attempt of a run."""

    architecture: Architecture
    splits: Splits | LatentSplits
    options: FitOptions
    seed: int
    last: Path
    best: Path
    provenance: Mapping[str, Any]


class Method(Protocol):
    """What is cut into batches, what a batch's loss is, and how a validation is scored."""

    steps_per_epoch: int
    """Known after `begin`."""

    def begin(self, model: nn.Module, device: torch.device, *, rank: int, ranks: int) -> Optimizer:
        """Bring the data to ``device``, where ``model`` lies already, and make the optimiser."""

    def batches(self, position: Callable[[], Position]) -> Iterable[Any]:
        """Whose iterators give the rest of the epoch in which training stands when they are begun."""

    def loss(self, batch: Any) -> Tensor:
        """The loss of ``batch``, with its graph; the step's randomness is seeded."""

    def score(self, should_stop: Callable[[], bool]) -> dict[str, float]:
        """Every metric on the validation split by bare name, ``loss`` among them.

        Raises:
            Stopped: once ``should_stop`` says so.
        """


class FullTraining:
    """One attempt at a `Plan`. Call `begin` once the model lies where it will be trained."""

    optimiser: Optimizer
    schedule: Schedule
    recorder: LossRecorder

    def __init__(
        self, model: nn.Module, plan: Plan, method: Method, *, reporter: Reporter, should_stop: Callable[[], bool]
    ) -> None:
        self.model = model
        self.plan = plan
        self.method = method
        self.reporter = reporter
        self.should_stop = should_stop
        self.position = Position()
        self.standing = Standing()
        self.metrics: dict[str, float] = {}
        self.seconds = 0.0
        self.scaler_state: Callable[[], dict[str, Any]] = dict
        self.rank = 0
        self.ranks = 1
        self.resumed: TrainingState | None = None
        self.unsaved_best: Checkpoint | None = None

    @property
    def done(self) -> bool:
        """Whether all epochs are done, or early stopping has had enough."""
        options = self.plan.options
        patience = math.inf if options.early_stopping is None else options.early_stopping
        return self.position.epoch >= options.epochs or self.standing.stale >= patience

    def resume(self, checkpoint: Checkpoint) -> None:
        """Take weights and counters from ``checkpoint``; `begin` will take the rest.

        Raises:
            CheckpointMismatch: when it stems from another architecture, data, seed or other options.
        """
        state = self._check_same(checkpoint)
        load_weights(self.model, checkpoint)
        self.resumed = state
        self.position = Position(**state.position)
        self.standing = Standing(Best(**state.best) if state.best is not None else None, state.stale)
        self.metrics = dict(checkpoint.metrics)
        self.seconds = state.seconds

    def begin(self, device: torch.device, *, rank: int = 0, ranks: int = 1) -> Optimizer:
        """Make optimiser, schedule and resident data on ``device``, as one of ``ranks`` processes."""
        options = self.plan.options
        self.device, self.rank, self.ranks = device, rank, ranks
        if rank > 0:
            self.reporter = NullReporter()
        self.optimiser = self.method.begin(self.model, device, rank=rank, ranks=ranks)
        steps = options.epochs * self.method.steps_per_epoch
        self.schedule = make_schedule(options, self.optimiser, steps=steps)
        self.recorder = LossRecorder(self.reporter, total=steps, epochs=options.epochs)
        if self.resumed is not None:
            self.optimiser.load_state_dict(dict(self.resumed.optimiser))
            self.schedule.restore(dict(self.resumed.schedule))
        self.model.train()
        self._saved = time.monotonic()
        self._began = self._saved - self.seconds
        return self.optimiser

    def loader(self) -> Iterable[Any]:
        """The training batches from the present position on."""
        return self.method.batches(lambda: self.position)

    def step_loss(self, batch: Any) -> Tensor:
        """The loss of the next optimiser step, with its graph."""
        step = self.position.step
        seed_step(self.plan.seed, step, device=self.device, rank=self.rank)
        self.schedule.before_step(step)
        return self.method.loss(batch)

    def after_step(self, loss: Tensor, **beside: Tensor) -> None:
        """An optimiser step was taken; ``loss`` and whatever is reported ``beside`` it are detached scalars.

        Raises:
            Diverged: when one of the latest losses is no number.
            Stopped: once a stop was asked for; the checkpoint is then on disk.
        """
        self.position = self.position.after_step()
        self.recorder.add({"loss": loss, **beside}, step=self.position.step, epoch=self.position.epoch + 1)
        every = self.plan.options.checkpoint_every
        if self.should_stop():
            self._stop()
        elif every is not None and self.position.step % every == 0:
            self._save_last()

    def end_epoch(self) -> None:
        """Validate, keep what is best, and move on to the next epoch.

        Raises:
            Diverged: when a loss is no number.
            Stopped: once a stop was asked for; validation is then repeated by whoever resumes.
        """
        self._drain()
        validation = self._validate()
        self.standing = self.standing.after(validation, self.plan.splits.task)
        self.metrics = validation.metrics
        rate = self.optimiser.param_groups[0]["lr"]
        self.schedule.after_epoch(validation.loss)
        self.position = self.position.after_epoch()
        self.reporter.metrics(
            {**validation.metrics, "train/learning_rate": rate}, step=self.position.step, epoch=self.position.epoch
        )
        if self.standing.best is validation:
            weights = {name: value.clone() for name, value in self.model.state_dict().items()}
            self.unsaved_best = self._checkpoint(weights, training=None)
        ended = getattr(self.model, "epoch_ended", None)
        if ended is not None:
            ended()
        if self.done or time.monotonic() - self._saved >= self.plan.options.checkpoint_seconds:
            self._save_last()

    def _validate(self) -> Best:
        task, step = self.plan.splits.task, self.position.step
        try:
            values = self.method.score(self.should_stop)
        except Stopped:
            self._stop()
            raise
        if not math.isfinite(values["loss"]):
            raise Diverged(
                f"the validation loss is {values['loss']} after step {step}",
                "a smaller learning rate may help (fit.learning_rate)",
            )
        metrics = {f"val/{name}": value for name, value in values.items()}
        return Best(self.position.epoch + 1, step, values[task.metric], values["loss"], metrics)

    def _stop(self) -> None:
        self._save_last()
        raise Stopped

    def _save_last(self) -> None:
        """Write the best epoch if it is not on disk yet, then where training stands: the second knows of the first."""
        self._drain()
        self.reporter.flush()
        if self.rank == 0:
            if self.unsaved_best is not None:
                save_checkpoint(self.unsaved_best, self.plan.best)
            save_checkpoint(self._checkpoint(self.model.state_dict(), training=self._state()), self.plan.last)
        self.unsaved_best = None
        self._saved = time.monotonic()

    def _state(self) -> TrainingState:
        best = self.standing.best
        return TrainingState(
            position=asdict(self.position),
            optimiser=self.optimiser.state_dict(),
            schedule=self.schedule.state(),
            scaler=self.scaler_state(),
            best=asdict(best) if best is not None else None,
            stale=self.standing.stale,
            seconds=time.monotonic() - self._began,
            seed=self.plan.seed,
            options=self.plan.options.model_dump(mode="json"),
        )

    def _checkpoint(self, weights: Mapping[str, Tensor], *, training: TrainingState | None) -> Checkpoint:
        splits = self.plan.splits
        return Checkpoint(
            architecture=self.plan.architecture,
            task=splits.task,
            fingerprint=splits.fingerprint,
            dataset=splits.label,
            weights=weights,
            epoch=self.position.epoch,
            step=self.position.step,
            metrics=self.metrics,
            provenance=dict(self.plan.provenance),
            training=training,
        )

    def _drain(self) -> None:
        self.recorder.drain(step=self.position.step, epoch=self.position.epoch + 1)

    def _check_same(self, checkpoint: Checkpoint) -> TrainingState:
        state, plan = checkpoint.training, self.plan
        if state is None:
            raise CheckpointMismatch(f"{plan.last} holds weights only: training cannot go on from it")
        check_data(checkpoint, plan.splits)
        options = plan.options.model_dump(mode="json")
        pairs = [("architecture", checkpoint.architecture.key, plan.architecture.key), ("seed", state.seed, plan.seed)]
        pairs += [(f"fit.{name}", state.options.get(name), value) for name, value in options.items()]
        for name, was, wanted in pairs:
            if was != wanted:
                raise CheckpointMismatch(
                    f"{plan.last} was trained with {name} {was}, now {wanted} is asked for",
                    "start a new run, or ask for what the checkpoint was trained with",
                )
        return state
