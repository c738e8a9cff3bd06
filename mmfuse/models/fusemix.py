"""FuseMix: small adapters bring the latents of frozen encoders together, trained on blends of pairs.

Vouitsis et al.: "Data-Efficient Multimodal Fusion on a Single GPU" (CVPR 2024, arXiv 2312.10144), sections 3 and 4.
Where we differ from the released code:

- Any number of modalities, the loss averaged over every two of them (or over an anchor and each other).
- The best epoch is chosen on validation pairs, by the mean of all recalls. The release chooses after every epoch on
  Flickr30k's *test* pairs, by image-to-text recall alone.
- ``noise`` is Gaussian, as the paper says; the release adds uniform numbers between 0 and 1, which shift the latents.
- Blending with a permutation, one share per pair, positives by item or class, and no blending at all are options.
- The step size follows its schedule step by step; the release changes it once an epoch and cuts warming up short
  where the first epoch has fewer steps.
- The loss is computed in tiles and gradients are cached in chunks: the same numbers in a tenth of the memory.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mmfuse.errors import BadSpec
from mmfuse.options import Options
from mmfuse.task import Task, TaskKind

KINDS: frozenset[TaskKind] = frozenset({"retrieval"})
TRAINER = "contrastive"
FIT: dict[str, Any] = {
    "epochs": 500,
    "batch_size": 20_480,
    "learning_rate": 1e-3,
    "minimum_rate": 1e-6,
    "weight_decay": 0.1,
    "schedule": "warmup",
    "warmup_steps": 100,
    "early_stopping": None,
    "checkpoint_seconds": 30.0,
}
"""The published training. Its loader's batch of 40,960 pairs is 20,480 blends. Checkpoints (ours) are as far apart
because a gigabyte would be written every three seconds."""


class Params(Options):
    """Adapters, blending and loss."""

    embed: Annotated[int, Field(ge=1)] = 512
    """Length of the common embeddings (published: 512)."""
    depth: Annotated[int, Field(ge=0)] | dict[str, Annotated[int, Field(ge=0)]] = 4
    """Residual blocks of each adapter, or a number by modality (published: 4 and 4)."""
    expansion: Annotated[int, Field(ge=1)] = 4
    """Hidden width of a block, in widths of its latent (published: 4)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.6
    """Dropout inside blocks (published: 0.6)."""
    head_bias: bool = True
    """Whether the last layer has a bias (published: yes)."""
    temperature: Annotated[float, Field(gt=0)] = 0.07
    """Temperature of the loss, where it starts (published: 0.07)."""
    temperature_range: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.001, 0.5)
    """The temperature is kept between these (published: 0.001 and 0.5)."""
    learn_temperature: bool = True
    """Whether the temperature is trained (published: yes; the paper allows both)."""
    blend: Literal["halves", "permutation", "none"] = "halves"
    """Which pairs are blended: the halves of a batch (published), a batch with itself permuted, or none."""
    share_per: Literal["batch", "pair"] = "batch"
    """One share for a whole batch (published) or for each pair; always the same in every modality."""
    alpha: Annotated[float, Field(gt=0)] = 1.0
    """Both parameters of the share's beta distribution (published: 1, so the share is uniform)."""
    last_alpha: Annotated[float, Field(gt=0)] | None = None
    """Alpha in the last epoch; null: it stays (published: from 1 to 1)."""
    alpha_curve: Literal["cosine", "exponential"] = "cosine"
    """How alpha gets there (published: cosine)."""
    noise: Annotated[float, Field(ge=0)] = 0.0
    """Deviation of Gaussian noise on the latents, the paper's other augmentation (published: 0)."""
    positives: Literal["auto", "pair", "item", "class"] = "auto"
    """What else counts as right: nothing (published), pairs of the same first item, pairs of the same class (of blends,
    both); auto: the class where pairs share nothing else."""
    anchor: str | None = None
    """With more than two modalities: the one that all others are compared with; null compares every two."""
    chunk: Annotated[int, Field(ge=1)] | None = 2048
    """Pairs that go through the adapters at a time; null: all. The gradient is that of the whole batch."""
    tile: Annotated[int, Field(ge=1)] = 512
    """Rows of similarities that are in memory at a time; the loss is that of the whole batch."""
    compile: bool = False
    """Compile the adapters' kernels (on a GPU; the first step takes a minute)."""


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "small": {
        "embed": 64,
        "depth": 2,
        "expansion": 2,
        "fit": {"epochs": 150, "batch_size": 256, "warmup_steps": 20},
    },
    "unblended": {"blend": "none"},
    "noise": {"blend": "none", "noise": 0.1},
}
"""paper: as published; small: minutes on a CPU; unblended and noise: what FuseMix is compared with."""


