"""HCN: MFAS's backbone for skeletons, which learns how joints move together; four taps.

Li, Zhong, Xie, Pu: "Co-occurrence Feature Learning from Skeleton Data for Action Recognition and Detection with
Hierarchical Aggregation" (2018, arXiv 1804.06055), as MFAS (arXiv 1903.06496, section 4) uses it on NTU RGB+D.
Positions and their differences from frame to frame go through convolutions over time, then joints take the place of
channels, so that each further kernel sees all of them. The larger value of two persons counts. Taps are the averages of
the fifth and the sixth map, the sixth map itself, and the hidden layer of the head; with 32 frames there are 1,062,652
parameters, as published.

Where we differ from MFAS's code: the width of the third tap is right for every number of frames (theirs for 8 and 32
only); the hidden layer has ordinary dropout (theirs is made for maps and deprecated on vectors). Where its code differs
from the HCN paper, so do we: no activation after the second, third and fourth convolution.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmfuse.errors import BadSpec
from mmfuse.options import Options
from mmfuse.task import Task

FEWEST_FRAMES = 8
"""Time is halved three times, and once more from 16 frames on."""


class Params(Options):
    """How wide the backbone is, and what it looks at."""

    width: Annotated[int, Field(ge=2, multiple_of=2)] = 64
    """Channels of the first convolution (published: 64); all later layers keep their proportion to it."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout after the fourth, fifth and sixth convolution and in the head (HCN: 0.5)."""
    frames: Annotated[int, Field(ge=FEWEST_FRAMES)] | None = None
    """Resample each skeleton to so many frames by linear interpolation; null takes them as the dataset gives them."""
    crop: bool = False
    """In training see a random stretch of at least half of the time (MFAS's AugCrop); best on data.length above 32."""
    modality: str = "skeleton"
    """The modality it reads, of kind skeleton."""


PRESETS = {"small": {"width": 16, "dropout": 0.1}}
"""``small`` learns the stand-in of NTU RGB+D on a CPU: dropout for 40,000 clips leaves a narrow net nothing to see."""


def tap_widths(params: Params, task: Task) -> tuple[int, ...]:
    """Features of each tap: 128, 256, 1024 and 512 as published."""
    width, side = params.width, map_side(_frames(params, task))
    return 2 * width, 4 * width, 4 * width * side**2, 8 * width


