"""Where randomness comes from: counters, never the state of a generator.

The order of the samples is a function of (seed, epoch), what happens inside a step of (seed, step), a trial's seed of
(run seed, trial number). So there is no generator to save, and a run that was stopped, killed or reordered draws the
numbers it would have drawn anyway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mmfuse.architecture import canonical_json


def derive_seed(*parts: str | int | float | bool | None) -> int:
    """A seed of 63 bits for what ``parts`` name, such as ``derive_seed(run_seed, "trial", 7)``.

    Parts of different types or counts never give the same text: ``(1, 23)``, ``(12, 3)`` and ``("1", 23)`` differ.
    """
    digest = hashlib.sha256(canonical_json(list(parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def epoch_order(samples: int, *, seed: int, epoch: int) -> Tensor:
    """The order in which ``epoch`` visits the samples: a permutation (N,) on the CPU, the same on every machine."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "epoch", epoch))
    return torch.randperm(samples, generator=generator)


def seed_step(seed: int, step: int, *, device: torch.device, rank: int = 0) -> None:
    """Start the randomness of optimiser step ``step`` (dropout, masks, noise) afresh, on the CPU and on ``device``.

    Cheap enough for the smallest step (5 µs): `torch.manual_seed` would visit every backend.
    """
    value = derive_seed(seed, "step", step, rank)
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.default_generators[_index(device)].manual_seed(value)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Build something random, such as a model's weights, under ``seed`` and leave the caller's randomness untouched."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index
