"""Checkpoints: tensors and plain values in one file, written whole or not at all, read without running code.

A checkpoint tells what it is (architecture, task, data, versions) and holds the weights; one that training can go on
from also holds a `TrainingState`. Files are read with ``weights_only=True``: a pickled class in one is refused.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmfuse import __version__
from mmfuse.architecture import Architecture
from mmfuse.batch import Splits
from mmfuse.errors import CheckpointMismatch, DataInvalid, DataMissing, StoreError
from mmfuse.latents import LatentSplits
from mmfuse.models.assemble import build_model
from mmfuse.task import Modality, Task
from mmfuse.training.partial import partial_path, sweep_partial

FORMAT = 1
KIND = "mmfuse checkpoint"


@dataclass(frozen=True)
class TrainingState:
    """What training needs besides the weights to go on as if it had never stopped.

    ``position`` is epoch, batch inside it, and step; a batch equal to the epoch's length means that the epoch still
    awaits its validation. ``best`` and ``stale`` are early stopping's memory, ``scaler`` that of 16-bit arithmetic.
    """

    position: Mapping[str, int]
    optimiser: Mapping[str, Any]
    schedule: Mapping[str, Any]
    scaler: Mapping[str, Any]
    best: Mapping[str, Any] | None
    stale: int
    seconds: float
    seed: int
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """A trained (or half-trained) model as data. ``metrics`` are those of its last validation, as ``val/accuracy``.

    ``provenance`` says who wrote it: run, attempt and whatever else the caller of `fit` handed on.
    """

    architecture: Architecture
    task: Task
    fingerprint: str
    dataset: str
    weights: Mapping[str, Tensor]
    epoch: int
    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(
        default_factory=lambda: {"mmfuse": __version__, "torch": str(torch.__version__)}
    )
    training: TrainingState | None = None


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write ``checkpoint``; a kill at any moment leaves the old file or the new one.

    Raises:
        StoreError: when the file system refuses; the old file is then untouched.
    """
    temporary = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_partial(path.parent)
        with temporary.open("wb") as file:
            torch.save(_to_plain(checkpoint), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into the latter
        with suppress(OSError):
            temporary.unlink()
        raise StoreError(
            f"cannot write the checkpoint {path}: {why_refused(error)}", "free some space, then resume"
        ) from error


def why_refused(error: OSError | RuntimeError) -> str:
    """Why a file could not be saved, in words; torch's writer tells positions in its source instead."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or "the disk took only a part of it (is it full?)"


def load_checkpoint(path: Path) -> Checkpoint:
    """Read the checkpoint at ``path``, its tensors on the CPU.

    Raises:
        DataMissing: when there is no such file.
        DataInvalid: when the file is truncated or damaged.
        CheckpointMismatch: when it is no checkpoint of ours, of a newer format, or holds anything but data.
    """
    if not path.is_file():
        raise DataMissing(f"there is no checkpoint at {path}", "mmfuse runs show RUN lists what a run has kept")
    record = _read(path)
    if not isinstance(record, dict) or record.get("kind") != KIND:
        raise CheckpointMismatch(f"{path} was not written by mmfuse")
    try:
        if record["format"] > FORMAT:
            raise CheckpointMismatch(
                f"{path} has format {record['format']}, this mmfuse reads up to {FORMAT}",
                "pip install --upgrade mmfuse",
            )
        return _from_plain(record)
    except (KeyError, TypeError) as error:
        raise DataInvalid(f"{path} is damaged: {error} is missing or wrong") from error


def rebuild_model(checkpoint: Checkpoint) -> nn.Module:
    """The model with the checkpoint's weights, on the CPU, in evaluation mode.

    Raises:
        CheckpointMismatch: when its architecture no longer has the shape of the weights.
    """
    model = build_model(checkpoint.architecture, checkpoint.task)
    load_weights(model, checkpoint)
    return model.eval()


def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Put the checkpoint's weights into ``model``.

    Raises:
        CheckpointMismatch: when they do not fit.
    """
    try:
        model.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        first = str(error).partition("\n\t")[2].partition("\n")[0] or str(error)
        raise CheckpointMismatch(
            f"the checkpoint of {checkpoint.architecture.key} does not fit the model built from it: {first}"
        ) from error


def check_data(checkpoint: Checkpoint, splits: Splits | LatentSplits) -> None:
    """See that ``checkpoint`` was trained on the data in ``splits``.

    Raises:
        CheckpointMismatch: naming both datasets, what differs of their tasks, or both fingerprints.
    """
    before, now = checkpoint.task, splits.task
    if before.name != now.name:
        raise CheckpointMismatch(
            f"the checkpoint was trained on {before.name}, and the data is {splits.label}", f"--dataset {before.name}"
        )
    if before != now:
        changed = next(part.name for part in fields(now) if getattr(before, part.name) != getattr(now, part.name))
        raise CheckpointMismatch(
            f"the checkpoint was trained for another task of {now.name}: {changed} {getattr(before, changed)!r:.200},"
            f" now {getattr(now, changed)!r:.200}",
            "evaluate it with the data options it was trained with",
        )
    if checkpoint.fingerprint != splits.fingerprint:
        raise CheckpointMismatch(
            f"the checkpoint was trained on {checkpoint.dataset} with fingerprint {checkpoint.fingerprint}, "
            f"the data is {splits.label} with fingerprint {splits.fingerprint}",
            "evaluate it on the data it was trained on, or train anew",
        )


def _read(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            begins_well = file.read(4) == b"PK\x03\x04"
        if begins_well:
            raise DataInvalid(f"{path} is truncated or damaged", "copy it again, or take the run's other checkpoint")
        raise CheckpointMismatch(f"{path} is not a checkpoint")
    try:
        # torch does not look at the checksums that it writes.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(damaged)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointMismatch(f"{path} holds objects that are not plain data, so it was not opened") from error
    except (zipfile.BadZipFile, RuntimeError, EOFError, KeyError, OSError) as error:
        raise DataInvalid(f"{path} is truncated or damaged", "take the run's other checkpoint") from error


def _to_plain(checkpoint: Checkpoint) -> dict[str, Any]:
    record = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    return record | {
        "kind": KIND,
        "format": FORMAT,
        "architecture": checkpoint.architecture.to_json(),
        "task": asdict(checkpoint.task),
        "weights": dict(checkpoint.weights),
        "training": vars(checkpoint.training) if checkpoint.training is not None else None,
    }


def _from_plain(record: dict[str, Any]) -> Checkpoint:
    known = {name: record[name] for name in Checkpoint.__dataclass_fields__}
    return Checkpoint(
        **known
        | {
            "architecture": Architecture.from_json(record["architecture"]),
            "task": _task_from_plain(record["task"]),
            "training": TrainingState(**record["training"]) if record["training"] is not None else None,
        }
    )


def _task_from_plain(record: dict[str, Any]) -> Task:
    modalities = tuple(Modality(**modality) for modality in record["modalities"])
    return Task(**record | {"modalities": modalities, "classes": tuple(record["classes"])})


def _sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
