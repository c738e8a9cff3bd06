"""One modality's encoder out of a trained fusion model, as a backbone of its own.

M2-Mixer and MixMAS name their parts alike: ``encoders.<modality>``, and ``heads.<modality>`` for the linear head that
each modality is trained with. Both are the parts of a `unimodal` model with a linear head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from mmfuse.architecture import Architecture
from mmfuse.errors import CheckpointMismatch
from mmfuse.options import parse_options
from mmfuse.registry import MODELS
from mmfuse.training.checkpoint import Checkpoint


def encoder_of(checkpoint: Checkpoint, modality: str) -> Checkpoint:
    """``checkpoint``, or if it is of a model with encoders, its part that reads ``modality`` as a `unimodal` model.

    Raises:
        CheckpointMismatch: when the model has no encoder of that modality, or no head on it.
    """
    encoders: Mapping[str, Any] = checkpoint.architecture.params.get("encoders", {})
    if not encoders:
        return checkpoint
    parts = _moved(checkpoint.weights, f"encoders.{modality}.", to=f"encoders.{modality}.")
    head = _moved(checkpoint.weights, f"heads.{modality}.", to="head.")
    if modality not in encoders or not head:
        lacking = "encoder of" if modality not in encoders else "head of its own for"
        raise CheckpointMismatch(
            f"the {checkpoint.architecture.family} in that checkpoint has no {lacking} {modality}",
            f"it encodes {', '.join(encoders)}; train it with unimodal heads",
        )
    params = {"modality": modality, "encoder": dict(encoders[modality]), "head_hidden": None}
    complete = parse_options(MODELS.declaration("unimodal").Params, params, what="model unimodal")
    architecture = Architecture("unimodal", complete.model_dump(mode="json"))
    return replace(checkpoint, architecture=architecture, weights=parts | head, metrics={}, training=None)


def _moved(weights: Mapping[str, Tensor], prefix: str, *, to: str) -> dict[str, Tensor]:
    """The weights whose names begin with ``prefix``, renamed."""
    return {to + name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
