"""Sums over shapes, free of torch: what can be known of an encoder or a fusion before anything is built.

Mixers need fixed numbers of tokens and channels, so whether parts fit together is arithmetic. Blocks declare it here
and the command line refuses an impossible choice before a process starts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from mmfuse.errors import BadSpec
from mmfuse.task import ModalityKind, Task

FusionName = Literal["concat", "sum", "mean", "max", "gated"]
Alignment = Literal["project", "pad"]


class TokenShape(NamedTuple):
    """What an encoder makes of one sample: N tokens of D channels."""

    tokens: int
    dim: int


def kind_of(shape: Sequence[int]) -> ModalityKind:
    """The kind of a modality, told by its number of axes: grid (C, H, W), sequence (T, D), vector (D,)."""
    kinds: dict[int, ModalityKind] = {1: "vector", 2: "sequence", 3: "grid"}
    return kinds[len(shape)]


def stem_shape(shape: Sequence[int], *, patch: int, dim: int | None) -> TokenShape:
    """Tokens that a stem cuts from one sample: patches of a grid, steps of a sequence, one token of a vector.

    ``dim`` None keeps a sequence's own width.
    """
    if kind_of(shape) == "grid":
        return TokenShape((shape[1] // patch) * (shape[2] // patch), dim or shape[0] * patch**2)
    return TokenShape(shape[0] if len(shape) == 2 else 1, dim or shape[-1])


def stem_problem(shape: Sequence[int], *, patch: int) -> str | None:
    """Why a sample of ``shape`` cannot be cut into square patches of side ``patch``; None when it can."""
    if kind_of(shape) != "grid":
        return None
    _, height, width = shape
    if height % patch or width % patch:
        return f"a patch of {patch} does not divide a grid of {height} x {width}"
    return None


def grid_problem(shape: Sequence[int]) -> str | None:
    """Why a hierarchical block cannot take a sample of ``shape``: it needs a grid. None when it is one."""
    kind = kind_of(shape)
    return None if kind == "grid" else f"it needs a grid (C, H, W), not a {kind} of shape {tuple(shape)}"


def conv_size(size: int, *, kernel: int, stride: int, padding: int) -> int:
    """Length of an axis of ``size`` after a convolution."""
    return (size + 2 * padding - kernel) // stride + 1


def square_floor(size: int) -> int:
    """The largest square that is at most ``size``."""
    return math.isqrt(size) ** 2


def fused_shape(
    fusion: FusionName, shapes: Sequence[TokenShape], *, width: int | None = None, align: Alignment = "project"
) -> TokenShape:
    """Tokens and channels after fusing token sets of ``shapes`` (see `mmfuse.models.fusion`).

    Concatenation adds the tokens up, every other fusion lays them over each other.
    """
    tokens = [shape.tokens for shape in shapes]
    return TokenShape(
        sum(tokens) if fusion == "concat" else max(tokens),
        width if width is not None and align == "project" else max(shape.dim for shape in shapes),
    )


def stages_problem(settings: Mapping[str, Sequence[object]]) -> str | None:
    """Why per-stage ``settings`` do not belong together: each needs one value per stage. None when they do."""
    lengths = {name: len(values) for name, values in settings.items()}
    if len(set(lengths.values())) == 1:
        return None
    return "stages disagree: " + ", ".join(f"{name} has {length} values" for name, length in lengths.items())


def check_pooling(task: Task, modality: str, *, blocks: int, family: str) -> None:
    """Check that ``modality`` is a grid that can be halved between ``blocks`` convolution blocks.

    Raises:
        BadSpec: when the task has no such modality, or its shape is impossible.
    """
    names = [known.name for known in task.modalities]
    if modality not in names:
        raise BadSpec(
            f"model {family}: {task.name} has no modality '{modality}'",
            f"choose one of {', '.join(names)}, for example --set modality={names[0]}",
        )
    read, least = task.modality(modality), 2 ** (blocks - 1)
    if read.kind != "grid" or min(read.shape[1:]) < least:
        raise BadSpec(
            f"model {family} halves its input {blocks - 1} times, and {modality} of {task.name} has shape {read.shape}",
            f"it needs a grid of at least {least} x {least}",
        )


def check_label_weights(weights: Sequence[float] | None, task: Task, *, family: str) -> None:
    """Check that ``pos_weight``, if given, has one value per label of a multilabel task.

    Raises:
        BadSpec: when not.
    """
    if weights is None:
        return
    if task.kind != "multilabel":
        raise BadSpec(f"model {family}: pos_weight needs a multilabel task, {task.name} is {task.kind}", "leave it out")
    if len(weights) != task.outputs:
        raise BadSpec(
            f"model {family}: pos_weight has {len(weights)} values, {task.name} has {task.outputs} labels",
            "give one value per label, or null",
        )