def map_side(frames: int) -> int:
    """Side of the sixth convolution's square map."""
    return max(frames // 16, 1)


def check(params: Params, task: Task) -> None:
    """Check that the modality is a skeleton with enough frames.

    Raises:
        BadSpec: when not.
    """
    names = [modality.name for modality in task.modalities]
    if params.modality not in names:
        raise BadSpec(
            f"model hcn: {task.name} has no modality '{params.modality}'",
            f"choose one of {', '.join(names)}, for example --set modality={names[0]}",
        )
    modality = task.modality(params.modality)
    if modality.kind != "skeleton":
        raise BadSpec(
            f"model hcn reads skeletons (C, T, V, M), and {modality.name} of {task.name} is a {modality.kind}"
        )
    if _frames(params, task) < FEWEST_FRAMES:
        raise BadSpec(
            f"model hcn needs at least {FEWEST_FRAMES} frames, and {modality.name} has {_frames(params, task)}",
            f"--set frames={FEWEST_FRAMES} resamples them",
        )


def _frames(params: Params, task: Task) -> int:
    return params.frames or task.modality(params.modality).shape[1]


from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.batch import Batch
from mmfuse.models.losses import prediction_loss


class Hcn(nn.Module):
    """Two branches, two joint convolutions, and a head with one hidden layer, on one skeleton modality."""

    def __init__(self, params: Params, task: Task) -> None:
        super().__init__()
        channels, _, joints, _ = task.modality(params.modality).shape
        self.modality, self.kind = params.modality, task.kind
        self.frames, self.crop = _frames(params, task), params.crop
        width, dropout, side = params.width, params.dropout, map_side(self.frames)
        self.position = Branch(channels, joints, frames=self.frames, width=width, dropout=dropout)
        self.motion = Branch(channels, joints, frames=self.frames, width=width, dropout=dropout)
        self.fifth = _aggregate(2 * width, 2 * width, dropout=dropout, pooled=self.frames >= 16)
        self.sixth: nn.Module | None = _aggregate(2 * width, 4 * width, dropout=dropout, pooled=True)
        self.hidden: nn.Module | None = nn.Sequential(
            nn.Linear(4 * width * side**2, 8 * width), nn.ReLU(), nn.Dropout(dropout)
        )
        self.head: nn.Module | None = nn.Linear(8 * width, task.outputs)
        self.last = 3
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(cast(Tensor, module.bias))

    def taps(self, inputs: Tensor) -> list[Tensor]:
        """(B, C, T, V, M) -> (B, 2w), (B, 4w), (B, 4w S S), (B, 8w), with width w and map side S."""
        batch, persons = inputs.shape[0], inputs.shape[4]
        people = self._timed(inputs).permute(0, 4, 1, 2, 3).flatten(0, 1)  # (B M, C, T, V)
        maps = self.fifth(torch.cat([self.position(people), self.motion(_motion(people))], dim=1))
        taps = [_strongest(maps, batch, persons).mean((2, 3))]
        if self.sixth is not None:
            maps = _strongest(self.sixth(maps), batch, persons)
            taps += [maps.mean((2, 3)), maps.flatten(1)]
        if self.hidden is not None:
            taps.append(self.hidden(taps[-1]))
        return taps[: self.last + 1]

    def predict(self, taps: Sequence[Tensor]) -> Tensor:
        """The head's logits (B, K) from all taps."""
        assert self.head is not None, "a trimmed backbone has no head"
        logits: Tensor = self.head(taps[-1])
        return logits

    def trim(self, last: int) -> None:
        """Give only the taps up to number ``last``: the head and what lies behind that tap go."""
        self.head, self.last = None, last
        if last < 3:
            self.hidden = None
        if last < 1:
            self.sixth = None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (B, K)."""
        return {"logits": self.predict(self.taps(batch.inputs[self.modality]))}

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """``total``."""
        return {"total": prediction_loss(self.kind, outputs["logits"], batch.target)}

    def _timed(self, inputs: Tensor) -> Tensor:
        """At the model's number of frames, and in training of a random stretch of time if that is wanted."""
        given = inputs.shape[2]
        if not (self.training and self.crop):
            return inputs if given == self.frames else _resample(inputs, _centres(inputs, self.frames, given))
        share = 0.5 + 0.5 * torch.rand(len(inputs), 1, device=inputs.device)
        start = torch.rand_like(share) * (1 - share) * given
        return _resample(inputs, start + share * (_centres(inputs, self.frames, given) + 0.5) - 0.5)


class Branch(nn.Module):
    """One kind of feature of each person: (N, C, T, V) -> (N, w, T / 4, T / 4)."""

    def __init__(self, channels: int, joints: int, *, frames: int, width: int, dropout: float) -> None:
        super().__init__()
        self.over_time = nn.Sequential(
            nn.Conv2d(channels, width, 1), nn.ReLU(), nn.Conv2d(width, frames, (3, 1), padding=(1, 0))
        )
        self.over_joints = nn.Sequential(
            nn.Conv2d(joints, width // 2, 3, padding=1),
            nn.MaxPool2d(2),
            nn.Conv2d(width // 2, width, 3, padding=1),
            nn.Dropout2d(dropout),
            nn.MaxPool2d(2),
        )

    def forward(self, people: Tensor) -> Tensor:
        """Features over time, then joints as channels."""
        over_time = self.over_time(people)  # (N, T features, T, V)
        features: Tensor = self.over_joints(over_time.permute(0, 3, 2, 1))
        return features


def _aggregate(given: int, width: int, *, dropout: float, pooled: bool) -> nn.Sequential:
    layers = [nn.Conv2d(given, width, 3, padding=1), nn.ReLU(), nn.Dropout2d(dropout)]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pooled else []))


def _motion(people: Tensor) -> Tensor:
    """Differences between frames, stretched over as many frames as there are positions: (N, C, T, V) -> the same."""
    return F.interpolate(people.diff(dim=2), size=people.shape[2:], mode="bilinear", align_corners=False)


def _strongest(maps: Tensor, batch: int, persons: int) -> Tensor:
    """(B M, C, H, W) -> (B, C, H, W)."""
    return maps.unflatten(0, (batch, persons)).amax(1)


def _centres(inputs: Tensor, frames: int, given: int) -> Tensor:
    """Where ``frames`` equal parts of ``given`` frames have their middles, counted in frames: (B, frames)."""
    parts = torch.arange(frames, device=inputs.device, dtype=inputs.dtype)
    return ((parts + 0.5) * given / frames - 0.5).expand(len(inputs), frames)


def _resample(inputs: Tensor, places: Tensor) -> Tensor:
    """Skeletons (B, C, T, V, M) at fractional frames (B, F), by linear interpolation: (B, C, F, V, M)."""
    places = places.clamp(0, inputs.shape[2] - 1)
    before = places.long()
    after = (before + 1).clamp(max=inputs.shape[2] - 1)
    rows = torch.arange(len(inputs), device=inputs.device)[:, None]
    share = (places - before)[:, :, None, None, None]
    frames = inputs.transpose(1, 2)
    return torch.lerp(frames[rows, before], frames[rows, after], share).transpose(1, 2)


def build(params: Params, task: Task) -> Hcn:
    """The model."""
    return Hcn(params, task)
