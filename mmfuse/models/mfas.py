"""MFAS: a chain of small layers, each fusing one tap of every backbone with what the layer before it made.

Pérez-Rúa et al., "MFAS: Multimodal Fusion Architecture Search" (2019, arXiv 1903.06496, section 3.1). Layer l computes
``drop(norm(act(W [a ; b ; h_before] + c)))`` with taps a and b; the classifier reads the last layer. Activations are
0 ReLU, 1 sigmoid, 2 leaky ReLU. Alphas, if wanted, weigh two modalities by s and 1 - s before they are put together.

Where we differ from the released code: taps are standardised with statistics of the training rows (published taps of
different depth differ in scale, and saturate sigmoids); batch norm works on every dataset (in the AV-MNIST net its
option is ignored); parameters that are off do not exist; without ``multitask``, backbones end at the last tap that is
read; with it, the prediction is the fusion's own unless ``prediction`` asks for the published sum of all heads.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mmfuse.backbones import BackboneChoice, check_backbone, choose_backbones
from mmfuse.backbones import tap_widths as widths_of  # a family that has tap_widths itself is a backbone
from mmfuse.errors import BadSpec
from mmfuse.models.mfas_arrays import ACTIVATIONS, export_arrays, read_array
from mmfuse.models.tap_layout import TapLayout
from mmfuse.options import Options
from mmfuse.task import Task

TRAINER = "two_stage"


class Params(Options):
    """An architecture of the MFAS space, and the backbones it reads."""

    modalities: Annotated[list[str], Field(min_length=1)] = ["image", "audio"]
    """What is fused, in the order of the columns of ``layers``."""
    layers: Annotated[list[list[int]], Field(min_length=1)] = [[2, 4, 0]]
    """Per fusion layer a tap of each modality, then the activation: 0 ReLU, 1 sigmoid, 2 leaky ReLU."""
    width: Annotated[int, Field(ge=1)] = 16
    """Outputs of every fusion layer (MFAS: 16 while searching, 256 in full training)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout after every fusion layer (MFAS: 0.5 while searching, 0.4 in full training)."""
    batchnorm: bool = False
    """Batch normalisation after every activation."""
    alphas: bool = False
    """A learned balance of the two modalities in every layer."""
    multitask: bool = False
    """Train the backbones' own heads along; the loss is the plain sum of all heads' (MFAS on NTU RGB+D)."""
    prediction: Literal["fused", "ensemble"] = "fused"
    """What predicts with ``multitask``: the fusion alone, or (published) the sum of all heads' logits."""
    backbones: dict[str, BackboneChoice] = {}
    """Backbone per modality; one that is not named is the dataset's, or else the LeNet of its modality."""


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "width": 256,
        "dropout": 0.4,
        "fit": {
            "epochs": 70,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "weight_decay": 1e-4,
            "schedule": "restarts",
            "cycle": 5.0,
            "cycle_factor": 2.0,
            "minimum_rate": 1e-6,
            "fusion_epochs": 1,
            "early_stopping": None,
        },
    },
}
"""``paper`` trains a found network as the released programs do (on NTU RGB+D in batches of 20, and with multitask)."""


def from_array(text: str, *, convention: str | None, task: Task) -> dict[str, Any]:
    """The parameters of the network that a published array (or its name) stands for; all of the task is fused.

    Raises:
        UnknownName, BadSpec: when the text is no array of that convention (see `mmfuse.models.mfas_arrays`).
    """
    modalities = [modality.name for modality in task.modalities]
    chain = read_array(text, convention=convention, modalities=modalities)
    return {"modalities": modalities, "layers": [list(row) for row in chain]}


def to_arrays(params: Params) -> dict[str, list[list[int]]]:
    """The network as an array, by the name of each convention that fuses its modalities."""
    return export_arrays(tuple(tuple(row) for row in params.layers), modalities=params.modalities)


