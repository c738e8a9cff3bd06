"""What is predicted, from which modalities, and which score counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ModalityKind = Literal["grid", "sequence", "vector", "video", "skeleton"]
TaskKind = Literal["multiclass", "multilabel", "regression", "retrieval"]


@dataclass(frozen=True)
class Modality:
    """One kind of input, by its singular name (``image``, ``audio``, ``text``, ``timeseries``, ...).

    ``shape`` is that of one sample: grid (C, H, W), sequence (T, D), vector (D,), video (C, T, H, W), skeleton
    (C, T, V, M): C coordinates of V joints of M persons.
    """

    name: str
    kind: ModalityKind
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        axes = {"grid": 3, "sequence": 2, "vector": 1, "video": 4, "skeleton": 4}[self.kind]
        if len(self.shape) != axes:
            raise ValueError(f"a {self.kind} has {axes} axes, {self.name} has shape {self.shape}")


@dataclass(frozen=True)
class Task:
    """A prediction problem: kind, modalities, number of outputs K, and the score with its direction.

    ``metric`` is the primary metric's bare name (``accuracy``); in journals it appears as ``val/accuracy``. A label of
    a multilabel task counts as predicted when its probability exceeds ``threshold``.
    """

    name: str
    kind: TaskKind
    modalities: tuple[Modality, ...]
    outputs: int
    metric: str
    maximize: bool = True
    classes: tuple[str, ...] = ()
    threshold: float = 0.5

    def modality(self, name: str) -> Modality:
        """The modality called ``name``; KeyError where the task has none."""
        for modality in self.modalities:
            if modality.name == name:
                return modality
        raise KeyError(name)

    def better(self, first: float, second: float) -> bool:
        """Whether ``first`` is strictly the better score."""
        return first > second if self.maximize else first < second
