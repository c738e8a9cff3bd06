"""MixMAS: the family of architectures its search chooses from.

Chergui et al., "MixMAS: A Framework for Sampling-Based Mixer Architecture Search for Multimodal Fusion and Learning"
(2024, arXiv 2412.18437). An encoder per modality, a fusion function, a fusion network; a head on the fused tokens and
one per modality, trained together. The prediction is the mean of all heads' logits.

Where we differ from the released code, which trains no encoders on multiclass tasks because it does not register them:
every part is registered; fused width follows from the encoders instead of being 512; any number of modalities; token
sets of other widths are projected to the common one (``align`` "pad" keeps the published zero filling).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mmfuse.errors import BadSpec
from mmfuse.models.block_choice import check_encoders, check_network
from mmfuse.models.shapes import Alignment, FusionName, fused_shape
from mmfuse.options import Options
from mmfuse.task import Task


class Params(Options):
    """An architecture of the MixMAS space."""

    encoders: dict[str, dict[str, Any]]
    """Block and its parameters for each modality, such as ``{"image": {"block": "mlp", "patch": 14}}``."""
    fusion: FusionName = "concat"
    """Fusion function (the released search always concatenates)."""
    network: dict[str, Any] = {"block": "mlp", "depth": 2, "token_hidden": 32, "channel_hidden": 3072}
    """Block and its parameters of the network on fused tokens (MixMAS: MLP-Mixer, 2 blocks, 32/3072)."""
    width: Annotated[int, Field(ge=1)] | None = None
    """Channels of fused tokens, with ``align`` "project"; null takes the widest encoder's."""
    align: Alignment = "project"
    """How encoders of other widths are brought to it: a linear projection, or the published zero filling."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on fused tokens, before the network (MixMAS has none there)."""
    prediction: Literal["average", "fused"] = "average"
    """Logits that predict: the mean over all heads (MixMAS), or the fusion head's alone (M2-Mixer)."""


def check(params: Params, task: Task) -> None:
    """Check that the parts fit the task and each other.

    Raises:
        BadSpec, UnknownName: when they do not.
    """
    if params.align == "pad" and params.width is not None:
        raise BadSpec(f"model mixmas: zero filling cannot bring tokens to width {params.width}", "--set align=project")
    shapes = check_encoders(params.encoders, task, family="mixmas")
    check_network(
        params.network, fused_shape(params.fusion, list(shapes.values()), width=params.width, align=params.align)
    )


from torch import nn

from mmfuse.models.encoders import build_network
from mmfuse.models.fusion import build_fusion
from mmfuse.models.fusion_mixer import FusionMixer, build_encoders, build_heads, token_shapes
from mmfuse.models.losses import MultiHeadLoss


def build(params: Params, task: Task) -> FusionMixer:
    """The model; its loss is the plain sum of the prediction's and of every unimodal head's."""
    encoders = build_encoders(params.encoders, task)
    shapes = token_shapes(encoders)
    fused = fused_shape(params.fusion, shapes, width=params.width, align=params.align)
    fusion = build_fusion(params.fusion, shapes, width=params.width, align=params.align)
    return FusionMixer(
        encoders,
        fusion=nn.Sequential(fusion, nn.Dropout(params.dropout)) if params.dropout else fusion,
        network=build_network(params.network, fused),
        heads=build_heads(encoders, fused, outputs=task.outputs),
        criterion=MultiHeadLoss(task.kind, modalities=list(encoders)),
        averages=params.prediction == "average",
    )
