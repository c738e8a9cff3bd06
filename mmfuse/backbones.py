"""Backbones by name: which model reads a modality, and which taps it offers to a search over fusions.

A backbone is a model family whose file also declares ``tap_widths(params, task)``: the number of features of each of
its taps, shallow to deep. Widths may follow from the input, so the task is at hand. Its model has the methods of
`mmfuse.models.tapped.Tapped`. A family that can read more than one modality has a parameter ``modality``.

A dataset's file may name its backbones, ``BACKBONES = {"image": {"family": ..., "params": {...}}, ...}``, in its
declaration. This module is free of torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from mmfuse.architecture import Architecture
from mmfuse.errors import BadSpec
from mmfuse.options import Options, parse_options
from mmfuse.registry import DATASETS, MODELS
from mmfuse.task import Task


class BackboneChoice(Options):
    """One modality's backbone."""

    family: str
    """Model family that declares taps, such as lenet_image."""
    params: dict[str, Any] = {}
    """The family's parameters."""
    weights: str | None = None
    """A run, a checkpoint's path, or the hash of weights that the data root holds; null: found or pretrained."""

    @property
    def architecture(self) -> Architecture:
        """The backbone as a model of its own, its parameters complete.

        Raises:
            UnknownName, BadSpec: when there is no such family, or its parameters are malformed.
        """
        return Architecture(self.family, _params(self).model_dump(mode="json"))


def choose_backbones(
    task: Task, given: Mapping[str, BackboneChoice], *, modalities: Sequence[str] | None = None
) -> dict[str, BackboneChoice]:
    """The backbone of each of ``modalities`` (default: all of the task): given, else the dataset's, else its LeNet.

    A family with a parameter ``modality`` need not be told which one it is chosen for.

    Raises:
        BadSpec: for a modality that none of the three names a backbone for.
        UnknownName: when there is no family of the name given.
    """
    fused = [modality.name for modality in task.modalities] if modalities is None else list(modalities)
    strangers = [name for name in given if name not in fused]
    if strangers:
        raise BadSpec(f"a backbone is given for '{strangers[0]}', which is not fused", f"fused are {', '.join(fused)}")
    known = {**dataset_backbones(task), **given}
    return {name: _aimed(known.get(name) or _lenet(name, task), name) for name in fused}


def dataset_backbones(task: Task) -> dict[str, BackboneChoice]:
    """The backbones that the dataset of ``task`` declares, by modality; none where it declares none."""
    if task.name not in DATASETS.names():
        return {}
    declared: Mapping[str, Mapping[str, Any]] = getattr(DATASETS.declaration(task.name), "BACKBONES", {})
    return {
        name: parse_options(BackboneChoice, choice, what=f"backbone of {name} in dataset {task.name}")
        for name, choice in declared.items()
    }


def tapped_families() -> tuple[str, ...]:
    """Every model family that can be a backbone."""
    return tuple(name for name in MODELS.names() if hasattr(MODELS.declaration(name), "tap_widths"))


def tap_widths(choice: BackboneChoice, task: Task) -> tuple[int, ...]:
    """How many features each tap of the backbone has on the inputs of ``task``.

    Raises:
        UnknownName, BadSpec: when there is no such family, it declares no taps, or its parameters are malformed.
    """
    family = _family(choice)
    declared: tuple[int, ...] = family.tap_widths(_params(choice), task)
    return declared


def check_backbone(choice: BackboneChoice, task: Task, modality: str) -> None:
    """Check that the backbone exists, reads ``modality`` and can take its shape.

    Raises:
        UnknownName, BadSpec: when not.
    """
    family, params = _family(choice), _params(choice)
    reads = getattr(params, "modality", modality)
    if reads != modality:
        raise BadSpec(
            f"the backbone {choice.family} of {modality} reads {reads}",
            f"--set {_path(modality)}.params.modality={modality} "
            f"(in a search --set benchmark.{_path(modality)}.params.modality={modality})",
        )
    check = getattr(family, "check", None)
    if check is not None:
        check(params, task)
    tap_widths(choice, task)


def _family(choice: BackboneChoice) -> ModuleType:
    """The declaration of a family that has taps."""
    family = MODELS.declaration(choice.family)
    if not hasattr(family, "tap_widths"):
        raise BadSpec(
            f"model {choice.family} declares no taps, so it cannot be a backbone",
            f"known: {', '.join(tapped_families())}",
        )
    return family


def _params(choice: BackboneChoice) -> Options:
    params: Options = parse_options(
        MODELS.declaration(choice.family).Params, choice.params, what=f"model {choice.family}"
    )
    return params


def _aimed(choice: BackboneChoice, modality: str) -> BackboneChoice:
    """``choice``, told which modality it reads if its family asks and nobody has said."""
    asks = "modality" in MODELS.declaration(choice.family).Params.model_fields
    if not asks or "modality" in choice.params:
        return choice
    return choice.model_copy(update={"params": {**choice.params, "modality": modality}})


_USUAL = {"grid": "lenet_image", "skeleton": "hcn", "video": "inflated_resnet"}
"""What to propose for a kind of modality; what is no map can be flattened for maxout_text."""


def _lenet(modality: str, task: Task) -> BackboneChoice:
    family = f"lenet_{modality}"
    if family not in MODELS.names():
        kind = next((known.kind for known in task.modalities if known.name == modality), "")
        usual = _USUAL.get(kind, "maxout_text")
        raise BadSpec(
            f"no backbone is known for modality '{modality}' of {task.name}",
            f"name one of {', '.join(tapped_families())}: --set {_path(modality)}.family={usual} "
            f"(in a search --set benchmark.{_path(modality)}.family={usual})",
        )
    return BackboneChoice(family=family)


def _path(modality: str) -> str:
    """The option that holds a modality's backbone, in the parameters of a model."""
    return f"backbones.{modality}"
