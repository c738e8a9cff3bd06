"""Tap cache: one pass of frozen backbones over train and validation, kept for every search that asks the same.

A file below the data root, ``taps/<dataset>-<key>.h5``, where the key stands for the backbones' weights, the data's
fingerprint, the list of taps and the type of the numbers. Rows are in stored order, as the backbones gave them in
evaluation mode and standardised by each feature's mean and deviation over the training rows, which lie beside them. A
file appears whole or not at all and carries a digest; one that is damaged is made anew, and what a killed process
left behind is swept up. The test split is never read.

Memory is bounded by the rows themselves: a cached table is read in place; while one is made it is held once in 32
bits, and in 16 bits beside that if it is to be kept so. Rows in 16 bits stay so in memory, a batch of them is widened
when it is trained on. Standardised features lose at most 5e-4 of their deviation by it near the mean, and cannot
overflow.

The published search trains with backbones in training mode, whose statistics drift; such taps could not be kept.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmfuse.architecture import canonical_json
from mmfuse.backbones import BackboneChoice, tap_widths
from mmfuse.batch import Split, Splits
from mmfuse.errors import MmfuseError, Stopped
from mmfuse.models.assemble import build_model
from mmfuse.models.tap_layout import TapLayout
from mmfuse.models.tapped import Tapped, tapped
from mmfuse.report import Reporter
from mmfuse.task import Task
from mmfuse.training.backbones import Backbone
from mmfuse.training.batched import TapRows
from mmfuse.training.forked import Died, Message, Send, run_forked
from mmfuse.training.partial import partial_path, sweep_partial

logger = logging.getLogger(__name__)

FORMAT = 3
BATCH = 128
ROWS = 8 * BATCH  # that are one process's work, and standardised at a time
HDF5_OVERHEAD = 1 << 16
USER_BLOCK = 512
"""Bytes before HDF5's own, for a digest of those: with damaged tables HDF5 reads other rows, or never ends."""

TapType = Literal["float32", "float16"]


@dataclass(frozen=True)
class TapTable:
    """Standardised taps of train and validation, side by side as ``layout`` says, and what they were standardised by.

    ``mean`` and ``std`` are (T,), in 32 bits whatever the type of the rows.
    """

    layout: TapLayout
    mean: Tensor
    std: Tensor
    train: TapRows
    val: TapRows


def cached_taps(
    backbones: Mapping[str, Backbone],
    splits: Splits,
    *,
    data_root: Path,
    device: torch.device,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    dtype: TapType = "float32",
    workers: int = 1,
) -> TapTable:
    """The taps of ``backbones`` on ``splits``, from the cache if they are in it; the rows lie on the CPU as ``dtype``.

    Raises:
        Stopped: between two batches of the pass; nothing is kept then.
    """
    layout = layout_of(backbones, splits.task)
    path = data_root / "taps" / f"{splits.task.name}-{_key(backbones, splits, dtype)}.h5"
    known = _read(path, layout, splits, dtype)
    values = known or _standardised(
        _pass(
            backbones,
            splits,
            layout,
            device=device,
            reporter=reporter,
            should_stop=should_stop,
            workers=workers,
        ),
        dtype,
    )
    if known is None:
        _write(path, values)
    reporter.note("taps", file=path.name, features=layout.total, origin="cached" if known else "computed")
    mean, std, train, val = (torch.from_numpy(values[name]) for name in ("mean", "std", "train", "val"))
    return TapTable(layout, mean, std, TapRows(train, splits.train.target.cpu()), TapRows(val, splits.val.target.cpu()))


def layout_of(backbones: Mapping[str, Backbone], task: Task) -> TapLayout:
    """All taps of ``backbones``, in their order."""
    architectures = [backbone.architecture for backbone in backbones.values()]
    choices = [BackboneChoice(family=a.family, params=dict(a.params)) for a in architectures]
    return TapLayout(tuple(tap_widths(choice, task) for choice in choices))


Arrays = dict[str, NDArray[Any]]


def _key(backbones: Mapping[str, Backbone], splits: Splits, dtype: TapType) -> str:
    taps = [[modality, backbone.architecture.to_json(), backbone.key] for modality, backbone in backbones.items()]
    content = {"format": FORMAT, "fingerprint": splits.fingerprint, "taps": taps, "type": dtype}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]


def _pass(
    backbones: Mapping[str, Backbone],
    splits: Splits,
    layout: TapLayout,
    *,
    device: torch.device,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    workers: int,
) -> Arrays:
    """The raw taps of both splits, as 32-bit floats."""
    models: dict[str, Tapped] = {}
    for modality, backbone in backbones.items():
        model = build_model(backbone.architecture, splits.task)
        model.load_state_dict(backbone.weights)
        models[modality] = tapped(model.to(device).eval())
    sides = {"train": splits.train, "val": splits.val}
    arrays = {name: np.empty((len(split), layout.total), dtype=np.float32) for name, split in sides.items()}
    parts = [_Part(name, split, start) for name, split in sides.items() for start in range(0, len(split), ROWS)]
    done, total = 0, sum(map(len, sides.values()))
    for part, offset, rows in _rows(parts, models, device=device, workers=workers, should_stop=should_stop):
        start = part.start + offset
        arrays[part.name][start : start + len(rows)] = rows
        done += len(rows)
        reporter.progress(done, total, what="backbone pass")
    return arrays


