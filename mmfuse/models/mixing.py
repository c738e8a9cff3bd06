"""FuseMix's augmentation: blend two pairs of latents by one share, the same in every modality.

"Data-Efficient Multimodal Fusion on a Single GPU" (arXiv 2312.10144), algorithm 1. The shared share is the point: a
blended image latent and a text latent blended alike are still partners. Latents are blended raw, before adapters and
without being normalised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.distributions import Beta

from mmfuse.latents import AnyLatentBatch


@dataclass(frozen=True)
class Blend:
    """B pairs that are made when they are wanted: ``share`` x ``first`` + (1 - ``share``) x ``second``.

    ``share`` is a scalar, or (B, 1); ``first`` and ``second`` (B,) are positions in ``batch``; without ``second``
    pairs stay what they are. Gaussian noise of deviation ``noise`` is added last.
    """

    batch: AnyLatentBatch
    first: Tensor
    second: Tensor | None = None
    share: Tensor | None = None
    noise: float = 0.0

    def __len__(self) -> int:
        return len(self.first)

    def part(self, start: int, stop: int) -> Mapping[str, Tensor]:
        """Latents (stop - start, D) of some of the pairs, float32; noise is drawn from the global generator."""
        return {name: self._made(name, slice(start, stop)) for name in self.batch.names}

    def with_noise(self, deviation: float) -> Blend:
        """The same pairs with Gaussian noise."""
        return replace(self, noise=deviation)

    def keys(self, labels: Tensor) -> Tensor:
        """(B,) numbers, equal for pairs whose ``labels`` (N,), one for each pair of the batch, are the same blend."""
        labels = labels.long()
        first = labels.index_select(0, self.first)
        if self.second is None:
            return first
        return first * (labels.max() + 1) + labels.index_select(0, self.second)

    def _made(self, name: str, part: slice) -> Tensor:
        made = self.batch.rows(name, self.first[part]).float()
        if self.second is not None and self.share is not None:
            share = self.share if self.share.ndim == 0 else self.share[part]
            made = torch.lerp(self.batch.rows(name, self.second[part]).float(), made, share)
        return made if not self.noise else made + self.noise * torch.randn_like(made)


def blend_halves(batch: AnyLatentBatch, *, alpha: float, each: bool) -> Blend:
    """Half as many pairs: pair i is blended with pair i + B, so never with itself (the released code).

    ``alpha`` is both parameters of the beta distribution of the share; ``each`` draws one share per pair, otherwise
    there is one for the batch (the released code).
    """
    count = len(batch.index) // 2
    places = torch.arange(2 * count, device=batch.index.device)
    return _shared(Blend(batch, places[:count], places[count:]), alpha=alpha, each=each)


def blend_permuted(batch: AnyLatentBatch, *, alpha: float, each: bool) -> Blend:
    """As many pairs: each is blended with another (or, one time in B, with itself)."""
    places = torch.arange(len(batch.index), device=batch.index.device)
    other = torch.randperm(len(places), device=places.device)
    return _shared(Blend(batch, places, other), alpha=alpha, each=each)


def unblended(batch: AnyLatentBatch) -> Blend:
    """The pairs as they are."""
    return Blend(batch, torch.arange(len(batch.index), device=batch.index.device))


def alpha_at(progress: float, *, first: float, last: float, curve: str) -> float:
    """Alpha after a share ``progress`` of the epochs, on its way from ``first`` to ``last``: "cosine" or "exponential".

    The published recipe goes from 1 to 1.
    """
    if curve == "exponential":
        return float(first ** (1 - progress) * last**progress)
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


def _shared(blend: Blend, *, alpha: float, each: bool) -> Blend:
    """``blend`` with shares drawn on the device."""
    concentration = torch.full((), alpha, device=blend.first.device)
    size = (len(blend), 1) if each else ()
    share = Beta(concentration, concentration, validate_args=False).sample(size)
    return replace(blend, share=share)
