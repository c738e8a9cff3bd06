"""The space MFAS searches: which tap of each backbone every fusion layer reads, and its activation.

Perez-Rua, Vielzeuf, Pateux, Baccouche, Jurie: "MFAS: Multimodal Fusion Architecture Search" (arXiv 1903.06496),
section 3.1. A *row* describes one fusion layer: a tap index per modality in the task's order, then the activation. A
*chain* is one row per fusion layer, first layer first. The choices of a layer do not depend on its position, the same
row may occur twice, and each layer reads exactly one tap of every modality and the output of the layer before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator as Random

Row = tuple[int, ...]
Chain = tuple[Row, ...]

ACTIVATIONS = ("relu", "sigmoid", "leaky_relu")
"""Names of the activation codes 0, 1, 2; the published search offers the first two, its network knows all three."""


def rows(taps: Sequence[int], activations: Sequence[int]) -> tuple[Row, ...]:
    """Every choice of one layer in the published order: activation fastest, then the last modality's tap."""
    return tuple(itertools.product(*(range(count) for count in taps), activations))


def late_fusion(taps: Sequence[int]) -> Chain:
    """The last tap of every backbone in one ReLU layer: what MFAS has to beat."""
    return ((*(count - 1 for count in taps), 0),)


def neighbours(parents: Iterable[Chain], choices: Sequence[Row], *, level: int) -> list[Chain]:
    """Each parent with its row at ``level`` (from 0) replaced by every choice, or with the choice appended if shorter.

    In the order of parents, then choices, repeats included. Without parents, every choice as a chain of one layer.
    """
    grown = [(*parent[:level], row, *parent[level + 1 :]) for parent in parents for row in choices]
    return grown or [(row,) for row in choices]


def size(choices: int, levels: int) -> int:
    """How many chains of 1 to ``levels`` layers there are."""
    return sum(choices**length for length in range(1, levels + 1))


def everything(choices: Sequence[Row], levels: int) -> list[Chain]:
    """Every chain of 1 to ``levels`` layers, shorter ones first."""
    return [chain for length in range(1, levels + 1) for chain in itertools.product(choices, repeat=length)]


def draw(choices: Sequence[Row], count: int, *, levels: int, rng: Random) -> list[Chain]:
    """``count`` different random chains: length uniform in 1 to ``levels``, rows uniform and independent.

    The published random search, without its repeats. Where the space is smaller than ``count``, all of it. A length
    of which every chain is drawn already counts as a miss, so longer chains fill up.
    """
    wanted = min(count, size(len(choices), levels))
    drawn: dict[Chain, None] = {}
    while len(drawn) < wanted:
        length = int(rng.integers(1, levels + 1))
        drawn[tuple(choices[int(index)] for index in rng.integers(len(choices), size=length))] = None
    return list(drawn)


def label(chain: Chain) -> str:
    """Short text for tables, such as ``2+4 relu > 0+3 sigmoid``."""
    return " > ".join(f"{'+'.join(map(str, row[:-1]))} {ACTIVATIONS[row[-1]]}" for row in chain)


def features_of(chain: Chain, *, taps: Sequence[int], levels: int) -> list[float]:
    """A chain as numbers for surrogates that know no order: one-hot per layer, tap pairs, and how deep it is.

    Per layer: one-hot tap of each modality, activation, and which combination of taps is read together; zeros for
    layers the chain does not have. Then per modality the share of layers that read each tap, and the depth.
    """
    numbers: list[float] = []
    for level in range(levels):
        row = chain[level] if level < len(chain) else None
        for column, count in enumerate((*taps, len(ACTIVATIONS))):
            numbers += [float(row is not None and row[column] == value) for value in range(count)]
        pair = None if row is None else _position(row[:-1], taps)
        numbers += [float(pair == index) for index in range(math.prod(taps))]
    for column, count in enumerate(taps):
        numbers += [sum(row[column] == value for row in chain) / len(chain) for value in range(count)]
    return [*numbers, float(len(chain))]


def _position(row: Row, taps: Sequence[int]) -> int:
    """The index of a combination of taps among all, the last modality fastest."""
    position = 0
    for value, count in zip(row, taps, strict=True):
        position = position * count + value
    return position
