"""M2-Mixer: the hand-made baseline that MixMAS starts from.

Bezirganyan et al., "M2-Mixer: A Multimodal Mixer with Multi-head Loss for Classification from Multimodal Data"
(2023, IEEE BigData, pp. 1052-1058). MLP-Mixer encoders, concatenation, an MLP-Mixer as fusion network, and three heads
trained together; only the fusion head predicts.

Where we differ from the released code: the loss weight moves after real validation epochs only (there a sanity check
before training moves it too) and is saved with the model. The factor 3 on AV-MNIST's loss and its absence on MIMIC-III
are kept (``loss_scale``); so is AV-MNIST B's fusion width of 3078, beside a preset with the 3072 of the README.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from mmfuse.models.block_choice import check_encoders, check_network
from mmfuse.models.shapes import FusionName, check_label_weights, fused_shape
from mmfuse.options import Options
from mmfuse.task import Task


def _avmnist(
    *, dim: int, token: int, channel: int, depth: int, fusion_channel: int, fusion_depth: int, dropout: float
) -> dict[str, Any]:
    """An AV-MNIST configuration: 4 tokens of each modality, 8 fused (configs of the released code)."""
    mixer = {"block": "mlp", "token_hidden": token, "dropout": dropout}
    encoder = mixer | {"dim": dim, "depth": depth, "channel_hidden": channel}
    return {
        "encoders": {"image": encoder | {"patch": 14}, "audio": encoder | {"patch": 56}},
        "network": mixer | {"depth": fusion_depth, "channel_hidden": fusion_channel},
    }


def _mimic_iii(*, change: float) -> dict[str, Any]:
    """A MIMIC-III configuration: the fusion network's token width is 8 where the paper's table says 16."""
    mixer = {"block": "mlp", "depth": 1, "channel_hidden": 64, "dropout": 0.3}
    return {
        "encoders": {
            "static": {"block": "perceptron", "dim": 64, "hidden": 64, "depth": 2, "dropout": 0.3},
            "timeseries": mixer | {"dim": 64, "token_hidden": 16},
        },
        "network": mixer | {"token_hidden": 8},
        "loss_scale": 1.0,
        "fusion_loss_change": change,
    }


_MM_IMDB_POS_WEIGHT = (
    4.57642832, 7.38544978, 10.79846869, 13.23391421, 15.59020924, 18.62735849, 22.48861048, 25.21711367,
    74.50943396, 31.31641554, 31.79549114, 32.90833333, 39.64859438, 56.90201729, 40.46106557, 58.24483776,
    67.3890785, 84.92473118, 58.33087149, 62.68253968, 114.13294798, 141.54121864, 116.83431953,
)  # fmt: skip


def _mm_imdb(text: dict[str, Any], *, data: dict[str, Any]) -> dict[str, Any]:
    """An MM-IMDB configuration with the given text encoder; the loss is the plain sum of three weighted BCEs.

    ``data`` are the representations it was made for.
    """
    image = {"block": "mlp", "dim": 256, "patch": 16, "depth": 4, "token_hidden": 32, "channel_hidden": 3072}
    return {
        "encoders": {"image": image, "text": text},
        "network": {"block": "mlp", "depth": 2, "token_hidden": 32, "channel_hidden": 3072},
        "pos_weight": _MM_IMDB_POS_WEIGHT,
        "data": data | {"scaling": "imagenet"},
    }


def _mm_imdb_small() -> dict[str, Any]:
    """Ours: small enough for a CPU, on small posters and mean word vectors, each label weighed alike."""
    mixer = {"block": "mlp", "channel_hidden": 128, "dropout": 0.3}
    return {
        "encoders": {
            "image": mixer | {"dim": 64, "patch": 16, "depth": 2, "token_hidden": 32},
            "text": mixer | {"dim": 64, "depth": 1, "token_hidden": 8, "channel_hidden": 64},
        },
        "network": mixer | {"depth": 1, "token_hidden": 32},
    }


_S = _avmnist(dim=32, token=16, channel=256, depth=2, fusion_channel=256, fusion_depth=1, dropout=0.1)
_M = _avmnist(dim=64, token=16, channel=1024, depth=2, fusion_channel=1024, fusion_depth=1, dropout=0.1)


def _avmnist_b(fusion_channel: int) -> dict[str, Any]:
    return _avmnist(
        dim=128, token=32, channel=3072, depth=4, fusion_channel=fusion_channel, fusion_depth=2, dropout=0.5
    )


PRESETS: dict[str, dict[str, Any]] = {
    "avmnist_s": _S,
    "avmnist_m": _M,
    "avmnist_m_single_head": _M | {"unimodal_heads": False, "loss_scale": 1.0},
    "avmnist_b": _avmnist_b(3078),
    "avmnist_b_3072": _avmnist_b(3072),
    "mimic_iii_h": _mimic_iii(change=0.0),
    "mimic_iii_lc": _mimic_iii(change=0.05),
    "mm_imdb_small": _mm_imdb_small(),
    "mm_imdb": _mm_imdb(
        {"block": "mlp", "dim": 256, "depth": 4, "token_hidden": 32, "channel_hidden": 3072},
        data={"image_height": 256, "image_width": 256, "text": "bert", "text_length": 512},
    ),
    "mm_imdb_pnlp": _mm_imdb(
        {"block": "pnlp", "dim": 256, "depth": 4, "hidden": 512, "window": 1},
        data={"image_height": 256, "image_width": 160, "text": "pnlp", "text_length": 160},
    ),
}
"""Presets for MM-IMDB choose the representations too."""


class Params(Options):
    """An M2-Mixer; the defaults are its S size for AV-MNIST, the presets hold the published ones."""

    encoders: dict[str, dict[str, Any]] = _S["encoders"]
    """Block and its parameters for each modality."""
    fusion: FusionName = "concat"
    """Fusion function (M2-Mixer: concat; its code offers gated units too)."""
    network: dict[str, Any] = _S["network"]
    """Block and its parameters of the network on fused tokens."""
    unimodal_heads: bool = True
    """Whether each modality has a head and a loss of its own (the multi-head loss of the paper)."""
    fusion_loss_weight: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share w of the fusion head's loss at the start; null: 1 / (modalities + 1), the published 1/3 for two."""
    fusion_loss_change: Annotated[float, Field(ge=0, le=1)] = 0.0
    """What w gains after each validation epoch, up to 1 (LC configurations: 0.05)."""
    loss_change_epoch: Annotated[int, Field(ge=0)] = 0
    """First epoch, counted from 0, after which w gains (M2-Mixer: 0)."""
    loss_scale: Annotated[float, Field(gt=0)] | None = None
    """Factor on the total; null: number of heads (AV-MNIST: 3, a plain sum at w = 1/3; MIMIC-III: 1)."""
    pos_weight: tuple[float, ...] | None = None
    """Cost of a missed label relative to a false one, per label; multilabel tasks only (MM-IMDB: 23 values)."""


