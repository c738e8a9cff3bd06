"""A frozen encoder as extraction sees it: one item prepared at a time, many encoded at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmfuse.data.latents_layout import EncoderIdentity


class UnreadableItem(Exception):
    """An item that is absent or damaged; it is skipped, counted and named."""


@dataclass(frozen=True)
class Encoder:
    """Turns items of one modality into vectors.

    ``prepare`` makes of one item (a path, a caption, a tensor) what the network is fed, in any thread, and raises
    `UnreadableItem`; ``forward`` makes vectors (n, dim) of n prepared items. Vectors do not depend on which items are
    encoded together, up to rounding.
    """

    identity: EncoderIdentity
    dim: int
    prepare: Callable[[Any], Any]
    forward: Callable[[Sequence[Any]], Tensor]

    def encode(self, prepared: Sequence[Any]) -> Tensor:
        """Vectors (n, dim), float32, on the CPU; n may be 0."""
        if not prepared:
            return torch.empty(0, self.dim)
        with torch.inference_mode():
            return self.forward(prepared).float().cpu()


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real tokens: tokens (n, T, d), mask (n, T) that is nonzero where a token is real -> (n, d)."""
    weights = mask.to(tokens.dtype).unsqueeze(2)
    return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)


def unit_length(vectors: Tensor) -> Tensor:
    """Vectors (n, d) scaled to length 1."""
    return torch.nn.functional.normalize(vectors, dim=1)
