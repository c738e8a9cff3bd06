"""Trained backbones: given, found again, or pretrained; each known by the hash of its weights.

Below the data root, ``backbones/<hash>.ckpt`` holds every backbone that any run trained, and
``backbones/recipes/<recipe>.json`` says which weights came out of which recipe: architecture, data, rows, options and
seed. So a second search on the same data trains none. A run copies what it uses into its own folder and, when resumed,
goes on with those copies whatever has happened to the data root.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmfuse import __version__
from mmfuse.architecture import Architecture, canonical_json
from mmfuse.backbones import BackboneChoice
from mmfuse.batch import Splits
from mmfuse.errors import CheckpointMismatch, DataMissing, MmfuseError
from mmfuse.report import NullReporter, Reporter
from mmfuse.spec import FitOptions, PretrainOptions
from mmfuse.training.checkpoint import Checkpoint, check_data, load_checkpoint, save_checkpoint
from mmfuse.training.encoder_of import encoder_of
from mmfuse.training.fit import fit
from mmfuse.training.seeding import derive_seed


@dataclass(frozen=True)
class Backbone:
    """A trained backbone: its architecture, its weights, and ``key``, their hash."""

    architecture: Architecture
    weights: Mapping[str, Tensor]
    key: str


class BackboneLibrary:
    """The trained backbones below a data root."""

    def __init__(self, data_root: Path) -> None:
        self.folder = data_root / "backbones"

    def add(self, checkpoint: Checkpoint, *, recipe: str | None = None) -> str:
        """Keep ``checkpoint``, as what ``recipe`` makes if one is named; gives the weights' hash.

        Raises:
            StoreError: when the data root cannot be written.
        """
        key = weights_hash(checkpoint.weights)
        if not self._path(key).exists():
            save_checkpoint(replace(checkpoint, training=None), self._path(key))
        if recipe is not None:
            path = self._recipe_path(recipe)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps({"format": 1, "weights": key}))
            temporary.replace(path)
        return key

    def get(self, key: str) -> Checkpoint:
        """The backbone whose weights have the hash ``key``.

        Raises:
            DataMissing: when the library has none.
            DataInvalid, CheckpointMismatch: when its file is damaged or not what its name says.
        """
        path = self._path(key)
        if not path.is_file():
            raise DataMissing(
                f"no backbone with weights {key} in {self.folder}",
                "give a checkpoint's path, or leave weights out to pretrain one",
            )
        return _verified(load_checkpoint(path), key, path)

    def made_by(self, recipe: str) -> Checkpoint | None:
        """What ``recipe`` made before, unless it is gone or damaged: then it has to be made again."""
        try:
            return self.get(json.loads(self._recipe_path(recipe).read_text())["weights"])
        except (OSError, ValueError, KeyError, MmfuseError):
            return None

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.ckpt"

    def _recipe_path(self, recipe: str) -> Path:
        return self.folder / "recipes" / f"{recipe}.json"


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits that stand for names, types, shapes and values of ``weights``."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(canonical_json([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def obtain_backbones(
    choices: Mapping[str, BackboneChoice],
    splits: Splits,
    *,
    pretrain: PretrainOptions,
    device: torch.device,
    folder: Path,
    data_root: Path,
    reporter: Reporter,
    should_stop: Callable[[], bool],
) -> dict[str, Backbone]:
    """A trained backbone per modality; those nobody has trained are pretrained on ``splits``, one after the other.

    ``folder`` keeps this run's copies, and the state of a pretraining that was interrupted.

    Raises:
        Stopped: at a safe point of a pretraining; calling again goes on from there.
        DataMissing, DataInvalid, CheckpointMismatch: when weights that are asked for are absent, damaged, of another
            architecture or trained on other data.
    """
    library = BackboneLibrary(data_root)
    obtained = {}
    for modality, choice in choices.items():
        pinned = folder / f"{modality}.ckpt"
        if pinned.is_file():
            checkpoint, origin = load_checkpoint(pinned), "this run"
        elif choice.weights is not None:
            checkpoint, origin = _given(choice.weights, library, modality), "given"
            library.add(checkpoint)  # whoever retrains what this search finds names these weights by their hash
        else:
            recipe = _recipe(choice.architecture, splits, pretrain)
            found = library.made_by(recipe)
            checkpoint = found or _pretrained(
                modality,
                choice.architecture,
                splits,
                pretrain,
                device=device,
                folder=folder / modality,
                reporter=reporter,
                should_stop=should_stop,
            )
            origin = "found again" if found else "pretrained"
            library.add(checkpoint, recipe=recipe)
        _check(checkpoint, choice.architecture, splits, modality)
        if not pinned.is_file():
            save_checkpoint(replace(checkpoint, training=None), pinned)
            shutil.rmtree(folder / modality, ignore_errors=True)
        key = weights_hash(checkpoint.weights)
        reporter.note(
            "backbone",
            modality=modality,
            architecture=choice.architecture.to_json(),
            weights=key,
            origin=origin,
            metrics=dict(checkpoint.metrics),
        )
        obtained[modality] = Backbone(choice.architecture, checkpoint.weights, key)
    return obtained


def _given(weights: str, library: BackboneLibrary, modality: str) -> Checkpoint:
    path = Path(weights).expanduser()
    return encoder_of(load_checkpoint(path), modality) if path.is_file() else library.get(weights)


def _pretrained(
    modality: str,
    architecture: Architecture,
    splits: Splits,
    options: PretrainOptions,
    *,
    device: torch.device,
    folder: Path,
    reporter: Reporter,
    should_stop: Callable[[], bool],
) -> Checkpoint:
    fields = {name: getattr(options, name) for name in FitOptions.model_fields}
    fitted = fit(
        architecture,
        splits,
        FitOptions(**fields),
        seed=derive_seed(options.seed, "backbone", architecture.key),
        device=device,
        folder=folder,
        reporter=_Aside(reporter, modality),
        should_stop=should_stop,
        provenance={"mmfuse": __version__, "pretrained": modality},
    )
    return load_checkpoint(fitted.best_checkpoint)


def _recipe(architecture: Architecture, splits: Splits, options: PretrainOptions) -> str:
    """Stands for everything a pretraining follows from."""
    content = {
        "architecture": architecture.to_json(),
        "fingerprint": splits.fingerprint,
        "rows": hashlib.sha256(splits.train.ids.cpu().numpy().tobytes()).hexdigest(),
        "options": options.model_dump(mode="json"),
        "task": splits.task.name,
    }
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]


def _check(checkpoint: Checkpoint, architecture: Architecture, splits: Splits, modality: str) -> None:
    if checkpoint.architecture != architecture:
        raise CheckpointMismatch(
            f"the weights for {modality} belong to {canonical_json(checkpoint.architecture.to_json())}, "
            f"the backbone is {canonical_json(architecture.to_json())}",
            f"--set '{_setting(modality, checkpoint.architecture)}'",
        )
    check_data(checkpoint, splits)


def _setting(modality: str, architecture: Architecture) -> str:
    """What to type so that the backbone has ``architecture``."""
    choice = {"family": architecture.family, "params": dict(architecture.params)}
    return f"benchmark.backbones.{modality}={canonical_json(choice)}"


def _verified(checkpoint: Checkpoint, key: str, path: Path) -> Checkpoint:
    if weights_hash(checkpoint.weights) != key:
        raise CheckpointMismatch(f"{path} holds other weights than its name says", "remove it")
    return checkpoint


class _Aside(NullReporter):
    """Pretraining beside a search: progress is told, curves are not mixed with the run's own."""

    def __init__(self, reporter: Reporter, modality: str) -> None:
        self.reporter = reporter
        self.modality = modality

    def progress(self, done: float, total: float, *, what: str) -> None:
        """Say which backbone is being trained."""
        self.reporter.progress(done, total, what=f"backbone {self.modality}: {what}")

    def note(self, message: str, **facts: Any) -> None:
        """Pass it on."""
        self.reporter.note(message, **facts)
