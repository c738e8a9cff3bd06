"""The model both M2-Mixer and MixMAS build: an encoder per modality, a fusion, a fusion network, and heads.

The families differ in their parts, in what they predict from and in how they weigh losses; those are handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmfuse.batch import Batch
from mmfuse.models.encoders import build_encoder
from mmfuse.models.heads import LinearHead
from mmfuse.models.losses import MultiHeadLoss
from mmfuse.models.shapes import TokenShape
from mmfuse.task import Task


class FusionMixer(nn.Module):
    """Encoders -> fusion -> network -> heads; ``forward`` is ``fuse(encode(batch))``.

    The two halves may be called apart: with frozen encoders, `encode` once and `fuse` as often as needed.
    ``heads`` holds ``fusion`` and any number of modalities. The prediction ``logits`` is the fusion head's, or with
    ``averages`` the mean over all heads (MixMAS).
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        *,
        fusion: nn.Module,
        network: nn.Module,
        heads: Mapping[str, nn.Module],
        criterion: MultiHeadLoss,
        averages: bool,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.fusion = fusion
        self.network = network
        self.heads = nn.ModuleDict(heads)
        self.criterion = criterion
        self.averages = averages

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``logits`` (B, K), the prediction, and ``logits/<head>`` (B, K) of each head."""
        return self.fuse(self.encode(batch))

    def encode(self, batch: Batch) -> dict[str, Tensor]:
        """Tokens of each modality, (B, N_m, D_m)."""
        return {name: encoder(batch.inputs[name]) for name, encoder in self.encoders.items()}

    def fuse(self, tokens: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs, from what `encode` returned."""
        fused = self.network(self.fusion([tokens[name] for name in self.encoders]))
        outputs = {
            f"logits/{name}": head(fused if name == "fusion" else tokens[name]) for name, head in self.heads.items()
        }
        outputs["logits"] = torch.stack(list(outputs.values())).mean(0) if self.averages else outputs["logits/fusion"]
        return outputs

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """``total`` and its parts."""
        return self.criterion(outputs, batch)

    def epoch_ended(self) -> None:
        """Move the loss weight along its schedule; call once after each validation epoch, not after a sanity check."""
        self.criterion.epoch_ended()


def build_encoders(choices: Mapping[str, Mapping[str, Any]], task: Task) -> dict[str, nn.Module]:
    """The chosen encoders in the task's order of modalities (that of the choices may have been lost in JSON)."""
    return {modality.name: build_encoder(choices[modality.name], modality) for modality in task.modalities}


def token_shapes(encoders: Mapping[str, nn.Module]) -> list[TokenShape]:
    """What each encoder makes of one sample, in order."""
    return [TokenShape(cast(int, encoder.tokens), cast(int, encoder.dim)) for encoder in encoders.values()]


def build_heads(encoders: Mapping[str, nn.Module], fused: TokenShape, *, outputs: int) -> dict[str, nn.Module]:
    """A linear head on the fused tokens and one per modality."""
    shapes = zip(encoders, token_shapes(encoders), strict=True)
    unimodal: dict[str, nn.Module] = {name: LinearHead(shape.dim, outputs=outputs) for name, shape in shapes}
    return {"fusion": LinearHead(fused.dim, outputs=outputs), **unimodal}