def check(params: Params, task: Task) -> None:
    """Check that the parameters fit the modalities and each other.

    Raises:
        BadSpec: when not.
    """
    names = [modality.name for modality in task.modalities]
    flat = [modality.name for modality in task.modalities if modality.kind == "vector"]
    if task.kind not in KINDS or flat != names or len(names) < 2:
        raise BadSpec(
            f"model fusemix: {task.name} is a {task.kind} task, and adapters need pairs of latents",
            "mmfuse data ls lists the datasets of kind retrieval",
        )
    named = set(params.depth) if isinstance(params.depth, dict) else set(names)
    if named != set(names):
        raise BadSpec(f"model fusemix: depth is given for {', '.join(sorted(named))}", f"name {', '.join(names)}")
    if params.anchor is not None and params.anchor not in names:
        raise BadSpec(f"model fusemix: the anchor '{params.anchor}' is no modality", f"known: {', '.join(names)}")
    low, high = params.temperature_range
    if not low <= params.temperature <= high:
        raise BadSpec(f"model fusemix: the temperature {params.temperature} lies outside {low} to {high}")
    if params.positives in ("item", "class") and params.share_per == "pair" and params.blend != "none":
        raise BadSpec(
            f"model fusemix: pairs of the same {params.positives}, blended by shares of their own, are not alike",
            "--set share_per=batch",
        )


from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.batch import Batch
from mmfuse.models.contrastive import contrastive_loss, dense_groups


class ResidualBlock(nn.Module):
    """x + W2 dropout(gelu(W1 norm(x))); (B, D) -> (B, D). Has 2 e D² + (e + 3) D numbers for an expansion e."""

    def __init__(self, dim: int, *, expansion: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, expansion * dim)
        self.dropout = nn.Dropout(dropout)
        self.narrow = nn.Linear(expansion * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Add to the latent what the block makes of it."""
        return x + self.narrow(self.dropout(F.gelu(self.widen(self.norm(x)))))


class Adapter(nn.Sequential):
    """Residual blocks, a norm and a linear map: (B, D) -> (B, E), of any length."""

    def __init__(self, dim: int, *, depth: int, params: Params) -> None:
        blocks = [ResidualBlock(dim, expansion=params.expansion, dropout=params.dropout) for _ in range(depth)]
        super().__init__(*blocks, nn.LayerNorm(dim), nn.Linear(dim, params.embed, bias=params.head_bias))


class FuseMix(nn.Module):
    """One adapter per modality, and the temperature."""

    def __init__(self, params: Params, task: Task) -> None:
        super().__init__()
        depths = params.depth if isinstance(params.depth, dict) else {m.name: params.depth for m in task.modalities}
        self.params = params
        self.temperature = nn.Parameter(torch.tensor(params.temperature), requires_grad=params.learn_temperature)
        self.adapters = nn.ModuleDict(
            {m.name: Adapter(m.shape[0], depth=depths[m.name], params=params) for m in task.modalities}
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """By modality the embeddings (B, E), of length 1."""
        return self.embed(batch.inputs)

    def embed(self, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By modality the embeddings (B, E) of ``latents`` (B, D): of length 1, and 32-bit under autocast too."""
        made = {name: self.adapters[name](values) for name, values in latents.items()}
        return {
            name: F.normalize(values.to(torch.promote_types(values.dtype, torch.float32)), dim=1)
            for name, values in made.items()
        }

    def loss(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """``total`` over the pairs as they are; equal targets are positives of each other."""
        return {"total": self.contrast(outputs, groups=dense_groups(batch.target))}

    def contrast(self, embeddings: Mapping[str, Tensor], *, groups: Tensor | None = None) -> Tensor:
        """The loss of a batch of embeddings; ``groups`` (B,) as `mmfuse.models.contrastive.info_nce` takes them."""
        return contrastive_loss(
            embeddings, self.temperature, groups=groups, anchor=self.params.anchor, tile=self.params.tile
        )

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Bring the temperature back into its range, in place and before it is used: gradients at the bounds live."""
        self.temperature.clamp_(*self.params.temperature_range)


def build(params: Params, task: Task) -> FuseMix:
    """The model, initialised as torch does."""
    return FuseMix(params, task)
