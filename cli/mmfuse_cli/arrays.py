"""Architectures in the notation of published code: integer arrays in, integer arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmfuse.errors import BadSpec, MmfuseError
from mmfuse.options import parse_options
from mmfuse.registry import MODELS
from mmfuse.spec import task_of


def array_params(family: str, text: str, *, convention: str | None, dataset: str) -> dict[str, Any]:
    """The parameters of the model that the array ``text`` stands for on ``dataset``.

    Raises:
        UnknownName: no such model, dataset or convention.
        BadSpec: the model is not written as arrays, or this is no array of it.
    """
    declaration = MODELS.declaration(family)
    if not hasattr(declaration, "from_array"):
        writable = [name for name in MODELS.names() if hasattr(MODELS.declaration(name), "from_array")]
        raise BadSpec(f"model {family} is not written as an array", f"--arch is for {', '.join(writable)}")
    params: dict[str, Any] = declaration.from_array(text, convention=convention, task=task_of(dataset))
    return params


def arrays_of(architecture: Mapping[str, Any] | None) -> dict[str, list[list[int]]] | None:
    """An architecture (as JSON) as arrays by convention; None for a model that is not written so."""
    family = (architecture or {}).get("family")
    if architecture is None or family not in MODELS.names():
        return None
    declaration = MODELS.declaration(family)
    if not hasattr(declaration, "to_arrays"):
        return None
    try:
        params = parse_options(declaration.Params, architecture.get("params", {}), what=f"model {family}")
    except MmfuseError:  # a run of another version
        return None
    arrays: dict[str, list[list[int]]] = declaration.to_arrays(params)
    return arrays