def check(params: Params, task: Task) -> None:
    """Check that the parts fit the task and each other.

    Raises:
        BadSpec, UnknownName: when they do not.
    """
    shapes = check_encoders(params.encoders, task, family="m2_mixer")
    check_network(params.network, fused_shape(params.fusion, list(shapes.values())))
    check_label_weights(params.pos_weight, task, family="m2_mixer")


from torch import nn

from mmfuse.models.encoders import build_network
from mmfuse.models.fusion import build_fusion
from mmfuse.models.fusion_mixer import FusionMixer, build_encoders, build_heads, token_shapes
from mmfuse.models.losses import MultiHeadLoss


def build(params: Params, task: Task) -> nn.Module:
    """The model, with its three-headed loss and that loss's weight schedule."""
    encoders = build_encoders(params.encoders, task)
    shapes = token_shapes(encoders)
    fused = fused_shape(params.fusion, shapes)
    heads = build_heads(encoders, fused, outputs=task.outputs)
    return FusionMixer(
        encoders,
        fusion=build_fusion(params.fusion, shapes),
        network=build_network(params.network, fused),
        heads=heads if params.unimodal_heads else {"fusion": heads["fusion"]},
        criterion=MultiHeadLoss(
            task.kind,
            modalities=list(encoders) if params.unimodal_heads else [],
            weight=params.fusion_loss_weight,
            scale=params.loss_scale,
            change=params.fusion_loss_change,
            change_epoch=params.loss_change_epoch,
            pos_weight=params.pos_weight,
        ),
        averages=False,
    )
