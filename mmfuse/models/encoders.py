"""Encoders: one modality in, tokens out, (B, *shape) -> (B, N, D).

An isotropic encoder is a stem, which cuts a sample into tokens, and a mixer on those tokens. Every encoder has the
attributes ``tokens`` (N) and ``dim`` (D). One that lets a fusion search look inside also has ``taps(x)``, the mean over
tokens after each layer, (B, width) each, and ``trim(last)``, which drops what lies behind a tap; its block declares
the widths as ``tap_widths(params, shape)``. Of any other encoder only what it puts out can be tapped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from mmfuse.models.block_choice import parse_choice
from mmfuse.models.shapes import TokenShape, kind_of
from mmfuse.registry import BLOCKS
from mmfuse.task import Modality


class PatchStem(nn.Module):
    """Square patches, in row-major order, each projected to one token.

    The same numbers as a convolution whose stride is its kernel (MLP-Mixer, section 2), computed as one matrix product:
    twice as quick on a CPU for the large patches of small images.

    Shape: (B, C, H, W) -> (B, (H / patch) * (W / patch), D).
    """

    def __init__(self, channels: int, *, patch: int, dim: int) -> None:
        super().__init__()
        self.patch = patch
        self.project = nn.Linear(channels * patch**2, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Cut and project."""
        batch, channels, height, width = x.shape
        rows, columns = height // self.patch, width // self.patch
        patches = x.reshape(batch, channels, rows, self.patch, columns, self.patch).permute(0, 2, 4, 1, 3, 5)
        return self.project(patches.reshape(batch, rows * columns, -1))


class VectorStem(nn.Module):
    """A whole vector becomes one token.

    Shape: (B, F) -> (B, 1, D).
    """

    def __init__(self, features: int, *, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(features, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Project."""
        return self.project(x).unsqueeze(1)


def build_stem(shape: Sequence[int], *, patch: int, dim: int | None) -> nn.Module:
    """The stem for samples of ``shape``; ``dim`` None leaves a sequence's steps as they are.

    Raises:
        ValueError: when ``dim`` is None and the samples are no sequence.
    """
    kind = kind_of(shape)
    if kind == "sequence":
        return nn.Identity() if dim is None else nn.Linear(shape[1], dim)
    if dim is None:
        raise ValueError(f"a {kind} of shape {tuple(shape)} needs a number of channels")
    return PatchStem(shape[0], patch=patch, dim=dim) if kind == "grid" else VectorStem(shape[0], dim=dim)


class MixerEncoder(nn.Module):
    """A stem and a mixer, the first ``depth`` layers of which can be tapped, the last of them behind any final norm.

    Shape: (B, *shape) -> (B, tokens, dim).
    """

    def __init__(self, stem: nn.Module, mixer: nn.Sequential, *, tokens: int, dim: int, depth: int = 1) -> None:
        super().__init__()
        self.stem = stem
        self.mixer = mixer
        self.tokens = tokens
        self.dim = dim
        self.ends = (*range(depth - 1), len(mixer) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Cut into tokens and mix them."""
        return self.mixer(self.stem(x))

    def taps(self, x: Tensor) -> list[Tensor]:
        """(B, *shape) -> one (B, dim) per layer."""
        return [tokens.mean(1) for tokens in outputs_at(self.mixer, self.ends, self.stem(x))]

    def trim(self, last: int) -> None:
        """Keep what taps 0 to ``last`` need."""
        self.ends = self.ends[: last + 1]
        del self.mixer[self.ends[-1] + 1 :]


def outputs_at(layers: nn.Sequential, ends: Sequence[int], x: Tensor) -> list[Tensor]:
    """What the layers at positions ``ends`` put out when ``x`` goes through all of ``layers``."""
    outputs = []
    for position, layer in enumerate(layers):
        x = layer(x)
        if position in ends:
            outputs.append(x)
    return outputs


def encoder_taps(encoder: nn.Module, x: Tensor) -> list[Tensor]:
    """(B, *shape) -> one (B, width) per tap of ``encoder``, the last of them the mean of what it puts out."""
    inside: Callable[[Tensor], list[Tensor]] | None = getattr(encoder, "taps", None)
    return [encoder(x).mean(1)] if inside is None else inside(x)


def trim_encoder(encoder: nn.Module, last: int) -> None:
    """Keep what taps 0 to ``last`` of ``encoder`` need."""
    cut: Callable[[int], None] | None = getattr(encoder, "trim", None)
    if cut is not None:
        cut(last)


def build_encoder(choice: Mapping[str, Any], modality: Modality) -> nn.Module:
    """The encoder that ``choice`` (``{"block": name, ...its params}``) asks for, with ``tokens`` and ``dim``."""
    name, params = parse_choice(choice, what=f"encoder of {modality.name}")
    return cast(nn.Module, BLOCKS.get(name).build(params, shape=modality.shape))


def build_network(choice: Mapping[str, Any], shape: TokenShape) -> nn.Module:
    """The fusion network that ``choice`` asks for, (B, N, D) -> (B, N, D) for tokens of ``shape``."""
    name, params = parse_choice(choice, what="fusion network")
    return cast(nn.Module, BLOCKS.get(name).network(params, tokens=shape.tokens, dim=shape.dim))