def layout_of(params: Params, task: Task) -> TapLayout:
    """All taps of the backbones.

    Raises:
        UnknownName, BadSpec: when a backbone does not exist or has no taps.
    """
    chosen = choose_backbones(task, params.backbones, modalities=params.modalities)
    return TapLayout(tuple(widths_of(choice, task) for choice in chosen.values()))


def check(params: Params, task: Task) -> None:
    """Check that the backbones fit the task and the layers the backbones.

    Raises:
        BadSpec, UnknownName: when not.
    """
    known = [modality.name for modality in task.modalities]
    foreign = [name for name in params.modalities if name not in known]
    if foreign or len(set(params.modalities)) < len(params.modalities):
        raise BadSpec(
            f"model mfas: cannot fuse {', '.join(params.modalities)} of {task.name}",
            f"name each once; it has {', '.join(known)}",
        )
    for name, choice in choose_backbones(task, params.backbones, modalities=params.modalities).items():
        check_backbone(choice, task, name)
    limits = [len(widths) for widths in layout_of(params, task).widths] + [len(ACTIVATIONS)]
    for number, row in enumerate(params.layers):
        if len(row) != len(limits) or any(not 0 <= value < limit for value, limit in zip(row, limits, strict=False)):
            raise BadSpec(
                f"model mfas: layer {number} is {row}, which is no choice of taps and activation",
                f"values below {', '.join(map(str, limits))}: taps of {', '.join(params.modalities)}, an activation",
            )
    if params.alphas and len(params.modalities) != 2:
        raise BadSpec(f"model mfas: alphas balance two modalities, not {len(params.modalities)}", "--set alphas=false")
    if params.prediction == "ensemble" and not params.multitask:
        raise BadSpec("model mfas: an ensemble needs heads that are trained", "--set multitask=true")


from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.batch import Batch
from mmfuse.models.assemble import build_model
from mmfuse.models.losses import prediction_loss
from mmfuse.models.tapped import tapped


