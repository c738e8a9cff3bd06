"""Fusion functions: several token sets in, one out, for any number of modalities.

MixMAS (arXiv 2412.18437) chooses among concatenation, maximum, mean and sum; M2-Mixer (IEEE BigData 2023) also has the
gated multimodal units of Arevalo et al. (arXiv 1702.01992).

Where we differ from the released code: it fills narrower or shorter token sets with zeros, so that a zero that stands
for nothing beats a negative activation in the maximum and dilutes the mean; sum and maximum take exactly two inputs.
Here (``align="project"``) token sets of other widths are projected to the common one, and at a token position that only
some modalities have, only those count. ``align="pad"`` keeps the published zero filling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.models.shapes import Alignment, FusionName, TokenShape, fused_shape

Shapes = Sequence[TokenShape]


def presence(shapes: Shapes) -> Tensor:
    """(M, N) of zeros and ones: whether modality m has a token at position n, N being the longest."""
    longest = max(shape.tokens for shape in shapes)
    return torch.stack([(torch.arange(longest) < shape.tokens).float() for shape in shapes])


def fill_tokens(x: Tensor, tokens: int, *, value: float = 0.0) -> Tensor:
    """``x`` (B, N, D) lengthened to (B, tokens, D) with ``value``."""
    return x if x.shape[1] == tokens else F.pad(x, (0, 0, 0, tokens - x.shape[1]), value=value)


class Projection(nn.Module):
    """Bring every modality's channels to one width by a linear layer of its own, where they differ from it.

    Shape: M x (B, N_m, D_m) -> M x (B, N_m, width).
    """

    def __init__(self, shapes: Shapes, *, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Identity() if shape.dim == width else nn.Linear(shape.dim, width) for shape in shapes
        )

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Project each modality."""
        return [layer(x) for layer, x in zip(self.layers, inputs, strict=True)]


class ZeroFill(nn.Module):
    """Fill channels, and tokens where ``tokens`` is given, with zeros, as the released MixMAS does.

    Shape: M x (B, N_m, D_m) -> M x (B, tokens or N_m, width).
    """

    def __init__(self, *, width: int, tokens: int | None) -> None:
        super().__init__()
        self.width = width
        self.tokens = tokens

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Fill each modality."""
        wide = [F.pad(x, (0, self.width - x.shape[2])) for x in inputs]
        return wide if self.tokens is None else [fill_tokens(x, self.tokens) for x in wide]


class Concat(nn.Module):
    """All tokens of all modalities, one after the other: M x (B, N_m, D) -> (B, sum of N_m, D)."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Join along the token axis."""
        return torch.cat(list(inputs), dim=1)


class Sum(nn.Module):
    """Elementwise sum over the modalities that have the token: M x (B, N_m, D) -> (B, max N_m, D)."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.tokens = max(shape.tokens for shape in shapes)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Add up."""
        total = fill_tokens(inputs[0], self.tokens)
        for x in inputs[1:]:
            total = total + fill_tokens(x, self.tokens)
        return total


