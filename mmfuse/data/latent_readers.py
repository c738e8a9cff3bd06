"""How latents get to where training computes: all of them at once, batch by batch from memory, or from the file.

- *resident*: everything lies on the device. Costs nothing per step; taken whenever it fits.
- *host*: everything lies in memory; a thread gathers the next batch while the device works on the present one.
- *stream*: latents stay in the file and are read in large sorted pieces. Pairs are shuffled in blocks of neighbours, so
  that one piece is wanted by many pairs: 64 blocks of 256 pairs are drawn at random and shuffled among themselves. That
  is coarser than a full shuffle, so the two give different orders for one seed; given the same order, all three readers
  give the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor

from mmfuse.latents import LatentBatch, LatentPairs, LatentReader, ResidentReader, full_order

Mode = Literal["resident", "host", "stream"]
Piece = TypeVar("Piece")

MARGIN = 1.15
"""Memory that must be free per byte of latents before they are all loaded."""
BLOCK_PAIRS = 256
BUFFER_BLOCKS = 64


@dataclass(frozen=True)
class Choice:
    """Which reader is taken, and the bytes that decided it; ``sentence`` is for a run's notes."""

    mode: Mode
    needed: int
    device_free: int
    host_free: int

    @property
    def sentence(self) -> str:
        """Mode and reason in words."""
        return (
            f"{self.mode}: latents need {_size(self.needed)}, free are {_size(self.device_free)} on the device "
            f"and {_size(self.host_free)} in memory"
        )


def choose_mode(pairs: LatentPairs, *, device: torch.device, beside: int = 0) -> Choice:
    """The quickest reader that fits into what is free now, ``beside`` so many bytes that training will take."""
    host = available_memory()
    free = int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else host
    needed = int(pairs.nbytes * MARGIN) + beside
    mode: Mode = "resident" if needed < free else "host" if device.type != "cpu" and needed < host else "stream"
    return Choice(mode, pairs.nbytes, free, host)


def open_reader(pairs: LatentPairs, *, device: torch.device, mode: Mode | None = None) -> LatentReader:
    """The reader called ``mode``, or the one `choose_mode` takes."""
    chosen = mode or choose_mode(pairs, device=device).mode
    if chosen == "resident":
        return ResidentReader(in_memory(pairs) if device.type == "cpu" else pairs, device=device)
    return HostReader(pairs, device=device) if chosen == "host" else StreamReader(pairs, device=device)


def in_memory(pairs: LatentPairs) -> LatentPairs:
    """The same pairs, latents that were mapped from a file copied into memory."""
    return replace(
        pairs,
        latents={name: values.clone() for name, values in pairs.latents.items()},
        scales={name: values.clone() for name, values in pairs.scales.items()},
    )


class HostReader:
    """Latents in (pinned) memory; batches are gathered there one ahead of the device."""

    mode = "host"

    def __init__(self, pairs: LatentPairs, *, device: torch.device) -> None:
        self.pairs = in_memory(pairs)
        self.device = device

    def order(self, seed: int) -> Tensor:
        """A uniform permutation, the same as the resident reader's."""
        return full_order(len(self.pairs), seed=seed)

    def read(self, order: Tensor, *, size: int) -> Iterator[LatentBatch]:
        """Batches on the device; copies overlap with computing."""
        for batch in ahead(order.split(size), self._gather):
            yield _moved(batch, self.device)

    def _gather(self, index: Tensor) -> LatentBatch:
        chosen = self.pairs.pairs.index_select(0, index)
        latents = {name: self.pairs.items(name, chosen[:, column]) for column, name in enumerate(self.pairs.names)}
        return _pinned(LatentBatch(latents, index), self.device)


