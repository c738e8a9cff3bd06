"""Where an architecture or a checkpoint comes from: a run, one of its trials, or a file."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmfuse.architecture import Architecture
from mmfuse.errors import BadSpec, CheckpointMismatch, DataMissing, UnknownName
from mmfuse.options import parse_assignments
from mmfuse.spec import EvalSpec, SearchSpec, TrainSpec, resolve_data, resolve_train, spec_from_json
from mmfuse_runs.specs import Spec, data_and_fit

if TYPE_CHECKING:
    from mmfuse_runs.folder import RunFolder
    from mmfuse_runs.store import RunStore


def resolve_found(
    store: RunStore, source: str, *, dataset: str | None, settings: Sequence[str], seed: int, test: bool
) -> TrainSpec:
    """The spec that trains what ``source`` (``RUN`` or ``RUN:TRIAL``) found.

    Training options are those of the source, and so are the dataset's where it is the same one; ``settings`` go last.
    Weights of backbones that the source trained or was given stay behind where the data become other data.

    Raises:
        UnknownName: no such run or trial.
        BadSpec: the run has found nothing yet.
    """
    folder, number, architecture = architecture_at(store, source)
    origin = spec_from_json(folder.spec())
    inherited = data_and_fit(origin)
    if dataset not in (None, origin.dataset):
        inherited = [setting for setting in inherited if not setting.startswith("data.")]

    def resolved(params: Mapping[str, Any]) -> TrainSpec:
        return resolve_train(
            architecture.family,
            dataset or origin.dataset,
            params=params,
            settings=[*inherited, *settings],
            seed=seed,
            test=test,
            source=f"{folder.id}:{number}" if number else folder.id,
        )

    params = {**architecture.params, **_full_training(folder)}
    spec = resolved(params)
    same = (spec.dataset, spec.data) == (origin.dataset, origin.data)
    return spec if same else resolved(_without_weights(params))


def with_weights_of_runs(store: RunStore, spec: Spec) -> Spec:
    """``spec`` with the path of a run's best checkpoint where a backbone's weights name that run.

    Raises:
        UnknownName, DataMissing: no such run, or it has no checkpoint.
    """
    if isinstance(spec, TrainSpec) and "backbones" in spec.params:
        return spec.model_copy(update={"params": spec.params | _with_paths(store, spec.params["backbones"])})
    if isinstance(spec, SearchSpec) and "backbones" in spec.options.get("benchmark", {}):
        benchmark = spec.options["benchmark"]
        found = benchmark | _with_paths(store, benchmark["backbones"])
        return spec.model_copy(update={"options": spec.options | {"benchmark": found}})
    return spec


def architecture_at(store: RunStore, source: str) -> tuple[RunFolder, str, Architecture]:
    """The run that ``source`` (``RUN`` or ``RUN:TRIAL``) names, the trial's number ("" for none), what was found there.

    Raises:
        UnknownName: no such run or trial.
        BadSpec: the run has found nothing yet.
    """
    selector, _, number = source.partition(":")
    folder = store.folder(store.find(selector))
    return folder, number, _trial_architecture(folder, number) if number else _found_architecture(folder)


def resolve_checkpoint(
    store: RunStore,
    place: str,
    *,
    dataset: str | None,
    split: Literal["train", "val", "test"],
    settings: Sequence[str],
) -> EvalSpec:
    """The spec that measures the best checkpoint of a run, or a checkpoint file.

    A file in a run's folder is measured on the data of that run; for any other file ``dataset`` must say.

    Raises:
        UnknownName, DataMissing: no such run, or it has no checkpoint.
        CheckpointMismatch: the file is something else.
        BadSpec: nobody knows the dataset.
    """
    path = Path(place).expanduser()
    if path.is_file():
        if not zipfile.is_zipfile(path):  # which is what torch writes; what is in it, the run will see
            raise CheckpointMismatch(f"{path} is not a whole checkpoint", "mmfuse runs ls kind:train,search")
        folder = _folder_around(path)
    else:
        folder = _named_folder(store, place)
        path = _best_checkpoint(folder)
    origin = spec_from_json(folder.spec()) if folder is not None else None
    if dataset is None and origin is None:
        raise BadSpec(f"{path} lies in no run's folder, so its dataset is unknown", "add --dataset NAME")
    chosen = dataset if dataset is not None or origin is None else origin.dataset
    assert chosen is not None
    return EvalSpec(
        dataset=chosen,
        data=_data_options(chosen, origin, settings),
        seed=origin.seed if origin is not None else 0,
        checkpoint=str(path.resolve()),
        split=split,
        source=folder.id if folder is not None else "",
    )


def _trial_architecture(folder: RunFolder, number: str) -> Architecture:
    trials = {str(trial.number): trial for trial in folder.trials()}
    if number not in trials:
        numbers = ", ".join(trials) if len(trials) <= _LISTED else f"{min(trials, key=int)} to {max(trials, key=int)}"
        known = f"it has trials {numbers}" if trials else "it has no trials"
        raise UnknownName(f"run {folder.id} has no trial {number}", known)
    return trials[number].architecture


def _full_training(folder: RunFolder) -> dict[str, Any]:
    """What the run, a search over backbone taps, changes in its candidates before it trains one in full."""
    changes: dict[str, Any] = ((folder.exit() or {}).get("result") or {}).get("full_training") or {}
    return changes


def _without_weights(params: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` with backbones, if they have any, that are to be found again or pretrained."""
    backbones: Mapping[str, Mapping[str, Any]] = params.get("backbones", {})
    untrained = {name: {**choice, "weights": None} for name, choice in backbones.items()}
    return {**params, **({"backbones": untrained} if untrained else {})}


