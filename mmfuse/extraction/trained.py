"""Latents of a dataset by encoders that are trained on it here: the way to FuseMix without downloads, in a minute.

Each modality gets a small mixer that learns the dataset's own task from that modality alone; the mean of its tokens is
the latent. Training runs on one thread of the CPU, so that the same machine gives the same bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mmfuse.architecture import Architecture
from mmfuse.batch import Splits
from mmfuse.data.progress import Progress, silent
from mmfuse.data.staging import staged
from mmfuse.encoding import paired_by_class
from mmfuse.errors import BadSpec
from mmfuse.extraction.encoders.checkpoint import Options as CheckpointOptions
from mmfuse.extraction.encoders.checkpoint import open_encoder
from mmfuse.extraction.extract import extract
from mmfuse.extraction.tensors import collect
from mmfuse.models.shapes import kind_of
from mmfuse.options import parse_options
from mmfuse.registry import DATASETS
from mmfuse.report import NullReporter
from mmfuse.spec import FitOptions
from mmfuse.task import Modality
from mmfuse.training.device import use_threads
from mmfuse.training.fit import fit
from mmfuse.training.seeding import derive_seed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How the encoders are trained: their width, which is that of the latents, epochs and seed."""

    dim: int = 64
    epochs: int = 8
    seed: int = 0


def ensure_latents(
    prefix: Path, root: Path, dataset: str, values: Mapping[str, Any], recipe: Recipe, *, progress: Progress = silent
) -> list[Path]:
    """One file of latents per modality of ``dataset`` (with the options ``values``), made first if they are not there.

    They lie in the folder ``prefix``, to whose name the data's fingerprint is added.

    Raises:
        BadSpec: when the dataset has fewer than two modalities or holds latents already.
        DataMissing, DataInvalid: when it cannot be loaded, or its latents cannot be written.
    """
    module = DATASETS.get(dataset)
    splits = module.load(root, parse_options(module.Options, values, what=f"dataset {dataset}"), progress=progress)
    if not isinstance(splits, Splits):
        raise BadSpec(f"{dataset} holds latents already", "name a dataset of samples")
    if len(splits.task.modalities) < 2:
        raise BadSpec(f"{dataset} has one modality: nothing can be paired", "name a dataset with two or more")
    folder = prefix.with_name(f"{prefix.name}-{splits.fingerprint}")
    files = [folder / f"{modality.name}.h5" for modality in splits.task.modalities]
    if folder.is_dir():
        return files
    with staged(folder) as work:
        if work is not None:
            logger.warning("training encoders on %s and keeping their latents in %s (once)", splits.label, folder)
            threads = torch.get_num_threads()
            try:
                use_threads(1)
                _make(work, dataset, splits, recipe, progress)
            finally:
                use_threads(threads)
    return files


def _make(folder: Path, dataset: str, splits: Splits, recipe: Recipe, progress: Progress) -> None:
    collection = collect(splits, class_paired=paired_by_class(dataset))
    for modality in splits.task.modalities:
        architecture = _architecture(modality, recipe)
        place = folder / f"{modality.name}-encoder"
        fitted = fit(
            architecture,
            splits,
            FitOptions(
                epochs=recipe.epochs, batch_size=128, learning_rate=5e-3, schedule="cosine", early_stopping=None
            ),
            seed=derive_seed(recipe.seed, "encoder", modality.name),
            device=torch.device("cpu"),
            folder=place,
            reporter=_Aside(progress, f"encoder of {modality.name} of {splits.label}"),
            should_stop=lambda: False,
            provenance={"recipe": asdict(recipe)},
        )
        options = CheckpointOptions(path=fitted.best_checkpoint)
        encoder = open_encoder(modality.name, options, device=torch.device("cpu"))
        path = folder / f"{modality.name}.h5"
        extract(collection, modality.name, encoder, path, batch_size=options.batch_size, progress=progress)
        path.with_name(f".{path.name}.lock").unlink(missing_ok=True)
        (place / "checkpoints" / "last.ckpt").unlink()


def _architecture(modality: Modality, recipe: Recipe) -> Architecture:
    """A mixer; a picture is cut into 16 patches where its sides allow it, else into as few as they do."""
    encoder: dict[str, Any] = {"block": "mlp", "dim": recipe.dim, "depth": 2, "token_hidden": 32, "channel_hidden": 128}
    if kind_of(modality.shape) == "grid":
        encoder["patch"] = _patch(*modality.shape[1:])
    return Architecture("unimodal", {"modality": modality.name, "encoder": encoder, "head_hidden": 64})


def _patch(height: int, width: int) -> int:
    """The side of a patch: the largest common divisor of both sides that is at most a quarter of the shorter one."""
    fitting = [side for side in range(1, min(height, width) // 4 + 1) if height % side == 0 and width % side == 0]
    return fitting[-1] if fitting else 1


class _Aside(NullReporter):
    """Progress is told; curves of encoders are nobody's."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._what = what

    def progress(self, done: float, total: float, *, what: str) -> None:
        """Say which encoder is being trained."""
        self._progress(done, total, what=self._what)
