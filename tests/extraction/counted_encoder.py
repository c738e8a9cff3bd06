"""An encoder of words without any library, and a collection of numbered pictures for it."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from mmfuse.data.latents_layout import EncoderIdentity
from mmfuse.data.latents_pairs import PairTable
from mmfuse.extraction.collection import Collection
from mmfuse.extraction.encoder import Encoder, UnreadableItem


def collection(count: int = 40, *, missing: tuple[int, ...] = ()) -> Collection:
    items = [f"{'missing' if n in missing else 'picture'} {n}" for n in range(count)]
    pairs = np.stack([np.arange(count), np.arange(count)], axis=1).astype(np.int32)
    ids = tuple(items)
    splits = {"train": pairs[: count // 2], "val": pairs[count // 2 : -5], "test": pairs[-5:]}
    return Collection(PairTable("numbered", {"image": ids, "text": ids}, splits), {"image": items, "text": items})


def encoder(weights: str = "0" * 16) -> Encoder:
    def prepare(item: str) -> Tensor:
        if item.startswith("missing"):
            raise UnreadableItem(item)
        seed = int.from_bytes(hashlib.sha256(item.encode()).digest()[:4], "big")
        return torch.from_numpy(np.random.default_rng(seed).standard_normal(12).astype(np.float32))

    identity = EncoderIdentity("counted", weights, "none", False, {"hash": "sha256"})
    return Encoder(identity, 12, prepare=prepare, forward=lambda items: torch.stack(list(items)))
