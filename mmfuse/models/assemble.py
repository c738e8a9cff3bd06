"""From an architecture to a model."""

from __future__ import annotations

from typing import cast

from torch import nn

from mmfuse.architecture import Architecture
from mmfuse.options import parse_options
from mmfuse.registry import MODELS
from mmfuse.task import Task


def build_model(architecture: Architecture, task: Task) -> nn.Module:
    """The untrained model, with torch's default initialisation drawn from the global generator (seed it first).

    Raises:
        UnknownName: when there is no such family or block.
        BadSpec: when parameters are malformed, or the parts fit neither the task nor each other.
    """
    family = MODELS.get(architecture.family)
    params = parse_options(family.Params, architecture.params, what=f"model {architecture.family}")
    check = getattr(family, "check", None)
    if check is not None:
        check(params, task)
    return cast(nn.Module, family.build(params, task))
