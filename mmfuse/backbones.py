"""Backbones by name: which model reads a modality, and which taps it offers to a search over fusions.

A backbone is a model family whose file also declares ``tap_widths(params)``: the number of features of each of its
taps, in order. This module is free of torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmfuse.architecture import Architecture
from mmfuse.errors import BadSpec
from mmfuse.options import Options, parse_options
from mmfuse.registry import MODELS
from mmfuse.task import Task


class BackboneChoice(Options):
    """One modality's backbone."""

    family: str
    """Model family that declares taps, such as lenet_image."""
    params: dict[str, Any] = {}
    """The family's parameters."""
    weights: str | None = None
    """Content hash of trained weights that the data root holds, or a checkpoint's path; null: found or pretrained."""

    @property
    def architecture(self) -> Architecture:
        """The backbone as a model of its own, its parameters complete.

        Raises:
            UnknownName, BadSpec: when there is no such family, or its parameters are malformed.
        """
        params = parse_options(MODELS.declaration(self.family).Params, self.params, what=f"model {self.family}")
        return Architecture(self.family, params.model_dump(mode="json"))


def choose_backbones(modalities: Sequence[str], given: Mapping[str, BackboneChoice]) -> dict[str, BackboneChoice]:
    """The backbone of each modality: the one given, else the LeNet that is named after the modality.

    Raises:
        BadSpec: for a modality that nothing is given for and no LeNet is named after.
    """
    strangers = [name for name in given if name not in modalities]
    if strangers:
        raise BadSpec(
            f"a backbone is given for '{strangers[0]}', which is not fused", f"fused are {', '.join(modalities)}"
        )
    return {name: given.get(name) or _default(name) for name in modalities}


def tap_widths(choice: BackboneChoice) -> tuple[int, ...]:
    """How many features each tap of the backbone has.

    Raises:
        UnknownName, BadSpec: when there is no such family, it declares no taps, or its parameters are malformed.
    """
    family = MODELS.declaration(choice.family)
    widths = getattr(family, "tap_widths", None)
    if widths is None:
        known = ", ".join(name for name in MODELS.names() if hasattr(MODELS.declaration(name), "tap_widths"))
        raise BadSpec(f"model {choice.family} declares no taps, so it cannot be a backbone", f"known: {known}")
    declared: tuple[int, ...] = widths(parse_options(family.Params, choice.params, what=f"model {choice.family}"))
    return declared


def check_backbone(choice: BackboneChoice, task: Task, modality: str) -> None:
    """Check that the backbone exists, reads ``modality`` and can take its shape.

    Raises:
        UnknownName, BadSpec: when not.
    """
    tap_widths(choice)
    family = MODELS.declaration(choice.family)
    params = parse_options(family.Params, choice.params, what=f"model {choice.family}")
    reads = getattr(params, "modality", modality)
    if reads != modality:
        raise BadSpec(
            f"the backbone {choice.family} of {modality} reads {reads}",
            f"--set backbones.{modality}.params.modality={modality}",
        )
    family.check(params, task)


def _default(modality: str) -> BackboneChoice:
    family = f"lenet_{modality}"
    if family not in MODELS.names():
        raise BadSpec(
            f"no backbone is known for modality '{modality}'",
            f"name one, for example --set backbones.{modality}.family=lenet_image"
            f" --set backbones.{modality}.params.modality={modality}",
        )
    return BackboneChoice(family=family)