class FusionCell(nn.Module):
    """One layer: linear, activation, batch norm (optional), dropout. (B, D) -> (B, H)."""

    def __init__(self, given: int, width: int, *, activation: int, dropout: float, batchnorm: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(given, width)
        self.activation = activation
        self.norm = nn.BatchNorm1d(width) if batchnorm else None
        self.dropout = dropout

    def forward(self, inputs: Tensor) -> Tensor:
        """Fuse."""
        hidden = activate(self.linear(inputs), self.activation)
        if self.norm is not None:
            # A single sample has no variance to normalise by.
            alone = self.norm.training and len(hidden) == 1
            hidden = _with_running_statistics(self.norm, hidden) if alone else self.norm(hidden)
        return F.dropout(hidden, self.dropout, self.training)


class FusionChain(nn.Module):
    """The layers and the classifier, on rows of standardised taps: (B, T) -> (B, K)."""

    def __init__(self, params: Params, *, layout: TapLayout, outputs: int) -> None:
        super().__init__()
        self.columns = [layout.selected(row) for row in params.layers]
        self.cells = nn.ModuleList(
            FusionCell(
                sum(part.stop - part.start for part in columns) + (params.width if number else 0),
                params.width,
                activation=row[-1],
                dropout=params.dropout,
                batchnorm=params.batchnorm,
            )
            for number, (row, columns) in enumerate(zip(params.layers, self.columns, strict=True))
        )
        self.classifier = nn.Linear(params.width, outputs)
        self.alphas = nn.Parameter(0.1 * torch.randn(len(params.layers))) if params.alphas else None

    def forward(self, taps: Tensor) -> Tensor:
        """Predict."""
        hidden: Tensor | None = None
        for number, (cell, columns) in enumerate(zip(self.cells, self.columns, strict=True)):
            parts = [taps[:, part] for part in columns]
            if self.alphas is not None:
                share = self.alphas[number].sigmoid()
                parts = [share * parts[0], (1 - share) * parts[1]]
            hidden = cell(torch.cat(parts if hidden is None else [*parts, hidden], dim=1))
        return cast(Tensor, self.classifier(hidden))


class Mfas(nn.Module):
    """Backbones, the standardisation of their taps, and the chain that fuses them."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbones: Mapping[str, nn.Module], chain: FusionChain, *, layout: TapLayout, params: Params, task: Task
    ) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict(backbones)
        self.chain = chain
        self.layout = layout
        self.kind = task.kind
        self.multitask = params.multitask
        self.ensemble = params.prediction == "ensemble"
        self.register_buffer("mean", torch.zeros(layout.total))
        self.register_buffer("std", torch.ones(layout.total))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (B, K), and with several heads each one's own: ``logits/fused``, ``logits/image``, ...

        ``logits/ensemble`` is then the sum of them all, whether or not it is what predicts.
        """
        taps = {name: tapped(net).taps(batch.inputs[name]) for name, net in self.backbones.items()}
        side_by_side = torch.cat([tap for each in taps.values() for tap in each], dim=1)
        fused = self.chain((side_by_side - self.mean) / self.std)
        if not self.multitask:
            return {"logits": fused}
        heads = {name: tapped(net).predict(taps[name]) for name, net in self.backbones.items()}
        everything = {"fused": fused, **heads}
        everything["ensemble"] = torch.stack(list(everything.values())).sum(0)
        prediction = everything["ensemble" if self.ensemble else "fused"]
        return {"logits": prediction} | {f"logits/{name}": logits for name, logits in everything.items()}

    @property
    def scored_heads(self) -> tuple[str, ...]:
        """The predictors whose scores are told apart: the release calls the ensemble's accuracy the fusion's."""
        return ("fused", "ensemble", *self.backbones) if self.multitask else ()

    def install(self, weights: Mapping[str, Mapping[str, Tensor]], *, mean: Tensor, std: Tensor, of: TapLayout) -> None:
        """Take trained backbones by modality, and mean and deviation (T,) of the features of layout ``of``.

        All may be those of whole backbones; what this model trimmed away is left out.
        """
        for name, net in self.backbones.items():
            net.load_state_dict({key: weights[name][key] for key in net.state_dict()})
        columns = [of.columns(m, tap) for m, widths in enumerate(self.layout.widths) for tap in range(len(widths))]
        self.mean.copy_(torch.cat([mean[part] for part in columns]))
        self.std.copy_(torch.cat([std[part] for part in columns]))

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """``total``: the fusion's loss, with several heads the sum of all, which are named too."""
        if not self.multitask:
            return {"total": prediction_loss(self.kind, outputs["logits"], batch.target)}
        names = ["fused", *self.backbones]
        parts = {name: prediction_loss(self.kind, outputs[f"logits/{name}"], batch.target) for name in names}
        return {"total": torch.stack(list(parts.values())).sum(), **parts}


def activate(values: Tensor, code: int) -> Tensor:
    """The activation that ``code`` stands for, elementwise."""
    return (F.relu, torch.sigmoid, F.leaky_relu)[code](values)


def build(params: Params, task: Task) -> Mfas:
    """The model, its backbones untrained."""
    layout = layout_of(params, task)
    backbones = {
        name: build_model(choice.architecture, task)
        for name, choice in choose_backbones(task, params.backbones, modalities=params.modalities).items()
    }
    if not params.multitask:
        layout = layout.trimmed(params.layers)
        for net, widths in zip(backbones.values(), layout.widths, strict=True):
            tapped(net).trim(len(widths) - 1)
    chain = FusionChain(params, layout=layout, outputs=task.outputs)
    return Mfas(backbones, chain, layout=layout, params=params, task=task)


def _with_running_statistics(norm: nn.BatchNorm1d, values: Tensor) -> Tensor:
    return F.batch_norm(values, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
