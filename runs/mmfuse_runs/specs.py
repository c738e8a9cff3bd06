"""Specs as people type them: what they are about, and the settings that would make them again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel

from mmfuse.encoding import CHECKPOINT, EncoderChoice, options_of
from mmfuse.errors import BadSpec, UnknownName
from mmfuse.registry import DATASETS, ENCODERS, MODELS, SEARCHES, Registry
from mmfuse.spec import EvalSpec, ExtractSpec, FitOptions, SearchSpec, TrainSpec, resolve_search, usual_fit
from mmfuse_runs.declared import options_model

USUAL_PRESETS = frozenset({"paper", "small"})
"""Presets of which one is taken where none is named: see `mmfuse_runs.begin.usual_preset`."""

Spec: TypeAlias = SearchSpec | TrainSpec | EvalSpec | ExtractSpec


def subject_of(spec: Spec) -> str:
    """The search, model family, encoder or, for a measurement, the split: the second part of a run's id."""
    if isinstance(spec, SearchSpec):
        return spec.search
    if isinstance(spec, ExtractSpec):
        return EncoderChoice(spec.encoder, spec.size).name
    return spec.family if isinstance(spec, TrainSpec) else f"eval_{spec.split}"


def data_and_fit(spec: Spec) -> list[str]:
    """The dataset's options and those of training, as ``--set`` arguments that give the same ones again."""
    fit = {} if isinstance(spec, EvalSpec | ExtractSpec) else spec.fit.model_dump(mode="json")
    return [*_assignments(spec.data, "data."), *_assignments(fit, "fit.")]


def all_settings(spec: SearchSpec | TrainSpec) -> list[str]:
    """Every setting of ``spec`` as ``--set`` arguments."""
    own = spec.options if isinstance(spec, SearchSpec) else spec.params
    return [*_assignments(own), *data_and_fit(spec)]


def command_of(spec: Spec) -> str:
    """The shell command that starts a run of the same spec, with no more settings than needed.

    Raises:
        BadSpec: settings cannot spell the spec (they add to what a preset says and take nothing away).
    """
    preset, settings = preset_and_settings(spec)
    chosen = [*(["--preset", preset] if preset else []), *(word for one in settings for word in ("--set", one))]
    if isinstance(spec, EvalSpec):
        words = ["eval", spec.measure, spec.source or spec.checkpoint, "--split", spec.split]
        if spec.measure == "retrieval":
            words += ["--draws", str(spec.draws), *(["--against", spec.against] if spec.against else [])]
        return shlex.join(["mmfuse", *words, *chosen])
    if isinstance(spec, ExtractSpec):
        return shlex.join(["mmfuse", "extract", spec.dataset, *_extraction_words(spec), *chosen])
    words = ["search", spec.search] if isinstance(spec, SearchSpec) else ["train", spec.family]
    return shlex.join(["mmfuse", *words, "--dataset", spec.dataset, *_switches(spec), *chosen])


def preset_and_settings(spec: Spec) -> tuple[str | None, list[str]]:
    """The preset, if any, and the fewest ``KEY=VALUE`` assignments that give the spec again.

    Raises:
        BadSpec: settings cannot spell the spec.
    """
    if isinstance(spec, SearchSpec):
        return _search_settings(spec)
    if isinstance(spec, ExtractSpec):
        return None, _extraction_settings(spec)
    data = _assignments(_changed(spec.data, DATASETS, spec.dataset), "data.")
    if isinstance(spec, EvalSpec):
        return None, data
    own = _changed(spec.params, MODELS, spec.family)
    fit = _difference(_dump(spec.fit), _dump(FitOptions(**usual_fit(spec.family))))
    return None, [*_assignments(own), *data, *_assignments(fit, "fit.")]


def _extraction_words(spec: ExtractSpec) -> list[str]:
    own = spec.encoder == CHECKPOINT
    encoder = (spec.source or spec.options["path"]) if own else EncoderChoice(spec.encoder, spec.size).name
    words = ["--modality", spec.modality, "--encoder", encoder]
    words += ["--storage", spec.storage] if spec.storage != "float16" else []
    return [*words, *(["--output", spec.output] if spec.output else [])]


def _extraction_settings(spec: ExtractSpec) -> list[str]:
    options = {key: value for key, value in spec.options.items() if key != "path"}
    defaults = ENCODERS.declaration(spec.encoder).Options.model_construct().model_dump(mode="json", warnings=False)
    data = _difference(spec.data, _dump(options_of(spec.dataset)()))
    return [*_assignments(_difference(options, defaults)), *_assignments(data, "data.")]


def _search_settings(spec: SearchSpec) -> tuple[str | None, list[str]]:
    """Preset and settings that give the spec again, as few as possible.

    A preset is always named where one is taken without `--preset`, for which one depends on the machine.
    """
    presets = getattr(SEARCHES.declaration(spec.search), "PRESETS", {})
    candidates = [_settings_beside(spec, name, presets[name]) for name in presets]
    if not USUAL_PRESETS & presets.keys():
        candidates.insert(0, _settings_beside(spec, None, {}))
    exact = [(name, changes) for name, changes, same in candidates if same]
    if not exact:
        raise BadSpec("the settings of this search cannot be spelled as a command", "mmfuse runs rerun RUN")
    return min(exact, key=lambda found: len(found[1]))


def _settings_beside(
    spec: SearchSpec, name: str | None, preset: Mapping[str, Any]
) -> tuple[str | None, list[str], bool]:
    """The settings in which ``spec`` differs from a preset, and whether both together give exactly ``spec``."""
    own = {key: value for key, value in preset.items() if key not in ("fit", "data")}
    parts = (
        ("", spec.options, options_model(SEARCHES.declaration(spec.search)), own),
        ("data.", spec.data, options_model(DATASETS.declaration(spec.dataset)), preset.get("data", {})),
        ("fit.", _dump(spec.fit), FitOptions, preset.get("fit", {})),
    )
    changes = [
        assignment
        for prefix, values, model, given in parts
        for assignment in _assignments(_difference(values, _dump(model.model_validate(given))), prefix)
    ]
    try:
        again = resolve_search(
            spec.search,
            spec.dataset,
            preset=name,
            settings=changes,
            seed=spec.seed,
            train=spec.train,
            test=spec.test,
        )
    except (BadSpec, UnknownName):
        return name, [], False
    return name, changes, again == spec


def _dump(options: BaseModel) -> dict[str, Any]:
    return options.model_dump(mode="json")


def _switches(spec: SearchSpec | TrainSpec) -> list[str]:
    switches = ["--seed", str(spec.seed)] if spec.seed else []
    if isinstance(spec, SearchSpec) and not spec.train:
        switches.append("--no-train")
    return switches if spec.test else [*switches, "--no-test"]


def _changed(values: Mapping[str, Any], registry: Registry, name: str) -> dict[str, Any]:
    """What of ``values`` differs from the defaults of the registered thing; all of it where there are none."""
    model = options_model(registry.declaration(name))
    try:
        defaults = model().model_dump(mode="json")
    except ValueError:  # some field has no default
        defaults = {}
    return _difference(values, defaults)


def _difference(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of ``values`` that differ from ``defaults``, dotted where both hold groups."""
    changed: dict[str, Any] = {}
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            changed |= {f"{key}.{below}": item for below, item in _difference(value, default).items()}
        elif key not in defaults or value != default:
            changed[key] = value
    return changed


def _assignments(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    return [f"{prefix}{key}={_spelled(value)}" for key, value in values.items()]


def _spelled(value: Any) -> str:
    """``value`` as ``--set`` reads it back: bare text where JSON would not change it, else JSON."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False)
