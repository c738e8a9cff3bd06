"""The spec: the frozen input of a run, resolved from a name, a preset and the user's settings.

`config.json` of a run holds exactly one spec. Everything here is free of torch, so the command line, the dashboard's
form and a notebook resolve specs in the same way and report every mistake before a process starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from mmfuse.architecture import Architecture
from mmfuse.backbones import BackboneChoice
from mmfuse.errors import BadSpec, unknown_name
from mmfuse.options import Options, merge, parse_assignments, parse_options, parse_together
from mmfuse.registry import DATASETS, MODELS, SEARCHES, Registry
from mmfuse.task import Task, TaskKind


class FitOptions(Options):
    """How a model is trained in full."""

    epochs: Annotated[int, Field(ge=1)] = 30
    """Upper limit of passes over the training split (M2-Mixer trains 200, MixMAS 300; early stopping ends sooner)."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Samples per optimiser step (MixMAS: 64; M2-Mixer: 32)."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Adam's step size (M2-Mixer on MIMIC-III: 1e-3; on AV-MNIST it publishes 1e-2)."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """L2 term of Adam; M2-Mixer uses none."""
    schedule: Literal["plateau", "cosine", "restarts", "warmup", "constant"] = "plateau"
    """Learning-rate schedule; M2-Mixer and MixMAS lower it on a plateau of the validation loss, MFAS restarts, FuseMix
    warms up and then follows a cosine."""
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Factor of the plateau schedule (both papers: 0.1)."""
    plateau_patience: Annotated[int, Field(ge=0)] = 5
    """Epochs without improvement before the plateau schedule acts (MixMAS: 5, M2-Mixer: 2)."""
    cycle: Annotated[float, Field(gt=0)] = 5.0
    """Epochs of the first cycle of the restarts schedule (MFAS: 5)."""
    cycle_factor: Annotated[float, Field(ge=1)] = 2.0
    """Each further cycle of the restarts schedule is this much longer (MFAS: 2)."""
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    """Optimiser steps in which the warmup schedule rises from the lowest step size (FuseMix: 100)."""
    minimum_rate: Annotated[float, Field(ge=0)] = 1e-6
    """Step size that the restarts and warmup schedules fall to (MFAS and FuseMix: 1e-6)."""
    fusion_epochs: Annotated[int, Field(ge=0)] = 10
    """Epochs in which only the fusion of pretrained backbones trains, on cached taps, before all does (MFAS: 1)."""
    early_stopping: Annotated[int, Field(ge=1)] | None = 10
    """Epochs without a better validation score before training ends (MixMAS: 10, M2-Mixer: 30); null: never."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    """Largest gradient norm; null clips nothing, as in the papers."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic of training, in Lightning's words."""
    checkpoint_every: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps between checkpoints inside an epoch; null saves at the end of each epoch (and when stopped)."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 0.0
    """An epoch that ends sooner than this after the last checkpoint writes none; 0: each does. Resuming is as exact."""


class BenchmarkOptions(Options):
    """How a search trains a candidate: the same short schedule for each, on the same small sample."""

    sample: Annotated[int, Field(gt=0)] | Annotated[float, Field(gt=0)] | Literal["formula", "all"] = "formula"
    """Training samples: a number, a share below 1, "all", or MixMAS's formula (Cochran's, finite population)."""
    tolerance: Annotated[float, Field(gt=0)] = 0.05
    """Largest allowed gap between a class's share in the sample and in the training split (MixMAS: 0.05)."""
    validation: Annotated[int, Field(ge=1)] | None = 1000
    """Validation samples that score a candidate, stratified and fixed; null takes the whole split."""
    epochs: Annotated[int, Field(ge=1)] = 10
    """Passes over the sample per candidate (MixMAS: 10)."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Samples per optimiser step (MixMAS: 64)."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Adam's step size; MixMAS's release uses 1e-4, with which 10 short epochs are far from converged."""
    encoders: Literal["warm", "frozen", "fresh"] = "warm"
    """Encoders in fusion stages: start from their own trial's weights, keep those frozen and cached, or start anew."""
    halving: bool = False
    """Successive halving: train all candidates of a question for few epochs, keep the better ones, go on with those."""
    halving_eta: Annotated[int, Field(ge=2)] = 3
    """Successive halving keeps one in this many at each rung, never fewer than two before the last."""
    max_parameters: Annotated[int, Field(ge=1)] | None = None
    """Candidates with more parameters are skipped; null sets no limit."""
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    """Candidates whose forward pass of one batch takes longer on this device are skipped; null sets no limit."""