def block_order(count: int, *, seed: int) -> Tensor:
    """Blocks of neighbours among ``count`` pairs in random order, shuffled within each `BUFFER_BLOCKS` of them."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.arange(count).split(BLOCK_PAIRS)
    drawn = torch.randperm(len(blocks), generator=generator).tolist()
    pieces = [torch.cat([blocks[number] for number in part]) for part in _cut(drawn, BUFFER_BLOCKS)]
    return torch.cat([piece[torch.randperm(len(piece), generator=generator)] for piece in pieces])


class StreamReader:
    """Latents in the file; a thread reads the next piece while the present one is used up.

    Memory: two pieces, each of at least `BUFFER_BLOCKS` blocks of pairs and at least two batches.
    """

    mode = "stream"

    def __init__(self, pairs: LatentPairs, *, device: torch.device) -> None:
        self.pairs = pairs
        self.device = device

    def order(self, seed: int) -> Tensor:
        """Pairs shuffled in blocks, so that a piece of the file is wanted by many of them."""
        return block_order(len(self.pairs), seed=seed)

    def read(self, order: Tensor, *, size: int) -> Iterator[LatentBatch]:
        """Batches on the device, cut from pieces that are whole multiples of ``size``."""
        batches = max(2, BLOCK_PAIRS * BUFFER_BLOCKS // size)
        for piece in ahead(order.split(size * batches), self._load):
            for start in range(0, len(piece.index), size):
                yield _moved(_pinned(piece.cut(start, start + size), self.device), self.device)

    def _load(self, index: Tensor) -> _LoadedPiece:
        """Each item that the pairs ``index`` want, read once and in the file's order."""
        chosen = self.pairs.pairs.index_select(0, index)
        latents, places = {}, {}
        for column, name in enumerate(self.pairs.names):
            rows, places[name] = torch.unique(chosen[:, column], sorted=True, return_inverse=True)
            latents[name] = self.pairs.items(name, rows)
        return _LoadedPiece(latents, places, index)


@dataclass(frozen=True)
class _LoadedPiece:
    """Items by modality (U_m, D_m), each pair's place among them (P,), and the pairs' positions (P,)."""

    latents: dict[str, Tensor]
    places: dict[str, Tensor]
    index: Tensor

    def cut(self, start: int, stop: int) -> LatentBatch:
        latents = {name: items.index_select(0, self.places[name][start:stop]) for name, items in self.latents.items()}
        return LatentBatch(latents, self.index[start:stop])


def ahead(parts: tuple[Tensor, ...], make: Callable[[Tensor], Piece]) -> Iterator[Piece]:
    """``make`` of each part, in order, in a thread that is one part ahead of whoever asks."""
    if not parts:
        return
    with ThreadPoolExecutor(1, thread_name_prefix="latents") as worker:
        following = worker.submit(make, parts[0])
        for part in parts[1:]:
            piece, following = following.result(), worker.submit(make, part)
            yield piece
        yield following.result()


def available_memory() -> int:
    """Bytes of memory that can be had without swapping, within the limits of the control group this process is in."""
    free = _meminfo("MemAvailable")
    limit, used = _number(Path("/sys/fs/cgroup/memory.max")), _number(Path("/sys/fs/cgroup/memory.current"))
    return free if limit is None or used is None else max(0, min(free, limit - used))


def _meminfo(field: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def _number(path: Path) -> int | None:
    """The number in a control file; None where there is none ("max", or no such file)."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _pinned(batch: LatentBatch, device: torch.device) -> LatentBatch:
    if device.type != "cuda":
        return batch
    return LatentBatch({name: values.pin_memory() for name, values in batch.latents.items()}, batch.index.pin_memory())


def _moved(batch: LatentBatch, device: torch.device) -> LatentBatch:
    latents = {name: values.to(device, non_blocking=True) for name, values in batch.latents.items()}
    return LatentBatch(latents, batch.index.to(device, non_blocking=True))


def _cut(values: list[int], size: int) -> Iterator[list[int]]:
    for first in range(0, len(values), size):
        yield values[first : first + size]


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
