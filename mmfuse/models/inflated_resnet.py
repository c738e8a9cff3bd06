"""Inflated ResNet: MFAS's backbone for videos, a ResNet-50 whose 3 x 3 kernels see three frames; four taps.

Baradel, Wolf, Mille, Taylor: "Glimpse Clouds" (2018, arXiv 1802.07898) and MFAS (arXiv 1903.06496, section 4) use it on
NTU RGB+D: the stem of He et al., "Deep Residual Learning" (2015, arXiv 1512.03385) on each frame, then its bottlenecks
with the middle kernel inflated over time (Carreira and Zisserman, arXiv 1705.07750). Time is never shortened. Taps are
the averages of the last three stages' maps, and what the head reads; at the published size 46,265,468 parameters for 60
classes.

Where we differ from MFAS's code: the head reads the average over the whole last map. The published pooling covers 7 x 7
places only, so of frames of 256 pixels, whose last map is 8 x 8, it leaves out a row and a column. At 224 pixels both
are the same. The fourth tap therefore equals the third here, always; it is kept so that published architectures, which
name both, keep their numbers. Weights trained on ImageNet are read from a file and inflated as published: the 2-D
kernel stands in the middle frame, the others are 0.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmfuse.errors import BadSpec
from mmfuse.options import Options
from mmfuse.task import Task

EXPANSION = 4
"""Channels that leave a bottleneck, in units of those inside it."""


class Params(Options):
    """Size of the backbone, what it begins from, and what it looks at."""

    width: Annotated[int, Field(ge=1)] = 64
    """Channels of the stem and of the first stage's bottlenecks (ResNet-50: 64); each further stage doubles them."""
    depths: tuple[
        Annotated[int, Field(ge=1)],
        Annotated[int, Field(ge=1)],
        Annotated[int, Field(ge=1)],
        Annotated[int, Field(ge=1)],
    ] = (3, 4, 6, 3)
    """Bottlenecks of each stage (ResNet-50: 3, 4, 6, 3)."""
    imagenet: str | None = None
    """File of ImageNet weights to begin from, a state dict with torchvision's names (resnet50-*.pth); null: random."""
    frames: Annotated[int, Field(ge=2)] | None = None
    """Look at so many frames, evenly spread over the clip; null looks at all."""
    crop: bool = False
    """In training see the middle of the clip, half of it or more (MFAS's AugCrop); wants data.frames above frames."""
    modality: str = "video"
    """The modality it reads, of kind video."""


PRESETS = {"small": {"width": 8, "depths": [1, 1, 1, 1]}}
"""``small`` learns the stand-in of NTU RGB+D on a CPU."""


def tap_widths(params: Params, task: Task) -> tuple[int, ...]:
    """Features of each tap: 512, 1024, 2048 and 2048 as published; the same on every task."""
    second, third, fourth = (EXPANSION * params.width * 2**stage for stage in (1, 2, 3))
    return second, third, fourth, fourth


def check(params: Params, task: Task) -> None:
    """Check that the modality is a video with frames enough.

    Raises:
        BadSpec: when not.
    """
    names = [modality.name for modality in task.modalities]
    if params.modality not in names:
        raise BadSpec(
            f"model inflated_resnet: {task.name} has no modality '{params.modality}'",
            f"choose one of {', '.join(names)}, for example --set modality={names[0]}",
        )
    modality = task.modality(params.modality)
    if modality.kind != "video":
        raise BadSpec(
            f"model inflated_resnet reads videos (C, T, H, W), and {modality.name} of {task.name} is a {modality.kind}"
        )


from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from mmfuse.batch import Batch
from mmfuse.errors import CheckpointMismatch, DataInvalid, DataMissing
from mmfuse.models.losses import prediction_loss

AT_ONCE = 32
"""Clips passed together where no gradient is wanted: 32 of 224 x 224 pixels take about 4 GB at the published size."""


