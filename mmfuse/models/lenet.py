"""The convolutional backbones of AV-MNIST, with the taps that a fusion search chooses from.

MFAS (Pérez-Rúa et al. 2019, arXiv 1903.06496, section 4) calls them LeNet-3 and LeNet-5; layers, widths and taps are
those of its authors' later AV-MNIST code. Each block is convolution (5 x 5 in the first, 3 x 3 after it, no bias),
batch norm, ReLU, maximum over 2 x 2; a *tap* is the average over a block's map, taken before its maximum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from mmfuse.batch import Batch
from mmfuse.models.losses import prediction_loss
from mmfuse.task import Task


class LeNet(nn.Module):
    """Blocks of ``widths`` channels on one grid modality, and a linear head on the last tap.

    ``late_first_tap`` takes the first tap after the block's maximum instead of before it.
    """

    def __init__(self, widths: Sequence[int], *, task: Task, modality: str, late_first_tap: bool = False) -> None:
        super().__init__()
        self.modality = modality
        self.kind = task.kind
        self.late_first_tap = late_first_tap
        before = (task.modality(modality).shape[0], *widths[:-1])
        self.blocks = nn.ModuleList(
            _block(given, width, kernel=5 if number == 0 else 3)
            for number, (given, width) in enumerate(zip(before, widths, strict=True))
        )
        self.pool = nn.MaxPool2d(2)
        self.head: nn.Linear | None = nn.Linear(widths[-1], task.outputs)
        nn.init.kaiming_uniform_(self.head.weight)

    def taps(self, inputs: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> one (B, width) per block."""
        taps, last = [], len(self.blocks) - 1
        for number, block in enumerate(self.blocks):
            features = block(inputs)
            late = number == 0 and self.late_first_tap
            if late or number < last:
                inputs = self.pool(features)
            taps.append((inputs if late else features).mean((2, 3)))
        return taps

    def predict(self, taps: Sequence[Tensor]) -> Tensor:
        """The head's logits (B, K) from all taps."""
        assert self.head is not None, "a trimmed backbone has no head"
        return cast(Tensor, self.head(taps[-1]))

    def trim(self, last: int) -> None:
        """Keep only what tap ``last`` needs: the head and the blocks behind it go."""
        self.blocks = self.blocks[: last + 1]
        self.head = None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (B, K)."""
        return {"logits": self.predict([self._last_tap(batch.inputs[self.modality])])}

    def _last_tap(self, inputs: Tensor) -> Tensor:
        """The last of `taps` alone: ReLU after the maximum gives the same, on a quarter of the values."""
        *early, last = self.blocks
        for block in early:
            convolution, norm, relu = cast(nn.Sequential, block)
            inputs = relu(self.pool(norm(convolution(inputs))))
        return cast(Tensor, last(inputs)).mean((2, 3))

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """``total``."""
        return {"total": prediction_loss(self.kind, outputs["logits"], batch.target)}


def _block(given: int, width: int, *, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(given, width, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_uniform_(convolution.weight)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
