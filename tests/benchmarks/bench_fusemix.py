"""A FuseMix step at the published batch of 20,480 blends, beside the dense loss fed by a data loader, as published.

Sizes: published adapters have latents of 1,536 and 1,024 numbers, 4 blocks and embeddings of 512. Here all widths are a
sixteenth of that (96, 64, 32), which a CPU can do; the batch, and so the similarities, is not scaled. Theirs goes
through a loader that hands out pair by pair and embeds the whole batch at once. It computes v tᵀ once; the release
computes it twice and keeps both, which would take 18 GB. Handling of data alone is measured beside a loader with a
worker process, as the release runs it, and beside one without, which is quicker where a batch is one of two. At the
published widths copying the latents, 5 KB a pair, is all that is left of it, and memory sets the pace.
"""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import torch
from sidebyside import Ratio, in_turns
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from mmfuse.architecture import Architecture
from mmfuse.data.latent_readers import choose_mode
from mmfuse.latents import LatentBatch, LatentPairs, LatentSplits, ResidentReader
from mmfuse.models.assemble import build_model
from mmfuse.models.fusemix import FuseMix
from mmfuse.models.mixing import blend_halves
from mmfuse.report import NullReporter
from mmfuse.spec import FitOptions
from mmfuse.task import Modality, Task
from mmfuse.training.contrastive import Contrastive, Reading
from mmfuse.training.optimiser import make_adamw
from mmfuse.training.progress import Position

CPU = torch.device("cpu")
CHUNK = 2048
"""Pairs that training handles at a time (the default of ``chunk``)."""


class PairByPair(Dataset[dict[str, Tensor]]):
    """What the release's loader does: look every pair up in a dictionary of single 32-bit latents."""

    def __init__(self, pairs: LatentPairs) -> None:
        self.latents = {
            name: {str(row): values[row].float() for row in range(len(values))}
            for name, values in pairs.latents.items()
        }
        self.count = len(pairs)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: rows[str(index)] for name, rows in self.latents.items()}


def measure(*, quick: bool = False) -> list[Ratio]:
    """Seconds and peak memory of a step; seconds of getting at the data."""
    torch.set_num_threads(1)
    batch = 64 if quick else 20_480
    splits = _splits(2 * batch, image=96, text=64)
    ours, theirs = _ours(splits, batch), _theirs(splits, batch)
    name = f"FuseMix step, batch {batch:,}"
    slim, wide = _peak(ours), _peak(theirs)
    seconds, dense_seconds = in_turns(ours, theirs, rounds=1)
    reading = _seconds_of(lambda: _select(splits.train, 2 * batch))
    return [
        Ratio(f"{name}: memory / dense", slim, wide, goal=0.2, unit="B"),
        Ratio(f"{name}: time / dense", seconds, dense_seconds, goal=1.0),
        Ratio(f"{name}: getting the data / all of it", reading, seconds, goal=0.02),
        _epochs(pairs=2 * batch, image=96, text=64, workers=1, goal=50.0),
        _epochs(pairs=2 * batch, image=96, text=64, workers=0, goal=20.0),
        _epochs(pairs=2 * batch, image=1536, text=1024, workers=1, goal=20.0),
        _epochs(pairs=2 * batch, image=1536, text=1024, workers=0, goal=10.0),
    ]


def _epochs(*, pairs: int, image: int, text: int, workers: int, goal: float) -> Ratio:
    """An epoch's latents: index selections beside a loader."""
    latents = _splits(pairs, image=image, text=text).train
    loader = DataLoader(PairByPair(latents), batch_size=pairs // 2, shuffle=True, drop_last=True, num_workers=workers)
    ours, theirs = in_turns(
        lambda: _select(latents, pairs // 2), lambda: _exhaust(iter(loader)), rounds=1 if pairs < 1000 else 3
    )
    name = f"resident epoch, {pairs:,} x {image}+{text} / data loader, worker processes: {workers}"
    return Ratio(name, ours, theirs, goal=goal, quicker=True)


def _select(pairs: LatentPairs, size: int) -> None:
    """An epoch's latents as training takes them: a new order, and of every batch a chunk at a time."""
    reader = ResidentReader(pairs, device=CPU)
    for batch in reader.read(reader.order(0), size=size):
        for places in torch.arange(len(batch.index)).split(CHUNK):
            for name in batch.names:
                batch.rows(name, places)


def _ours(splits: LatentSplits, batch: int) -> Callable[[], None]:
    """One step of the engine's own method."""
    model = _model(splits)
    options = FitOptions(batch_size=batch, weight_decay=0.1)
    reading = Reading(choose_mode(splits.train, device=CPU), "full")
    method = Contrastive(splits, model.params, options, seed=0, reading=reading, reporter=NullReporter())
    optimiser = method.begin(model, CPU, rank=0, ranks=1)

    def step() -> None:
        for given in method.batches(Position):
            optimiser.zero_grad(set_to_none=True)
            method.loss(given)
            optimiser.step()

    return step


def _theirs(splits: LatentSplits, batch: int) -> Callable[[], None]:
    """One step with everything in memory at once."""
    model = _model(splits)
    optimiser = make_adamw(model, learning_rate=1e-3, weight_decay=0.1)
    loader = DataLoader(PairByPair(splits.train), batch_size=2 * batch, shuffle=True, drop_last=True)
    right = torch.arange(batch)

    def step() -> None:
        for latents in loader:
            blend = blend_halves(LatentBatch(latents, torch.arange(2 * batch)), alpha=1.0, each=False)
            image, text = model.embed(blend.part(0, batch)).values()
            similarity = (image / model.temperature) @ text.T
            optimiser.zero_grad(set_to_none=True)
            ((F.cross_entropy(similarity, right) + F.cross_entropy(similarity.T, right)) / 2).backward()
            optimiser.step()

    return step


def _model(splits: LatentSplits) -> FuseMix:
    torch.manual_seed(0)
    return cast(FuseMix, build_model(Architecture("fusemix", {"embed": 32}), splits.task)).train()


def _splits(pairs: int, **dims: int) -> LatentSplits:
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(pairs, dtype=torch.int32)
    made = LatentPairs(
        names=tuple(dims),
        latents={name: torch.randn(pairs, dim, generator=generator).half() for name, dim in dims.items()},
        pairs=torch.stack([rows] * len(dims), dim=1),
        fingerprint="benchmark",
        label="benchmark",
    )
    modalities = tuple(Modality(name, "vector", (dim,)) for name, dim in dims.items())
    return LatentSplits(Task("bench", "retrieval", modalities, 0, "r_mean"), made, made, lambda: made)


def _exhaust(batches: Iterator[object]) -> None:
    for _ in batches:
        pass


def _seconds_of(work: Callable[[], None]) -> float:
    work()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _peak(work: Callable[[], None]) -> float:
    """Bytes of memory that ``work`` needs at its highest beyond what was there before."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # memory that is free but not given back would hide what is taken
    Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmRSS")
    work()
    return max(1.0, _memory("VmHWM") - before)


def _memory(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return 1024.0 * int(line.split()[1])


if __name__ == "__main__":
    print(*measure(), sep="\n")
