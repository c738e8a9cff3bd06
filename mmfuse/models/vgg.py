"""VGG-19: MFAS's backbone for the posters of MM-IMDB, five stages of convolutions, four taps.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2014, arXiv 1409.1556),
configuration E, as MFAS (arXiv 1903.06496) and its followers read it. *Taps* are averages over the maps behind the
first and the last ReLU of stage 4, the last but one ReLU of stage 5, and its maximum (layers 20, 26, 33 and 36 of
torchvision's ``vgg19().features``), 512 features each; the head is batch norm and a linear layer on the last.

MFAS starts from weights that were trained on ImageNet. ``weights`` names a file with such weights as torchvision saves
them; mmfuse fetches none. Without them ``norm`` (torchvision's ``vgg19_bn``) lets so deep a network learn at all, and
``width`` and ``convolutions`` make it small enough for a CPU.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmfuse.errors import BadSpec
from mmfuse.models.shapes import check_label_weights, check_pooling
from mmfuse.options import Options
from mmfuse.task import Task

GROWTH = (1, 2, 4, 8, 8)
"""Channels of each stage, in units of ``width``."""
_STAGE_4, _STAGE_5 = 3, 4

Convolutions = Annotated[int, Field(ge=1)]


class Params(Options):
    """How wide and deep the network is, what it starts from, and what it reads."""

    width: Annotated[int, Field(ge=1)] = 64
    """Channels of the first stage; the others have 2, 4, 8 and 8 times as many (VGG: 64)."""
    convolutions: tuple[
        Convolutions, Convolutions, Convolutions, Annotated[int, Field(ge=2)], Annotated[int, Field(ge=2)]
    ] = (2, 2, 4, 4, 4)
    """Convolutions of each stage (VGG-19: 2, 2, 4, 4, 4; VGG-16: 2, 2, 3, 3, 3)."""
    norm: bool = False
    """Batch norm behind each convolution, as in torchvision's vgg19_bn (MFAS: none)."""
    weights: str | None = None
    """File with the weights of torchvision's vgg19, or vgg19_bn with ``norm``; null starts from random ones."""
    frozen: bool = False
    """Whether the convolutions keep their weights and only the head is trained (MFAS's VGG transfer)."""
    modality: str = "image"
    """The modality it reads, of kind grid."""
    pos_weight: tuple[float, ...] | None = None
    """Cost of a missed label relative to a false one, per label; multilabel tasks only (MFAS weighs labels)."""


def tap_widths(params: Params, task: Task) -> tuple[int, ...]:
    """Features of each tap, in order; the same on every task."""
    fourth, fifth = params.width * GROWTH[_STAGE_4], params.width * GROWTH[_STAGE_5]
    return fourth, fourth, fifth, fifth


def check(params: Params, task: Task) -> None:
    """Check that the modality is a grid large enough for five halvings, and that frozen weights come from somewhere.

    Raises:
        BadSpec: when not.
    """
    check_pooling(task, params.modality, blocks=len(GROWTH) + 1, family="vgg")
    check_label_weights(params.pos_weight, task, family="vgg")
    if params.frozen and params.weights is None:
        raise BadSpec("model vgg: frozen random weights learn nothing", "--set weights=FILE, or frozen=false")


import pickle
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from mmfuse.batch import Batch
from mmfuse.errors import CheckpointMismatch, DataInvalid, DataMissing
from mmfuse.models.losses import PredictionLoss
from mmfuse.models.vector_norm import VectorNorm


