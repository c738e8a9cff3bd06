"""The door from datasets of latents to encoders trained here; the one place where data asks what lies above it.

Latents that mmfuse makes itself are made by its own models and training, which are above the datasets. The import is
inside the function, so nothing of it is loaded before latents are really wanted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmfuse.architecture import canonical_json
from mmfuse.data.progress import Progress, silent
from mmfuse.data.status import DataStatus
from mmfuse.encoding import paired_by_class
from mmfuse.options import parse_options
from mmfuse.registry import DATASETS
from mmfuse.task import Task

VERSION = 2
"""Of how encoders are trained and latents kept; raised when equal recipes give other files than before."""


def ensure(
    root: Path, dataset: str, values: Mapping[str, Any], recipe: Mapping[str, int], *, progress: Progress = silent
) -> list[Path]:
    """One file of latents per modality of ``dataset``, made first if they are not there; see `ensure_latents`."""
    from mmfuse.extraction.trained import Recipe, ensure_latents

    prefix = prefix_of(root, dataset, values, recipe)
    return ensure_latents(prefix, root, dataset, values, Recipe(**recipe), progress=progress)


def task(name: str, dataset: str, *, dim: int) -> Task:
    """Retrieval among the modalities of ``dataset``, each encoded into ``dim`` numbers."""
    from mmfuse.data.latents_join import latent_task

    names = [modality.name for modality in DATASETS.declaration(dataset).TASK.modalities]
    return latent_task(name, dict.fromkeys(names, dim), class_paired=paired_by_class(dataset))


def prefix_of(root: Path, dataset: str, values: Mapping[str, Any], recipe: Mapping[str, int]) -> Path:
    """The folder of these latents, up to the fingerprint of the data that follows its name."""
    options = parse_options(DATASETS.declaration(dataset).Options, values, what=f"dataset {dataset}")
    content = {"version": VERSION, "dataset": dataset, "options": options.model_dump(mode="json"), **recipe}
    mark = hashlib.sha256(canonical_json(content).encode()).hexdigest()[:8]
    return root / "latents" / f"{dataset}-trained" / mark


def status(
    name: str, root: Path, dataset: str, values: Mapping[str, Any], recipe: Mapping[str, int], *, fraction: float = 1.0
) -> DataStatus:
    """What is there of latents that are made here; every sample of the dataset is a pair."""
    module = DATASETS.get(dataset)
    below: DataStatus = module.status(root, parse_options(module.Options, values, what=f"dataset {dataset}"))
    if below.source == "unusable":
        return DataStatus(name, "unusable", None, False, {}, below.missing, below.problem, below.hint)
    prefix = prefix_of(root, dataset, values, recipe)
    folders = sorted(prefix.parent.glob(f"{prefix.name}-*"))
    samples = dict(below.samples)
    if "train" in samples and fraction < 1:
        samples["train"] = max(1, round(fraction * samples["train"]))
    return DataStatus(name, below.source, folders[0] if folders else prefix.parent, bool(folders), samples)