class PretrainOptions(FitOptions):
    """How a search pretrains the backbone of one modality; the fields of full training with defaults of their own."""

    epochs: Annotated[int, Field(ge=1)] = 8
    """Passes over the training rows (the AV-MNIST code: 50, by plain gradient descent)."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Samples per optimiser step (the AV-MNIST code: 128)."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    """Adam's largest step size (the AV-MNIST code: gradient descent at 0.1)."""
    schedule: Literal["plateau", "cosine", "restarts", "warmup", "constant"] = "cosine"
    """Learning-rate schedule (the AV-MNIST code: constant)."""
    early_stopping: Annotated[int, Field(ge=1)] | None = None
    """Epochs without a better validation score before pretraining ends; null: never."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of weights and batches; not the run's, so that all runs on the same data share their backbones."""


class TapOptions(Options):
    """How a search over fusions of backbone taps trains its candidates: by default exactly as MFAS publishes it."""

    backbones: dict[str, BackboneChoice] = {}
    """Backbone per modality; one that is not named is the dataset's, or else the LeNet of its modality."""
    pretrain: PretrainOptions = PretrainOptions()
    """How backbones are trained for which no weights are given."""
    taps_dtype: Literal["float32", "float16"] = "float32"
    """Type of the taps on disk and in memory; float16 halves both, and training computes in 32 bits all the same."""
    epochs: Annotated[int, Field(ge=1)] = 3
    """Passes over the training rows per candidate; the best epoch by validation counts (MFAS: 3)."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Samples per optimiser step (AV-MNIST: 32)."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Adam's step size at the start of each cycle (MFAS: 1e-3)."""
    minimum_rate: Annotated[float, Field(ge=0)] = 1e-6
    """Adam's step size at the end of each cycle (MFAS: 1e-6)."""
    cycle: Annotated[float, Field(gt=0)] = 1.0
    """Epochs of the first cosine cycle (MFAS: 1)."""
    cycle_factor: Annotated[float, Field(ge=1)] = 2.0
    """Each further cycle is this much longer (MFAS: 2, so that 3 epochs are two cycles)."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """L2 term of Adam (MFAS: 1e-4)."""
    choice_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the training rows that neither backbones nor candidates train on: the final choice is made on them."""
    weight_sharing: Literal["off", "taps", "widths"] = "off"
    """Whether layers start from what an earlier candidate left of the same taps, or (MFAS's option) same widths."""
    group: Annotated[int, Field(ge=1)] = 32
    """Most candidates that are trained as one; which ones is settled by their order, so a resumed search agrees."""
    final_width: Annotated[int, Field(ge=1)] | None = 256
    """Width of the found fusion when it is trained in full (MFAS: 256); null keeps that of the search."""
    final_dropout: Annotated[float, Field(ge=0, lt=1)] | None = 0.4
    """Dropout of the found fusion when it is trained in full (MFAS: 0.4); null keeps that of the search."""


SUPERVISED: frozenset[TaskKind] = frozenset({"multiclass", "multilabel", "regression"})
"""Kinds of tasks that models and searches are for, unless their files declare others as ``KINDS``."""

CHOICE_STAGE = "choice"
"""Stage of candidates that a search over taps compares for the last time: scored on rows that nothing was fitted to."""


class _Spec(Options):
    format: Literal[1] = 1
    """Format number of this file; a newer one is refused."""
    dataset: str
    """Name of the dataset."""
    data: dict[str, Any] = {}
    """The dataset's own options, resolved."""
    seed: int = 0
    """Root of the seed tree."""


class SearchSpec(_Spec):
    """Find an architecture; then, unless told otherwise, train it in full and measure it once on the test split."""

    kind: Literal["search"] = "search"
    search: str
    """Name of the search algorithm."""
    options: dict[str, Any] = {}
    """The search's own options, resolved."""
    fit: FitOptions = FitOptions()
    """Training of the architecture found."""
    train: bool = True
    """Whether to train the found architecture in full."""
    test: bool = True
    """Whether to measure the trained model on the test split, once, at the end."""


class TrainSpec(_Spec):
    """Train one architecture in full and measure it once on the test split."""

    kind: Literal["train"] = "train"
    family: str
    """Model family."""
    params: dict[str, Any] = {}
    """The family's parameters, resolved."""
    fit: FitOptions = FitOptions()
    """How it is trained."""
    test: bool = True
    """Whether to measure the trained model on the test split, once, at the end."""
    source: str = ""
    """Run and trial the architecture came from, if any."""

    @property
    def architecture(self) -> Architecture:
        """What is trained, as data."""
        return Architecture(self.family, self.params)


