"""An extraction as a run: from its spec to a file of latents and what there is to tell about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmfuse.batch import Splits
from mmfuse.encoding import CHECKPOINT
from mmfuse.errors import BadSpec
from mmfuse.extraction.collection import Collection
from mmfuse.extraction.encoder import Encoder
from mmfuse.extraction.extract import Extracted, default_path, extract
from mmfuse.extraction.tensors import collect
from mmfuse.options import parse_options
from mmfuse.registry import COLLECTIONS, DATASETS, ENCODERS
from mmfuse.report import Reporter
from mmfuse.spec import ExtractSpec
from mmfuse.training.checkpoint import check_data, load_checkpoint


def extract_items(
    spec: ExtractSpec,
    *,
    data_root: Path,
    device: torch.device,
    workers: int,
    reporter: Reporter,
    should_stop: Callable[[], bool],
) -> dict[str, Any]:
    """Do what ``spec`` says; the result as plain JSON.

    Raises:
        Stopped: at a safe point after ``should_stop()`` became true; calling again goes on from there.
        MmfuseError: when items, encoder or file are not what they should be.
    """
    encoder_options = parse_options(ENCODERS.declaration(spec.encoder).Options, spec.options, what=spec.encoder)
    collection = _collection(spec, data_root, reporter)
    table = collection.table
    reporter.note(
        "collection",
        name=table.name,
        items={name: len(ids) for name, ids in table.ids.items()},
        pairs={split: len(rows) for split, rows in table.splits.items()},
        stand_in=table.stand_in,
        left_out=list(collection.complaints),
    )
    for complaint in collection.complaints:
        reporter.note("left out", sentence=complaint)
    encoder = _encoder(spec, device)
    path = (
        Path(spec.output)
        if spec.output
        else default_path(data_root, spec.dataset, spec.modality, _spelled(spec, encoder))
    )
    extracted = extract(
        collection,
        spec.modality,
        encoder,
        path,
        storage=spec.storage,
        batch_size=encoder_options.batch_size,
        workers=workers,
        progress=reporter.progress,
        should_stop=should_stop,
    )
    result = _told(spec, extracted, collection)
    if extracted.sentence:
        reporter.note("skipped", sentence=extracted.sentence)
    reporter.note("latents", **{name: value for name, value in result.items() if name != "metrics"})
    return result


def _collection(spec: ExtractSpec, data_root: Path, reporter: Reporter) -> Collection:
    if spec.dataset in COLLECTIONS.names():
        if spec.class_paired:
            raise BadSpec(f"pairs of {spec.dataset} belong together, they share more than a class")
        module = COLLECTIONS.get(spec.dataset)
        options = parse_options(module.Options, spec.data, what=f"collection {spec.dataset}")
        collection: Collection = module.read(data_root, options)
        return collection
    module = DATASETS.get(spec.dataset)
    options = parse_options(module.Options, spec.data, what=f"dataset {spec.dataset}")
    splits = module.load(data_root, options, progress=reporter.progress)
    if not isinstance(splits, Splits):
        raise BadSpec(f"{spec.dataset} holds latents already", "extract what they were made of")
    check_data(load_checkpoint(Path(spec.options["path"])), splits)
    return collect(splits, class_paired=spec.class_paired)


def _encoder(spec: ExtractSpec, device: torch.device) -> Encoder:
    module = ENCODERS.get(spec.encoder)
    options = parse_options(module.Options, spec.options, what=f"encoder {spec.encoder}")
    which = spec.modality if spec.encoder == CHECKPOINT else spec.size
    encoder: Encoder = module.open_encoder(which, options, device=device)
    return encoder


def _spelled(spec: ExtractSpec, encoder: Encoder) -> str:
    """The encoder in a file's name: published ones by name, our own by architecture and weights."""
    own = spec.encoder == CHECKPOINT
    return f"{encoder.identity.name}-{encoder.identity.weights[:8]}" if own else encoder.identity.name


def _told(spec: ExtractSpec, extracted: Extracted, collection: Collection) -> dict[str, Any]:
    return {
        "dataset_label": f"{spec.dataset} (stand-in)" if collection.table.stand_in else spec.dataset,
        "fingerprint": collection.table.digest[:16],
        "stand_in": collection.table.stand_in,
        "file": str(extracted.path),
        "items": extracted.items,
        "dim": extracted.dim,
        "encoder": f"{extracted.encoder}@{extracted.encoder_sha}",
        "found_again": extracted.found_again,
        "skipped": len(extracted.skipped),
        "skipped_items": extracted.sentence,
        "left_out": list(collection.complaints),
        "metrics": {},
    }
