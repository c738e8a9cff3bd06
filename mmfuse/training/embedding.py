"""The embeddings of every item that a set of pairs names, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmfuse.errors import Stopped
from mmfuse.latents import LatentPairs
from mmfuse.models.fusemix import FuseMix
from mmfuse.retrieval import class_metrics, retrieval_metrics

BATCH = 4096


@dataclass(frozen=True)
class Embedded:
    """Embeddings (N_m, E) by modality, 32-bit; ``pairs`` (P, M) are rows of these, ``classes`` (P,) as given."""

    items: Mapping[str, Tensor]
    pairs: Tensor
    classes: Tensor | None

    @property
    def partners(self) -> dict[str, Tensor]:
        """Embeddings (P, E) by modality, row by row partners."""
        return {name: values.index_select(0, self.pairs[:, m]) for m, (name, values) in enumerate(self.items.items())}

    def metrics(self) -> dict[str, float]:
        """Retrieval of partners or, where pairs share nothing but a class, of the class."""
        if self.classes is None:
            return retrieval_metrics(self.items, self.pairs)
        return class_metrics(self.partners, self.classes)


@torch.no_grad()
def embed_pairs(
    model: FuseMix, pairs: LatentPairs, *, device: torch.device, should_stop: Callable[[], bool] = lambda: False
) -> Embedded:
    """Embed what ``pairs`` name, in evaluation mode; the model is left in the mode it was in.

    Raises:
        Stopped: between two batches, once ``should_stop`` says so.
    """
    was_training = model.training
    model.eval()
    items, columns = {}, []
    try:
        for column, name in enumerate(pairs.names):
            rows, places = pairs.pairs[:, column].unique(return_inverse=True)
            made = []
            for part in torch.split(rows, BATCH):
                if should_stop():
                    raise Stopped
                made.append(model.embed({name: pairs.items(name, part).float().to(device)})[name])
            items[name] = torch.cat(made)
            columns.append(places.to(device))
    finally:
        model.train(was_training)
    classes = pairs.classes.to(device) if pairs.classes is not None else None
    return Embedded(items, torch.stack(columns, dim=1), classes)