@dataclass(frozen=True, eq=False)
class _Part:
    """Some rows of a split, from ``start`` on."""

    name: str
    split: Split
    start: int


def _rows(
    parts: Sequence[_Part],
    models: Mapping[str, Tapped],
    *,
    device: torch.device,
    workers: int,
    should_stop: Callable[[], bool],
) -> Iterator[tuple[_Part, int, NDArray[np.float32]]]:
    """Each part's rows batch by batch, with the batch's place in the part; on a CPU ``workers`` parts at a time."""
    if device.type != "cpu":
        for part in parts:
            for offset, rows in _tap_batches(models, part, device):
                if should_stop():
                    raise Stopped
                yield part, offset, rows
        return

    def work(part: _Part, send: Send) -> None:
        for batch in _tap_batches(models, part, device):
            send(batch)

    for event in run_forked(parts, work, workers=workers, should_stop=should_stop):
        if isinstance(event, Died):
            raise MmfuseError(f"the pass of the backbones over {event.job.name} failed: {event.reason}")
        if isinstance(event, Message):
            yield event.job, *event.content


@torch.no_grad()
def _tap_batches(
    models: Mapping[str, Tapped], part: _Part, device: torch.device
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    stop = min(part.start + ROWS, len(part.split))
    for start in range(part.start, stop, BATCH):
        index = torch.arange(start, min(start + BATCH, stop), device=part.split.target.device)
        inputs = part.split.batch(index).to(device).inputs
        taps = [tap for modality, model in models.items() for tap in model.taps(inputs[modality])]
        yield start - part.start, torch.cat(taps, dim=1).cpu().numpy()


def _standardised(arrays: Arrays, dtype: TapType) -> Arrays:
    """The raw rows (in 32 bits, overwritten) standardised as ``dtype``, and what they were standardised by."""
    train = arrays["train"]
    mean, std = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    # A feature that never changes says nothing; it becomes 0 and not a division by 0.
    shift, scale = mean.astype(np.float32), np.where(std > 1e-6, std, 1.0).astype(np.float32)
    made: Arrays = {"mean": shift, "std": scale}
    for name, rows in arrays.items():
        made[name] = rows if dtype == "float32" else np.empty(rows.shape, dtype=dtype)
        for start in range(0, len(rows), ROWS):
            part = slice(start, start + ROWS)
            made[name][part] = (rows[part] - shift) / scale
    return made


def _read(path: Path, layout: TapLayout, splits: Splits, dtype: TapType) -> Arrays | None:
    """What the file holds; None where there is none, or one that cannot be used."""
    shapes = {
        "train": (len(splits.train), layout.total),
        "val": (len(splits.val), layout.total),
        "mean": (layout.total,),
        "std": (layout.total,),
    }
    if not path.is_file():
        return None
    try:
        with path.open("rb") as content:
            whole = content.read(hashlib.sha256().digest_size) == _digest(content)
        if not whole:
            logger.warning("the tap cache %s is damaged and made anew", path)
            return None
        with h5py.File(path, "r") as file:
            arrays: Arrays = {name: file[name][()] for name in shapes}
    except (OSError, KeyError) as error:
        logger.warning("the tap cache %s cannot be read (%s) and is made anew", path, error)
        return None
    if {name: array.shape for name, array in arrays.items()} != shapes or arrays["train"].dtype != dtype:
        logger.warning("the tap cache %s has other shapes than wanted and is made anew", path)
        return None
    return arrays


def _write(path: Path, arrays: Arrays) -> None:
    temporary = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_partial(path.parent)
        _reserve(temporary, sum(array.nbytes for array in arrays.values()))
        with h5py.File(temporary, "w", userblock_size=USER_BLOCK) as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array)
        with temporary.open("rb+") as written:
            digest = _digest(written)
            written.seek(0)
            written.write(digest)
            written.flush()
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:  # a cache: the search goes on without it
        logger.warning("the taps could not be kept in %s: %s", path, error)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _reserve(path: Path, size: int) -> None:
    """Fail here if the disk has no room: HDF5, when it learns of it while closing a file, may end the process.

    Raises:
        OSError: there is no room for ``size`` bytes and what HDF5 adds to them.
    """
    if hasattr(os, "posix_fallocate"):  # macOS has it not
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size + HDF5_OVERHEAD)


def _digest(file: BufferedReader | BufferedRandom) -> bytes:
    """Of everything behind the first `USER_BLOCK` bytes, at whose beginning it stands itself."""
    file.seek(USER_BLOCK)
    return hashlib.file_digest(file, "sha256").digest()
