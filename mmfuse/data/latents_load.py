"""Files of latents as the splits that training and evaluation take."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmfuse.architecture import canonical_json
from mmfuse.data.hashes import content_hashes
from mmfuse.data.latents_file import map_rows
from mmfuse.data.latents_join import (
    Joined,
    PairPool,
    check_encoders,
    common_modalities,
    digests,
    each_once,
    encoder_text,
    join,
    joined_task,
    provenance,
    scan,
)
from mmfuse.data.latents_pairs import SPLITS
from mmfuse.data.progress import Progress, silent
from mmfuse.data.subset_options import SubsetOptions
from mmfuse.data.subsets import subset
from mmfuse.errors import DataInvalid
from mmfuse.latents import LatentPairs, LatentSplits

SCANNED = 2 * 2**30
"""Bytes of latents up to which every value is looked at when they are loaded; `mmfuse data check` always looks."""


def load_latents(
    name: str,
    files: Sequence[Path],
    options: SubsetOptions,
    *,
    evaluation_files: Sequence[Path] = (),
    stand_in: bool = False,
    progress: Progress = silent,
) -> LatentSplits:
    """The splits that ``files`` hold; latents stay mapped from their files unless several tables are put together.

    With ``evaluation_files``, validation and test are theirs alone and ``files`` only train. ``stand_in`` labels them
    so even if what was encoded does not call itself one.

    Raises:
        DataMissing, DataInvalid: when a file is absent, damaged or does not fit the others, or there is no pair to
            validate or test on.
    """
    training, evaluation = join(files), join(evaluation_files)
    names = common_modalities([*training, *evaluation])
    together = each_once(training, evaluation)
    check_encoders(together, names)
    if sum(joined.bytes for joined in together) <= SCANNED:
        scan(together, progress=progress)
    trains, evaluates = digests(training), digests(evaluation or training)
    pool = PairPool(together, names)
    sources = {"train": trains, "val": evaluates, "test": evaluates}
    rows = {split: pool.rows(split, sources[split]) for split in SPLITS}
    for split, (pairs, _) in rows.items():
        # Without pairs to train on, others' models can still be measured here: Flickr30k is such a set.
        if split != "train" and not len(pairs):
            raise DataInvalid(
                f"{name}: there are no pairs for {split} in {', '.join(joined.table.name for joined in together)}",
                "add files of a collection that has them: --set data.evaluation_files='[...]'",
            )
    latents, scales = _vectors(together, names)
    facts = provenance(together, names, pool.dropped)
    classed = any(joined.table.labels for joined in together)
    made_up = stand_in or any(joined.table.stand_in for joined in together)
    fingerprint = _fingerprint(name, training, evaluation, options, progress)

    def cut(split: str) -> LatentPairs:
        pairs, classes = rows[split]
        return LatentPairs(
            names=names,
            latents=latents,
            pairs=torch.from_numpy(pairs),
            fingerprint=fingerprint,
            label=f"{name} (stand-in)" if made_up else name,
            stand_in=made_up,
            scales=scales,
            encoders={each: encoder_text(together[0], each) for each in names},
            classes=torch.from_numpy(classes) if classed else None,
            provenance=facts,
        )

    task = joined_task(name, together, names)
    return LatentSplits(
        task, subset(cut("train"), options, progress=progress), cut("val"), open_test=lambda: cut("test")
    )


def _vectors(together: Sequence[Joined], names: tuple[str, ...]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Latents (N, D) and scales (N,) by modality: mapped for one table, in memory for several."""
    latents, scales = {}, {}
    for name in names:
        mapped = [map_rows(*joined.columns[name]) for joined in together]
        latents[name] = torch.from_numpy(mapped[0][0] if len(mapped) == 1 else np.concatenate([x for x, _ in mapped]))
        held = [scale for _, scale in mapped if scale is not None]
        if held:
            scales[name] = torch.from_numpy(held[0] if len(held) == 1 else np.concatenate(held))
    return latents, scales


def _fingerprint(
    name: str, training: list[Joined], evaluation: list[Joined], options: SubsetOptions, progress: Progress
) -> str:
    treatment = {key: getattr(options, key) for key in SubsetOptions.model_fields}
    content = {
        "dataset": name,
        "files": [_hashes(joined, progress) for joined in training],
        "evaluation": [_hashes(joined, progress) for joined in evaluation],
        "treatment": treatment,
    }
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]


def _hashes(joined: Joined, progress: Progress) -> dict[str, str]:
    """The hash of each modality's file."""
    return {
        modality: content_hashes(path.parent, [path.name], progress=progress)[path.name]
        for modality, (path, _) in joined.columns.items()
    }
