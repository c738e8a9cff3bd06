"""What the dashboard knows of a model family: how its architectures are drawn, and which choices they consist of.

A family is one file here, named like the model. It declares ``draw(params, width, task)``, the diagram as lines of at
most ``width`` cells where that is possible (``task`` is None where nobody knows it), and ``choices(params)``, the
decisions a search makes about such a model, as words by name. A family without a file is drawn as the list of its
parameters. A file may also declare ``baseline(params, task)``: the name of the baseline that an architecture is (""
for none), and ``parents(child, earlier)``: the places, in a list of architectures that were asked at earlier stages,
best first, of those that the search made ``child`` of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from mmfuse.architecture import Architecture
from mmfuse.errors import MmfuseError
from mmfuse.registry import Registry
from mmfuse.task import Task
from mmfuse_tui.clean import clean, fit
from mmfuse_tui.facts import flatten
from mmfuse_tui.sketch import Line

FAMILIES = Registry("family of diagrams", "mmfuse_tui.families", ("draw", "choices"))

_UNFIT = (MmfuseError, KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What a drawer may raise over parameters of another version or shape: they are listed then."""


def draw_architecture(architecture: Architecture, width: int, *, task: Task | None = None) -> list[Line]:
    """The diagram of an architecture."""
    family = _family(architecture.family)
    if family is not None:
        try:
            lines: list[Line] = family.draw(architecture.params, width, task)
            return lines
        except _UNFIT:
            pass
    return _listed(architecture.params, width)


def choices_of(architecture: Architecture) -> dict[str, str]:
    """The decisions that make the architecture, as words by name."""
    family = _family(architecture.family)
    if family is not None:
        try:
            return {name: clean(str(value)) for name, value in family.choices(architecture.params).items()}
        except _UNFIT:
            pass
    return dict(flatten(architecture.params))


def baseline_of(architecture: Architecture, *, task: Task | None = None) -> str:
    """Which baseline the architecture is, empty for none."""
    name = getattr(_family(architecture.family), "baseline", None)
    try:
        return str(name(architecture.params, task)) if name is not None else ""
    except _UNFIT:
        return ""


def parents_of(child: Architecture, earlier: Sequence[Architecture]) -> list[int]:
    """Places in ``earlier`` (what was asked at earlier stages, best first) of what a search made ``child`` of."""
    find = getattr(_family(child.family), "parents", None)
    try:
        return list(find(child, earlier)) if find is not None else []
    except _UNFIT:
        return []


def _family(name: str) -> ModuleType | None:
    return FAMILIES.get(name) if name in FAMILIES.names() else None


def _listed(params: Mapping[str, Any], width: int) -> list[Line]:
    rows = list(flatten(params))
    wide = min(max((len(name) for name, _ in rows), default=0), max(8, width // 2))
    return [((fit(name, wide) + "  ", "plot--label"), (value, "")) for name, value in rows]
