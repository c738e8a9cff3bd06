"""The generic LightningModule: Lightning owns devices, precision, clipping and DDP, the engine everything else.

Lightning's own checkpoints hold no position inside an epoch that is exact, and skip validations and even epochs when
a run is killed at the wrong moment; its SIGTERM handler ends the process with exit code 0; its logging of one number
doubles the cost of a small step. So all of these are off. The Trainer counts the epochs of this process only.
"""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from mmfuse.batch import Batch
from mmfuse.training.engine import FullTraining


def train(work: FullTraining, *, device: torch.device, devices: int, strategy: str) -> None:
    """Drive ``work`` until it is done.

    Raises:
        Stopped, Diverged, StoreError: as the engine does.
    """
    one_gpu = device.type == "cuda" and devices == 1
    with _quiet():
        trainer = Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=[device.index or 0] if one_gpu else devices,
            strategy=strategy,
            precision=work.plan.options.precision,
            gradient_clip_val=work.plan.options.gradient_clip,
            max_epochs=-1,
            # A Slurm allocation would make Lightning requeue the job by itself; that is the supervisor's business.
            plugins=[LightningEnvironment()],
            use_distributed_sampler=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(_Module(work))


class _Module(LightningModule):
    """Hands Lightning's calls to the engine."""

    def __init__(self, work: FullTraining) -> None:
        super().__init__()
        self.work = work
        self.model = work.model
        self._sigterm = signal.getsignal(signal.SIGTERM)

    def configure_optimizers(self) -> Optimizer:
        """Everything that depends on the device is made here: Lightning has just moved the model there."""
        return self.work.begin(self.device, rank=self.trainer.global_rank, ranks=self.trainer.world_size)

    def train_dataloader(self) -> Iterable[Any]:
        """Batches from the present position on."""
        return self.work.loader()

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """It is there already."""
        return batch

    def on_train_start(self) -> None:
        """Undo what Lightning has just done to SIGTERM, and restore the state of 16-bit arithmetic.

        A signal that came in between has reached the earlier handler too: the engine stops before Lightning exits.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._sigterm)
        precision = self.trainer.precision_plugin
        self.work.scaler_state = precision.state_dict
        if self.work.resumed is not None and self.work.resumed.scaler:
            precision.load_state_dict(dict(self.work.resumed.scaler))
        if self.trainer.world_size > 1:
            asked, agree = self.work.should_stop, self.trainer.strategy.reduce_boolean_decision
            self.work.should_stop = lambda: agree(asked(), all=False)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one step."""
        return self.work.step_loss(batch)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """The optimiser has moved."""
        self.work.after_step(outputs["loss"])

    def on_train_epoch_end(self) -> None:
        """All batches are done."""
        self.work.end_epoch()
        self.trainer.should_stop = self.work.done


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep remarks about hardware and about Lightning's own use of torch out of the run's log; warnings stay."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