class EvalSpec(_Spec):
    """Measure a checkpoint on one split."""

    kind: Literal["eval"] = "eval"
    checkpoint: str
    """Path of the checkpoint file."""
    split: Literal["train", "val", "test"] = "test"
    """What it is measured on."""
    measure: Literal["checkpoint", "retrieval"] = "checkpoint"
    """What is measured: the task's metrics, or retrieval with intervals."""
    draws: Annotated[int, Field(ge=1)] = 10_000
    """Resamples behind the intervals of retrieval."""
    against: str = ""
    """Path of another checkpoint, whose retrieval is compared query by query."""
    source: str = ""
    """Run the checkpoint belongs to, if any."""


class ExtractSpec(_Spec):
    """Encode every item of one modality, once, by a frozen encoder, into a file of latents.

    ``dataset`` is a registered dataset or a collection of captioned media, ``data`` its options.
    """

    kind: Literal["extract"] = "extract"
    modality: str
    """The modality that is encoded."""
    encoder: str
    """Family of the encoder."""
    size: str | None = None
    """Its published size; null for an encoder that mmfuse trained."""
    options: dict[str, Any] = {}
    """The encoder's own options, resolved."""
    storage: Literal["float16", "int8"] = "float16"
    """How vectors are stored: two bytes a value, or one with a scale per vector."""
    class_paired: bool = False
    """Whether pairs share nothing but their class, as in AV-MNIST."""
    output: str | None = None
    """The file; null: below the data root."""
    source: str = ""
    """Run the encoder was trained by, if any."""


Spec = Annotated[SearchSpec | TrainSpec | EvalSpec | ExtractSpec, Field(discriminator="kind")]
_SPEC: TypeAdapter[SearchSpec | TrainSpec | EvalSpec | ExtractSpec] = TypeAdapter(Spec)


def spec_from_json(record: Mapping[str, Any]) -> SearchSpec | TrainSpec | EvalSpec | ExtractSpec:
    """The spec a `config.json` holds.

    Raises:
        BadSpec: for a newer format or a damaged record.
    """
    version = record.get("format", 1)
    if isinstance(version, int) and version > 1:
        raise BadSpec(
            f"this run was made by a newer mmfuse (spec format {version}, this one reads 1)", "upgrade mmfuse"
        )
    try:
        return _SPEC.validate_python(dict(record))
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "union_tag_invalid":
            kind = record.get("kind")
            raise BadSpec(f"a run of kind '{kind}' is not one that can be done again", "mmfuse runs ls") from error
        raise BadSpec(f"config.json does not hold a spec: {first['msg']}", "mmfuse doctor") from error


def resolve_search(
    search: str,
    dataset: str,
    *,
    preset: str | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    train: bool = True,
    test: bool = True,
) -> SearchSpec:
    """The spec of ``mmfuse search SEARCH --dataset DATASET``: defaults, then the preset, then ``settings``.

    Keys of ``settings`` are the search's own options; ``fit.*`` reach `FitOptions`, ``data.*`` the dataset's.

    Raises:
        UnknownName, BadSpec: every mistake at once.
    """
    declaration = SEARCHES.declaration(search)
    values, data, fit = _settle(SEARCHES, search, preset, settings)
    data_options = DATASETS.declaration(dataset).Options
    options, chosen_data, chosen_fit = parse_together(
        (declaration.Options, values, f"search {search}"),
        (data_options, data, f"dataset {dataset}"),
        (FitOptions, fit, "fit"),
        beside=_keys_of(data=data_options, fit=FitOptions),
    )
    resolved_data = chosen_data.model_dump(mode="json")
    task = task_of(dataset, resolved_data)
    _check_kind(declaration, task, what=f"search {search}")
    check = getattr(declaration, "check", None)
    if check is not None:
        check(task, options)
    return SearchSpec(
        search=search,
        dataset=dataset,
        data=resolved_data,
        options=options.model_dump(mode="json"),
        fit=chosen_fit,
        seed=seed,
        train=train,
        test=test,
    )


