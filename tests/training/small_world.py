"""A small multimodal world for tests of training: two modalities, three classes, a model with everything stateful."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.batch import Batch, Split, Splits
from mmfuse.task import Modality, Task
from mmfuse.training.seeding import seeded

TASK = Task(
    "small",
    "multiclass",
    (Modality("image", "grid", (1, 4, 4)), Modality("audio", "vector", (6,))),
    outputs=3,
    metric="accuracy",
)


class SmallNet(nn.Module):
    """Dropout, running statistics, and a loss weight that grows after each validated epoch."""

    share: Tensor

    def __init__(self, hidden: int = 12) -> None:
        super().__init__()
        self.image = nn.Linear(16, hidden)
        self.audio = nn.Linear(6, hidden)
        self.norm = nn.BatchNorm1d(2 * hidden)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(2 * hidden, 3)
        self.register_buffer("share", torch.tensor(0.5))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        image = self.image(batch.inputs["image"].flatten(1))
        audio = self.audio(batch.inputs["audio"])
        hidden = self.dropout(F.relu(self.norm(torch.cat([image, audio], dim=1))))
        return {"logits": self.head(hidden), "hidden": hidden}

    def loss(self, outputs: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        prediction = F.cross_entropy(outputs["logits"], batch.target)
        penalty = outputs["hidden"].square().mean()
        return {"total": prediction + self.share * 0.01 * penalty, "prediction": prediction}

    def epoch_ended(self) -> None:
        self.share += 0.1


def small_net(seed: int = 0, hidden: int = 12) -> SmallNet:
    with seeded(seed):
        return SmallNet(hidden)


def small_split(samples: int, seed: int) -> Split:
    """Both modalities hint at the class; neither tells it alone."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 3, (samples,), generator=generator)
    image = torch.randn(samples, 1, 4, 4, generator=generator)
    audio = torch.randn(samples, 6, generator=generator)
    image[:, 0, 0, 0] += 2.0 * (target == 1)
    audio[:, 0] += 2.0 * (target == 2)
    return Split({"image": image, "audio": audio}, target, torch.arange(samples))


def small_splits(train: int = 70, val: int = 40) -> Splits:
    return Splits(TASK, small_split(train, 1), small_split(val, 2), lambda: small_split(40, 3), fingerprint="f00d")
