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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mmfuse import __version__
from mmfuse.architecture import Architecture, canonical_json
from mmfuse.backbones import BackboneChoice, tapped_families
from mmfuse.batch import Splits
from mmfuse.errors import CheckpointMismatch, DataMissing, MmfuseError, StoreError
from mmfuse.report import NullReporter, Reporter
from mmfuse.spec import FitOptions, PretrainOptions
from mmfuse.training.checkpoint import Checkpoint, check_data, load_checkpoint, save_checkpoint
from mmfuse.training.encoder_of import encoder_of
from mmfuse.training.fit import fit
from mmfuse.training.forked import Died, Message, Send, run_forked
from mmfuse.training.partial import partial_path
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
        if not self._holds(key):
            save_checkpoint(replace(checkpoint, training=None), self._path(key))
        if recipe is not None:
            self._note(recipe, key)
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

    def _holds(self, key: str) -> bool:
        """Whether the backbone is there and whole: a damaged one is written again by whoever has its weights."""
        try:
            self.get(key)
        except MmfuseError:
            return False
        return True

    def _note(self, recipe: str, key: str) -> None:
        path = self._recipe_path(recipe)
        temporary = partial_path(path)  # two searches may finish the same pretraining at the same time
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"format": 1, "weights": key}))
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise StoreError(f"cannot write {path}: {error.strerror}", "free some space, then resume") from error

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
    workers: int = 1,
) -> dict[str, Backbone]:
    """A trained backbone per modality; those nobody has trained are pretrained on ``splits``.

    On a CPU ``workers`` of them are pretrained side by side, each in a process with one thread: their convolutions are
    too small for two, and weights depend neither on the number of cores nor on what else runs. ``folder`` keeps this
    run's copies, and the state of pretrainings that were interrupted.

    Raises:
        Stopped: once asked to; calling again goes on from the last checkpoint of each pretraining.
        DataMissing, DataInvalid, CheckpointMismatch: when weights that are asked for are absent, damaged, of another
            architecture or trained on other data.
        Diverged, StoreError: when a pretraining fails.
    """
    library = BackboneLibrary(data_root)
    recipes = {name: _recipe(choice.architecture, splits, pretrain) for name, choice in choices.items()}
    found = {
        name: _found(choice, splits, name, folder=folder, library=library, recipe=recipes[name])
        for name, choice in choices.items()
    }
    missing = [
        _Pretraining(name, choices[name].architecture, splits, pretrain, device, folder / name)
        for name, known in found.items()
        if known is None
    ]
    for name, checkpoint in _pretrained(missing, workers=workers, reporter=reporter, should_stop=should_stop):
        library.add(checkpoint, recipe=recipes[name])
        save_checkpoint(replace(checkpoint, training=None), folder / f"{name}.ckpt")
        shutil.rmtree(folder / name, ignore_errors=True)
        found[name] = checkpoint, "pretrained"
    return {
        name: _settled(known, choices[name].architecture, name, folder=folder, reporter=reporter)
        for name, known in found.items()
        if known is not None
    }


Found = tuple[Checkpoint, str]
"""A backbone and where it comes from: this run, given, found again, pretrained."""


def _found(
    choice: BackboneChoice, splits: Splits, modality: str, *, folder: Path, library: BackboneLibrary, recipe: str
) -> Found | None:
    """The backbone if it need not be trained."""
    pinned = folder / f"{modality}.ckpt"
    if pinned.is_file():
        found = load_checkpoint(pinned), "this run"
    elif choice.weights is not None:
        found = _given(choice.weights, library, modality), "given"
    else:
        made = library.made_by(recipe)
        if made is None:
            return None
        found = made, "found again"
    _check(found[0], choice.architecture, splits, modality)
    if found[1] == "given":
        library.add(found[0])  # whoever retrains what this search finds names them by their hash
    return found


