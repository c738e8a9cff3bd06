"""What a fused latent space is worth on a split: recalls with intervals, and what a linear model reads from it.

A model may be measured on other pairs than it was trained on (that is what zero-shot means), but only on latents of
the encoders it was trained on. The release loads whatever it is given, another model's checkpoint included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

import torch
from torch import Tensor

from mmfuse.errors import BadSpec, CheckpointMismatch, unknown_name
from mmfuse.evaluation.probe import probe_accuracy
from mmfuse.evaluation.significance import Interval, clustered_intervals
from mmfuse.latents import LatentPairs, LatentSplits
from mmfuse.models.fusemix import FuseMix
from mmfuse.retrieval import CUTS, class_hits, class_map, gold_ranks
from mmfuse.training.checkpoint import Checkpoint, load_checkpoint, rebuild_model
from mmfuse.training.collapse import diagnose
from mmfuse.training.embedding import Embedded, embed_pairs


@dataclass(frozen=True)
class RetrievalEvaluation:
    """Metrics by bare name on ``samples`` pairs, intervals of those that are means over queries.

    ``hits`` hold what `intervals` resample: by metric one value per query, and which cluster each query is of: the
    item of the first modality that it belongs to, since five captions of one image are not five independent queries.
    """

    split: str
    samples: int
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    zero_shot: bool
    hits: Mapping[str, tuple[Tensor, Tensor]] = field(repr=False, compare=False)


def evaluate_retrieval(
    checkpoint: Checkpoint | Path, splits: LatentSplits, *, split: str = "test", device: torch.device, draws: int = 0
) -> RetrievalEvaluation:
    """Measure ``checkpoint`` (or the one at that path) on ``split``: train, val or test.

    ``draws`` resamples make 95 % intervals; with none there are no intervals.

    Raises:
        CheckpointMismatch: when it was trained on latents of other encoders; the split is then not opened.
        UnknownName: when there is no such split.
    """
    if isinstance(checkpoint, Path):
        checkpoint = load_checkpoint(checkpoint)
    check_encoders(checkpoint, splits)
    pairs = _open(splits, split)
    pairs.check()
    model = rebuild_model(checkpoint).to(device)
    assert isinstance(model, FuseMix)
    embedded = embed_pairs(model, pairs, device=device)
    hits = _class_hits(embedded) if embedded.classes is not None else _pair_hits(embedded)
    metrics = {**embedded.metrics(), **diagnose(embedded.partners), "temperature": model.temperature.item()}
    if embedded.classes is not None:
        metrics |= _class_maps(embedded)
        if len(splits.train):
            metrics["probe_accuracy"] = _probe(embedded, embed_pairs(model, splits.train, device=device))
    return RetrievalEvaluation(
        split=split,
        samples=len(pairs),
        metrics=metrics,
        intervals=clustered_intervals(hits, draws=draws) if draws else {},
        zero_shot=checkpoint.fingerprint != splits.fingerprint,
        hits=hits,
    )


def check_encoders(checkpoint: Checkpoint, splits: LatentSplits) -> None:
    """See that ``checkpoint`` knows the latents in ``splits``.

    Raises:
        BadSpec: when it holds no model of latents.
        CheckpointMismatch: naming the modality and both encoders.
    """
    if checkpoint.task.kind != "retrieval":
        raise BadSpec(
            f"{checkpoint.architecture.key} was trained for a {checkpoint.task.kind} task, not for retrieval",
            "mmfuse eval checkpoint measures it",
        )
    known: Mapping[str, str] = checkpoint.provenance.get("encoders", {})
    trained = {modality.name: modality.shape[0] for modality in checkpoint.task.modalities}
    if trained.keys() != splits.train.dims.keys():
        raise CheckpointMismatch(
            f"the checkpoint was trained on {', '.join(trained)}, {splits.label} has {', '.join(splits.train.dims)}"
        )
    for name, dim in splits.train.dims.items():
        was, now = known.get(name, ""), splits.encoders.get(name, "")
        if trained[name] != dim or (was and now and was != now):
            raise CheckpointMismatch(
                f"the checkpoint was trained on {name} latents of {was or 'an encoder'} ({trained[name]} numbers), "
                f"{splits.label} holds those of {now or 'another'} ({dim})",
                "extract this dataset's latents with the same encoders, or train anew",
            )


def _pair_hits(embedded: Embedded) -> dict[str, tuple[Tensor, Tensor]]:
    """By recall one 0 or 1 per query, and each query's cluster."""
    names, found = list(embedded.items), {}
    for one, other in permutations(range(len(names)), 2):
        queries, candidates = embedded.items[names[one]], embedded.items[names[other]]
        ranks = gold_ranks(queries, candidates, embedded.pairs[:, [one, other]])
        cluster = torch.zeros_like(ranks).scatter_(0, embedded.pairs[:, one], embedded.pairs[:, 0])
        for cut in CUTS:
            found[f"{names[one]}_to_{names[other]}_r{cut}"] = ((ranks <= cut).double().cpu(), cluster.cpu())
    return found


def _class_hits(embedded: Embedded) -> dict[str, tuple[Tensor, Tensor]]:
    assert embedded.classes is not None
    found, partners = {}, embedded.partners
    for one, other in permutations(partners, 2):
        hits = class_hits(partners[one], partners[other], embedded.classes, embedded.classes)
        found[f"{one}_to_{other}_p1"] = (hits.cpu(), torch.arange(len(hits)))
    return found


def _class_maps(embedded: Embedded) -> dict[str, float]:
    """MAP@R of every direction."""
    classes, partners = embedded.classes, embedded.partners
    assert classes is not None
    return {
        f"{one}_to_{other}_map_r": float(class_map(partners[one], partners[other], classes, classes).mean())
        for one, other in permutations(partners, 2)
    }


def _probe(embedded: Embedded, train: Embedded) -> float:
    """Accuracy of a linear probe on partners' embeddings side by side, fitted on training pairs."""
    assert embedded.classes is not None
    assert train.classes is not None
    seen, shown = (torch.cat(list(part.partners.values()), dim=1) for part in (train, embedded))
    return probe_accuracy(seen, train.classes, shown, embedded.classes)


def _open(splits: LatentSplits, name: str) -> LatentPairs:
    openers = {"train": lambda: splits.train, "val": lambda: splits.val, "test": splits.open_test}
    if name not in openers:
        raise unknown_name("split", name, openers)
    return openers[name]()