class Mean(nn.Module):
    """Elementwise mean over the modalities that have the token: M x (B, N_m, D) -> (B, max N_m, D)."""

    share: Tensor

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.sum = Sum(shapes)
        self.register_buffer("share", 1.0 / presence(shapes).sum(0).unsqueeze(1), persistent=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Add up and divide each token by the number of modalities that have it."""
        return self.sum(inputs) * self.share


class Max(nn.Module):
    """Elementwise maximum over the modalities that have the token: M x (B, N_m, D) -> (B, max N_m, D)."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.tokens = max(shape.tokens for shape in shapes)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Take the largest; an absent token never is."""
        largest = fill_tokens(inputs[0], self.tokens, value=-torch.inf)
        for x in inputs[1:]:
            largest = torch.maximum(largest, fill_tokens(x, self.tokens, value=-torch.inf))
        return largest


class BimodalGate(nn.Module):
    """Gated unit of two modalities: z tanh(W1 x1) + (1 - z) tanh(W2 x2), z = sigmoid(Wz [x1, x2]) (Arevalo et al.).

    At a position that only one modality has, the other's term is dropped.

    Shape: 2 x (B, N_m, D_m) -> (B, max N_m, width).
    """

    presence: Tensor

    def __init__(self, shapes: Shapes, *, width: int) -> None:
        super().__init__()
        self.tokens = max(shape.tokens for shape in shapes)
        self.values = nn.ModuleList(nn.Linear(shape.dim, width) for shape in shapes)
        self.gate = nn.Linear(sum(shape.dim for shape in shapes), width)
        self.register_buffer("presence", presence(shapes).unsqueeze(2), persistent=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Weigh the two against each other, per channel."""
        first, second = (fill_tokens(x, self.tokens) for x in inputs)
        z = torch.sigmoid(self.gate(torch.cat([first, second], dim=2)))
        return (
            z * torch.tanh(self.values[0](first)) * self.presence[0]
            + (1 - z) * torch.tanh(self.values[1](second)) * self.presence[1]
        )


class MultimodalGate(nn.Module):
    """Gated unit of M modalities: sum over m of sigmoid(Wz_m [x1, ..., xM]) tanh(W_m x_m) (Arevalo et al.).

    At a position that only some modalities have, only their terms are added.

    Shape: M x (B, N_m, D_m) -> (B, max N_m, width).
    """

    presence: Tensor

    def __init__(self, shapes: Shapes, *, width: int) -> None:
        super().__init__()
        self.tokens = max(shape.tokens for shape in shapes)
        joint = sum(shape.dim for shape in shapes)
        self.values = nn.ModuleList(nn.Linear(shape.dim, width) for shape in shapes)
        self.gates = nn.ModuleList(nn.Linear(joint, width) for _ in shapes)
        self.register_buffer("presence", presence(shapes).unsqueeze(2), persistent=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Open or close each modality, per channel."""
        filled = [fill_tokens(x, self.tokens) for x in inputs]
        joint = torch.cat(filled, dim=2)
        terms = [
            torch.sigmoid(gate(joint)) * torch.tanh(value(x)) * present
            for gate, value, x, present in zip(self.gates, self.values, filled, self.presence, strict=True)
        ]
        return torch.stack(terms).sum(0)


FusionBuilder = Callable[[Shapes, int, Alignment], nn.Module]


def _aligned(rule: Callable[[Shapes], nn.Module], *, fills_tokens: bool) -> FusionBuilder:
    """A builder of: bring the modalities to one width, then apply ``rule``."""

    def build(shapes: Shapes, width: int, align: Alignment) -> nn.Module:
        if align == "project":
            return nn.Sequential(Projection(shapes, width=width), rule(shapes))
        longest = max(shape.tokens for shape in shapes) if fills_tokens else None
        filled = [TokenShape(longest or shape.tokens, width) for shape in shapes]
        return nn.Sequential(ZeroFill(width=width, tokens=longest), rule(filled))

    return build


def _gated(shapes: Shapes, width: int, align: Alignment) -> nn.Module:
    """The gated unit for two modalities or for any other number; its own layers bring widths together."""
    return BimodalGate(shapes, width=width) if len(shapes) == 2 else MultimodalGate(shapes, width=width)


FUSIONS: dict[FusionName, FusionBuilder] = {
    "concat": _aligned(Concat, fills_tokens=False),
    "sum": _aligned(Sum, fills_tokens=True),
    "mean": _aligned(Mean, fills_tokens=True),
    "max": _aligned(Max, fills_tokens=True),
    "gated": _gated,
}


def build_fusion(
    name: FusionName, shapes: Shapes, *, width: int | None = None, align: Alignment = "project"
) -> nn.Module:
    """The fusion ``name`` for token sets of ``shapes``: M x (B, N_m, D_m) -> (B, N, D), N and D as `fused_shape` says.

    ``width`` is the common number of channels; None takes the widest modality's.
    """
    return FUSIONS[name](shapes, fused_shape(name, shapes, width=width, align=align).dim, align)