def resolve_train(
    family: str,
    dataset: str,
    *,
    preset: str | None = None,
    params: Mapping[str, Any] | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    test: bool = True,
    source: str = "",
) -> TrainSpec:
    """The spec of ``mmfuse train FAMILY --dataset DATASET``; ``params`` are those of a found architecture.

    Raises:
        UnknownName, BadSpec: every mistake at once.
    """
    declaration = MODELS.declaration(family)
    values, data, fit = _settle(MODELS, family, preset, settings)
    base = merge(_defaults(declaration.Params, task_of(dataset)), params or {})
    data_options = DATASETS.declaration(dataset).Options
    resolved, chosen_data, chosen_fit = parse_together(
        (declaration.Params, merge(base, values), f"model {family}"),
        (data_options, data, f"dataset {dataset}"),
        (FitOptions, merge(usual_fit(family), fit), "fit"),
        beside=_keys_of(data=data_options, fit=FitOptions),
    )
    resolved_data = chosen_data.model_dump(mode="json")
    task = task_of(dataset, resolved_data)
    _check_kind(declaration, task, what=f"model {family}")
    check = getattr(declaration, "check", None)
    if check is not None:
        check(resolved, task)
    return TrainSpec(
        family=family,
        dataset=dataset,
        data=resolved_data,
        params=resolved.model_dump(mode="json"),
        fit=chosen_fit,
        seed=seed,
        test=test,
        source=source,
    )


def usual_fit(family: str) -> dict[str, Any]:
    """Training options that a family's file declares as ``FIT`` where it wants others than the usual ones."""
    return dict(getattr(MODELS.declaration(family), "FIT", {}))


def resolve_data(dataset: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The dataset's options, validated and complete."""
    return dict(
        parse_options(DATASETS.declaration(dataset).Options, values, what=f"dataset {dataset}").model_dump(mode="json")
    )


def task_of(dataset: str, data: Mapping[str, Any] | None = None) -> Task:
    """The dataset's task under its options ``data`` (default: its defaults), without loading data.

    A dataset whose task depends on its options declares ``task(options)`` beside its ``TASK``.

    Raises:
        UnknownName, BadSpec: when there is no such dataset, or its options are malformed.
    """
    declaration = DATASETS.declaration(dataset)
    task: Task = declaration.TASK
    if data is not None and hasattr(declaration, "task"):
        task = declaration.task(parse_options(declaration.Options, data, what=f"dataset {dataset}"))
    return task


def _check_kind(declaration: Any, task: Task, *, what: str) -> None:
    kinds: frozenset[TaskKind] = getattr(declaration, "KINDS", SUPERVISED)
    if task.kind not in kinds:
        raise BadSpec(
            f"{what}: {task.name} is a {task.kind} task, and this is for {' or '.join(sorted(kinds))}",
            "mmfuse data ls; mmfuse zoo models",
        )


def _keys_of(**groups: type[Options]) -> list[str]:
    """The dotted keys of groups of options, as ``--set`` takes them."""
    return [f"{group}.{name}" for group, model in groups.items() for name in model.model_fields]


def _defaults(model: type[Options], task: Task) -> dict[str, Any]:
    """The defaults of ``model``, so that a setting reaches one parameter of a block and leaves its others alone.

    Of a default that has an entry per modality only those of the task's modalities are kept.
    """
    fields = model.model_fields.items()
    defaults = {name: field.get_default(call_default_factory=True) for name, field in fields if not field.is_required()}
    return {name: _of_modalities(value, task) for name, value in defaults.items()}


def _of_modalities(default: Any, task: Task) -> Any:
    by_modality = isinstance(default, Mapping) and all(isinstance(value, Mapping) for value in default.values())
    if not by_modality:
        return default
    return {name: value for name, value in default.items() if name in {modality.name for modality in task.modalities}}


def _settle(
    registry: Registry, name: str, preset: str | None, settings: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Preset and settings of a named thing, split into its own values, the dataset's and those of training."""
    presets: Mapping[str, Mapping[str, Any]] = getattr(registry.declaration(name), "PRESETS", {})
    if preset is not None and preset not in presets:
        raise unknown_name(f"preset of {name}", preset, presets)
    values = merge(presets[preset] if preset is not None else {}, parse_assignments(settings))
    parts = [values.pop(part, {}) for part in ("data", "fit")]
    for part, given in zip(("data", "fit"), parts, strict=True):
        if not isinstance(given, Mapping):
            raise BadSpec(f"'{part}' is a group of options, got {given!r}", f"write for example --set {part}.KEY=VALUE")
    return values, dict(parts[0]), dict(parts[1])