_COUNTER = "num_batches_tracked"


class InflatedResnet(nn.Module):
    """Stem per frame, four stages of inflated bottlenecks, and a linear head on the average of the last map."""

    def __init__(self, params: Params, task: Task) -> None:
        super().__init__()
        channels = task.modality(params.modality).shape[0]
        width = params.width
        self.modality, self.kind = params.modality, task.kind
        self.frames, self.crop, self.imagenet = params.frames, params.crop, params.imagenet
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        inner = [width * 2**stage for stage in range(4)]
        given = [width, *(EXPANSION * each for each in inner[:-1])]
        self.stages = nn.ModuleList(
            _stage(before, each, depth=depth, stride=1 if number == 0 else 2)
            for number, (before, each, depth) in enumerate(zip(given, inner, params.depths, strict=True))
        )
        self.head: nn.Module | None = nn.Linear(EXPANSION * inner[-1], task.outputs)
        self.last = 3
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def taps(self, inputs: Tensor) -> list[Tensor]:
        """(B, C, T, H, W) -> (B, 8w), (B, 16w), (B, 32w), (B, 32w), with width w."""
        if torch.is_grad_enabled() or self.training:
            return self._taps(inputs)
        parts = [self._taps(part) for part in inputs.split(AT_ONCE)]
        return [torch.cat(tap) for tap in zip(*parts, strict=True)]

    def predict(self, taps: Sequence[Tensor]) -> Tensor:
        """The head's logits (B, K) from all taps."""
        assert self.head is not None, "a trimmed backbone has no head"
        logits: Tensor = self.head(taps[-1])
        return logits

    def trim(self, last: int) -> None:
        """Give only the taps up to number ``last``: the head and the stages behind it go."""
        self.stages = self.stages[: last + 2]
        self.head = None
        self.last = last

    def load_initial_weights(self) -> None:
        """Take the ImageNet weights, if any are named; called before a training begins, not when one is loaded.

        Raises:
            DataMissing, DataInvalid, CheckpointMismatch: when the file is absent, damaged or of another network.
        """
        if self.imagenet is not None:
            load_imagenet(self, Path(self.imagenet).expanduser())

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (B, K)."""
        return {"logits": self.predict(self.taps(batch.inputs[self.modality]))}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """``total``."""
        return {"total": prediction_loss(self.kind, outputs["logits"], batch.target)}

    def _taps(self, clips: Tensor) -> list[Tensor]:
        clips = self._timed(clips)
        stem = self.stem(clips.transpose(1, 2).flatten(0, 1))  # (B T, w, H / 4, W / 4)
        maps = stem.unflatten(0, (clips.shape[0], clips.shape[2])).transpose(1, 2)
        taps = []
        for number, stage in enumerate(self.stages):
            maps = stage(maps)
            if number > 0:
                taps.append(maps.mean((2, 3, 4)))
        return [*taps, taps[-1]][: self.last + 1]

    def _timed(self, clips: Tensor) -> Tensor:
        """The frames to look at: of all, or in training of a middle stretch of random length if that is wanted."""
        given, wanted = clips.shape[2], self.frames or clips.shape[2]
        cropping = self.training and self.crop
        if wanted == given and not cropping:
            return clips
        share = torch.ones(len(clips), 1, device=clips.device)
        if cropping:
            share = 1 - 0.5 * torch.rand_like(share)
        length = (share * given).floor()
        start = ((given - length) / 2).floor()
        places = start + (length - 1) * torch.linspace(0, 1, wanted, device=clips.device)
        rows = torch.arange(len(clips), device=clips.device)[:, None]
        return clips.transpose(1, 2)[rows, places.long()].transpose(1, 2)


class Bottleneck(nn.Module):
    """1 x 1 x 1, 3 x 3 x 3 and 1 x 1 x 1 convolution beside a shortcut: (B, D, T, H, W) -> (B, 4d, T, H / s, W / s)."""

    def __init__(self, given: int, inner: int, *, stride: int, projected: bool) -> None:
        super().__init__()
        outer = EXPANSION * inner
        self.conv1 = nn.Conv3d(given, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(inner)
        self.conv2 = nn.Conv3d(inner, inner, 3, stride=(1, stride, stride), padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(inner)
        self.conv3 = nn.Conv3d(inner, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(outer)
        self.downsample: nn.Module = nn.Identity()
        if projected:
            projection = nn.Conv3d(given, outer, 1, stride=(1, stride, stride), bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm3d(outer))

    def forward(self, maps: Tensor) -> Tensor:
        """Transform."""
        inside = self.bn1(self.conv1(maps)).relu_()
        inside = self.bn2(self.conv2(inside)).relu_()
        changed: Tensor = self.bn3(self.conv3(inside))
        return changed.add_(self.downsample(maps)).relu_()


def _stage(given: int, inner: int, *, depth: int, stride: int) -> nn.Sequential:
    """``depth`` bottlenecks, of which the first changes width and size."""
    first = Bottleneck(given, inner, stride=stride, projected=True)
    return nn.Sequential(
        first, *(Bottleneck(EXPANSION * inner, inner, stride=1, projected=False) for _ in range(depth - 1))
    )


def load_imagenet(model: InflatedResnet, path: Path) -> None:
    """Give ``model`` the inflated weights of a 2-D ResNet's state dict; its head stays as it is.

    Raises:
        DataMissing: when there is no such file.
        DataInvalid: when it is no state dict.
        CheckpointMismatch: when its weights belong to a network of another width or depth.
    """
    if not path.is_file():
        raise DataMissing(f"there is no file of ImageNet weights at {path}", "--set imagenet=null begins at random")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        flat = {renamed: value for name, value in state.items() if (renamed := _renamed(name)) is not None}
    except Exception as error:  # torch.load has many ways to fail, and each means the same here
        raise DataInvalid(f"{path} is no state dict that can be read ({type(error).__name__})") from error
    own = {name: value for name, value in model.state_dict().items() if not name.startswith("head.")}
    if not any(name.endswith(_COUNTER) for name in flat):  # files of before 2018
        own = {name: value for name, value in own.items() if not name.endswith(_COUNTER)}
    wrong = [name for name in own if name not in flat or not _fits(flat[name], own[name])] + sorted(
        set(flat) - set(own)
    )
    if wrong:
        raise CheckpointMismatch(
            f"{path} does not fit a ResNet of this width and depth: {len(wrong)} tensors differ, first {wrong[0]}",
            "width=64 and depths=[3,4,6,3] are torchvision's resnet50",
        )
    model.load_state_dict({name: inflate(flat[name], like=value) for name, value in own.items()}, strict=False)


def inflate(weight: Tensor, *, like: Tensor) -> Tensor:
    """``weight`` in the shape of ``like``: a 2-D kernel comes to stand in the middle of its 3-D one, among zeros."""
    if weight.dim() != 4 or like.dim() != 5:
        return weight
    inflated = weight.new_zeros(like.shape)
    inflated[:, :, like.shape[2] // 2] = weight
    return inflated


def _fits(weight: Tensor, own: Tensor) -> bool:
    kernel = weight.dim() == 4 and own.dim() == 5
    return weight.shape == (own.shape if not kernel else (*own.shape[:2], *own.shape[3:]))


def _renamed(name: str) -> str | None:
    """Torchvision's name of a tensor as ours; None for its head."""
    first, _, rest = name.partition(".")
    if first == "fc":
        return None
    ours = {"conv1": "stem.0", "bn1": "stem.1"} | {f"layer{stage + 1}": f"stages.{stage}" for stage in range(4)}
    return f"{ours.get(first, first)}.{rest}"


def build(params: Params, task: Task) -> InflatedResnet:
    """The model."""
    return InflatedResnet(params, task)