_LISTED = 20
_HASH = re.compile(r"[0-9a-f]{16}")


def _with_paths(store: RunStore, backbones: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {"backbones": {name: {**choice, **_path_of(store, choice)} for name, choice in backbones.items()}}


def _path_of(store: RunStore, choice: Mapping[str, Any]) -> dict[str, str]:
    """The path to take the weights from, if a run is what names them and not a hash or a path."""
    weights = choice.get("weights")
    if weights is None or _HASH.fullmatch(weights) or Path(weights).expanduser().is_file():
        return {}
    return {"weights": str(_best_checkpoint(_named_folder(store, weights)).resolve())}


def _found_architecture(folder: RunFolder) -> Architecture:
    outcome = folder.exit() or {}
    found = (outcome.get("result") or {}).get("architecture")
    if found:
        return Architecture.from_json(found)
    spec = spec_from_json(folder.spec())
    if isinstance(spec, TrainSpec):
        return spec.architecture
    raise BadSpec(
        f"run {folder.id} is {folder.state()['state']} and has found no architecture",
        f"wait for it, or name one of its trials: --from {folder.id}:NUMBER (mmfuse runs show {folder.id})",
    )


def _named_folder(store: RunStore, place: str) -> RunFolder:
    if "/" in place or place.endswith((".pt", ".ckpt")):
        raise DataMissing(f"there is no checkpoint file {place}", "mmfuse runs ls kind:train,search")
    return store.folder(store.find(place))


def _best_checkpoint(folder: RunFolder) -> Path:
    path = folder.checkpoint("best") or folder.checkpoint("last")
    if path is None:
        raise DataMissing(
            f"run {folder.id} is {folder.state()['state']} and has no checkpoint", f"mmfuse runs show {folder.id}"
        )
    return path


def _folder_around(path: Path) -> RunFolder | None:
    """The run folder that ``path`` lies in, if any."""
    from mmfuse_runs.folder import RunFolder

    for parent in path.resolve().parents:
        if (parent / "config.json").is_file() and (parent / "state.json").is_file():
            return RunFolder(parent)
    return None


def _data_options(dataset: str, origin: Spec | None, settings: Sequence[str]) -> dict[str, object]:
    inherited = dict(origin.data) if origin is not None and origin.dataset == dataset else {}
    values = parse_assignments(settings)
    given = values.pop("data", {})
    if values:
        raise BadSpec(
            f"unknown option '{next(iter(values))}'", "a measurement takes only the dataset's: data.KEY=VALUE"
        )
    return resolve_data(dataset, inherited | dict(given))