class Vgg(nn.Module):
    """The layers in torchvision's order, where to tap them, and a head on the last tap."""

    def __init__(self, params: Params, task: Task) -> None:
        super().__init__()
        self.modality = params.modality
        self.frozen = params.frozen
        self.weights = params.weights
        layers, self.places = _layers(params, channels=task.modality(params.modality).shape[0])
        self.features = nn.Sequential(*layers)
        last = tap_widths(params, task)[-1]
        self.head: nn.Sequential | None = nn.Sequential(VectorNorm(last), nn.Linear(last, task.outputs))
        self.criterion = PredictionLoss(task.kind, pos_weight=params.pos_weight)
        self.features.requires_grad_(not params.frozen)

    def load_initial_weights(self) -> None:
        """Take the weights of the file, if one is named; called before a training begins, not when one is loaded.

        Raises:
            DataMissing, DataInvalid, CheckpointMismatch: as `load_features`.
        """
        if self.weights is not None:
            load_features(self, Path(self.weights).expanduser())

    def train(self, mode: bool = True) -> Vgg:
        """Frozen convolutions stay in evaluation mode, lest their statistics drift."""
        super().train(mode)
        if self.frozen:
            self.features.eval()
        return self

    def taps(self, inputs: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> one (B, width) per tap."""
        taps = []
        for start, stop in pairwise((0, *(place + 1 for place in self.places))):
            inputs = self.features[start:stop](inputs)
            taps.append(inputs.mean((2, 3)))
        return taps

    def predict(self, taps: Sequence[Tensor]) -> Tensor:
        """The head's logits (B, K) from all taps."""
        assert self.head is not None, "a trimmed backbone has no head"
        return cast(Tensor, self.head(taps[-1]))

    def trim(self, last: int) -> None:
        """Keep only the layers up to tap ``last``."""
        self.places = self.places[: last + 1]
        self.features = nn.Sequential(*list(self.features)[: self.places[-1] + 1])
        self.head = None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (B, K)."""
        return {"logits": self.predict(self.taps(batch.inputs[self.modality]))}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """``total``."""
        return {"total": self.criterion(outputs["logits"], batch.target)}


def load_features(model: Vgg, path: Path) -> None:
    """Give ``model`` the convolutions of a state dict as torchvision saves it; its classifier is left out.

    Raises:
        DataMissing: when there is no such file.
        DataInvalid: when the file is damaged or no state dict.
        CheckpointMismatch: when its convolutions are not those of the model.
    """
    if not path.is_file():
        raise DataMissing(f"there is no file of weights at {path}", "save torchvision's vgg19 state dict there")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError) as error:
        raise DataInvalid(f"{path} is not a readable file of weights", "save a state dict there anew") from error
    if not isinstance(state, Mapping):
        raise DataInvalid(
            f"{path} holds a {type(state).__name__}, not a state dict", "torch.save(vgg.state_dict(), ...)"
        )
    wanted = model.features.state_dict()
    given = {
        name.removeprefix("features."): value for name, value in state.items() if str(name).startswith("features.")
    }
    shapes = {name: tuple(value.shape) for name, value in given.items() if isinstance(value, Tensor)}
    wrong = sorted(name for name, value in wanted.items() if shapes.get(name) != tuple(value.shape))
    if wrong or len(given) != len(wanted):
        first = wrong[0] if wrong else sorted(set(given) - set(wanted))[0]
        found = f"shape {shapes[first]}" if first in shapes else "nothing"
        expected = tuple(wanted[first].shape) if first in wanted else "nothing"
        raise CheckpointMismatch(
            f"{path}: features.{first} is {found}, the model has {expected}",
            "--set norm=true for vgg19_bn; width and convolutions must be those of the file",
        )
    model.features.load_state_dict(given)


def build(params: Params, task: Task) -> Vgg:
    """The model, its weights random."""
    return Vgg(params, task)


def _layers(params: Params, *, channels: int) -> tuple[list[nn.Module], list[int]]:
    """All layers, and the positions of the four that are tapped."""
    layers: list[nn.Module] = []
    rectified: list[list[int]] = []
    for growth, count in zip(GROWTH, params.convolutions, strict=True):
        rectified.append([])
        for _ in range(count):
            width = growth * params.width
            convolution = nn.Conv2d(channels, width, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(cast(Tensor, convolution.bias))
            layers += [convolution, *([nn.BatchNorm2d(width)] if params.norm else []), nn.ReLU()]
            rectified[-1].append(len(layers) - 1)
            channels = width
        layers.append(nn.MaxPool2d(2))
    fourth, fifth = rectified[_STAGE_4], rectified[_STAGE_5]
    return layers, [fourth[0], fourth[-1], fifth[-2], len(layers) - 1]