def _settled(known: Found, architecture: Architecture, modality: str, *, folder: Path, reporter: Reporter) -> Backbone:
    """The backbone, kept in this run's folder and told of."""
    checkpoint, origin = known
    pinned = folder / f"{modality}.ckpt"
    if not pinned.is_file():
        save_checkpoint(replace(checkpoint, training=None), pinned)
    key = weights_hash(checkpoint.weights)
    reporter.note(
        "backbone",
        modality=modality,
        architecture=architecture.to_json(),
        weights=key,
        origin=origin,
        metrics=dict(checkpoint.metrics),
    )
    return Backbone(architecture, checkpoint.weights, key)


@dataclass(frozen=True, eq=False)
class _Pretraining:
    """A backbone that has to be trained, and where."""

    modality: str
    architecture: Architecture
    splits: Splits
    options: PretrainOptions
    device: torch.device
    folder: Path

    def run(self, reporter: Reporter, should_stop: Callable[[], bool]) -> Path:
        """Train it, or go on training it; gives the best checkpoint's path."""
        fields = {name: getattr(self.options, name) for name in FitOptions.model_fields}
        fitted = fit(
            self.architecture,
            self.splits,
            FitOptions(**fields),
            seed=derive_seed(self.options.seed, "backbone", self.architecture.key),
            device=self.device,
            folder=self.folder,
            reporter=reporter,
            should_stop=should_stop,
            provenance={"mmfuse": __version__, "pretrained": self.modality},
        )
        return fitted.best_checkpoint


def _pretrained(
    jobs: Sequence[_Pretraining], *, workers: int, reporter: Reporter, should_stop: Callable[[], bool]
) -> Iterator[tuple[str, Checkpoint]]:
    """Each modality's trained backbone, as it gets ready."""
    progress = _Progress(reporter, jobs)
    if jobs and jobs[0].device.type != "cpu":
        for job in jobs:
            aside = _Aside(partial(progress.tell, job.modality))
            yield job.modality, load_checkpoint(job.run(aside, should_stop))
    elif jobs:
        import mmfuse.training.module  # noqa: F401  # Lightning takes seconds to import: once, before the forks

        for event in run_forked(jobs, _train_in_child, workers=workers, should_stop=should_stop):
            if isinstance(event, Died):
                raise MmfuseError(f"pretraining the backbone of {event.job.modality} failed: {event.reason}")
            if isinstance(event, Message) and isinstance(event.content, MmfuseError):
                raise event.content
            if isinstance(event, Message) and isinstance(event.content, Path):
                yield event.job.modality, load_checkpoint(event.content)
            elif isinstance(event, Message):
                progress.tell(event.job.modality, event.content)


def _train_in_child(job: _Pretraining, send: Send) -> None:
    """Send progress, then the best checkpoint's path or what went wrong."""
    try:
        # Whoever wants a stop kills this process: the checkpoint of the last epoch is there.
        send(job.run(_Aside(send), lambda: False))
    except MmfuseError as error:
        send(error)


class _Aside(NullReporter):
    """Pretraining beside a search: progress is told, curves are not mixed with the run's own."""

    def __init__(self, send: Callable[[tuple[float, float]], None]) -> None:
        self.send = send

    def progress(self, done: float, total: float, *, what: str) -> None:
        """Hand it on."""
        self.send((done, total))


class _Progress:
    """How far several pretrainings are together; all take as many steps."""

    def __init__(self, reporter: Reporter, jobs: Sequence[_Pretraining]) -> None:
        self.reporter = reporter
        self.done = {job.modality: 0.0 for job in jobs}

    def tell(self, modality: str, progress: tuple[float, float]) -> None:
        """Note how far one of them is."""
        self.done[modality], total = progress
        what = f"backbone {', '.join(self.done)}"
        self.reporter.progress(sum(self.done.values()), total * len(self.done), what=what)


def _given(weights: str, library: BackboneLibrary, modality: str) -> Checkpoint:
    path = Path(weights).expanduser()
    return encoder_of(load_checkpoint(path), modality) if path.is_file() else library.get(weights)


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
    family = checkpoint.architecture.family
    if family not in tapped_families():
        raise CheckpointMismatch(
            f"the weights for {modality} belong to a model {family}, which declares no taps",
            f"take weights of {', '.join(tapped_families())}, or of a model with an encoder of {modality}",
        )
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
