"""Found architectures as MFAS's code and its descendants write them: integer arrays, and which column is what.

A published array has one row per fusion layer: a tap of each modality, then the activation (0 ReLU, 1 sigmoid, 2 leaky
ReLU). Codes disagree on the order of the first two columns, and an array does not say which it follows, so reading and
writing name a convention. Here columns follow the order of the modalities that are given.

The tables are those of the released main programs for NTU RGB+D (MFAS, arXiv 1903.06496) and for AV-MNIST (a fork of
it). Figures are quoted as context: the data behind them differ from ours and from each other's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmfuse.errors import BadSpec, unknown_name
from mmfuse.search.mfas_space import ACTIVATIONS, Chain

CONVENTIONS: Mapping[str, tuple[str, ...]] = {
    "avmnist": ("audio", "image"),
    "multibench": ("image", "audio"),
    "ntu": ("skeleton", "rgb"),
}
"""Modalities of the tap columns, in order, by who wrote the array: the AV-MNIST fork, MultiBench, MFAS itself.

MultiBench also drops the first tap of each of its networks, so its tap 0 is the second tap.
"""


@dataclass(frozen=True)
class Found:
    """A published architecture: its array, the convention of its columns, and the figure it came with."""

    array: tuple[tuple[int, ...], ...]
    convention: str
    figure: str = ""


FOUND: Mapping[str, Found] = {
    "ntu-0": Found(((2, 2, 0), (1, 0, 1), (3, 2, 0), (3, 1, 1)), "ntu"),
    "ntu-1": Found(
        ((3, 0, 0), (1, 3, 0), (1, 1, 1), (3, 3, 0)),
        "ntu",
        "the paper's network; 0.8969 in its checkpoint's name, 88.64 % test accuracy when others measured it again",
    ),
    "ntu-2": Found(((3, 2, 0), (2, 3, 1), (0, 1, 1), (3, 0, 0)), "ntu"),
    "ntu-3": Found(((1, 1, 1), (3, 2, 0), (0, 1, 1), (3, 0, 0)), "ntu"),
    "ntu-4": Found(
        ((3, 1, 1), (1, 3, 0), (1, 1, 1), (3, 3, 0)),
        "ntu",
        "best of the release, width 128 with batch norm; 0.9134 in its checkpoint's name, 90.03 % measured again",
    ),
    "avmnist-0": Found(((3, 2, 1), (3, 2, 1), (2, 0, 1), (2, 2, 0)), "avmnist", "0.9430 on validation while searching"),
    "avmnist-1": Found(((3, 2, 0),), "avmnist", "0.9434 on validation while searching"),
    "avmnist-2": Found(((1, 1, 1), (2, 0, 0), (0, 2, 0), (2, 2, 0)), "avmnist", "0.9436 on validation while searching"),
    "avmnist-3": Found(((1, 1, 1), (0, 2, 0), (3, 2, 1), (2, 2, 0)), "avmnist", "0.9488 on validation while searching"),
    "avmnist-4": Found(((2, 2, 0), (3, 1, 1), (0, 2, 0), (2, 2, 0)), "avmnist", "0.9500 on validation while searching"),
}
"""Published architectures by name."""


def found(name: str, *, modalities: Sequence[str]) -> Chain:
    """The published architecture called ``name``, its columns in the order of ``modalities``.

    Raises:
        UnknownName: when there is none of that name.
        BadSpec: when it fuses other modalities.
    """
    if name not in FOUND:
        raise unknown_name("published architecture", name, FOUND)
    published = FOUND[name]
    return import_array(published.array, convention=published.convention, modalities=modalities)


def parse_array(text: str) -> list[list[int]]:
    """``"[[3,0,0],[1,3,0]]"`` as rows.

    Raises:
        BadSpec: when the text is not a JSON list of lists of whole numbers.
    """
    try:
        array = json.loads(text)
    except ValueError:
        array = None
    if not isinstance(array, list) or not all(isinstance(row, list) for row in array):
        raise BadSpec(f"'{text}' is not an array of rows", "write for example '[[3,0,0],[1,3,0]]'")
    return array


def import_array(array: Sequence[Sequence[int]], *, convention: str, modalities: Sequence[str]) -> Chain:
    """A published array as a chain over ``modalities`` in their order.

    Raises:
        UnknownName: for a convention that is not in `CONVENTIONS`.
        BadSpec: for other modalities than the convention's, or an array that is empty or ragged or has a value that
            no tap or activation can have.
    """
    columns = _columns(convention, modalities)
    _check_array(array, columns=len(columns))
    order = [columns.index(name) for name in modalities]
    return tuple((*(int(row[position]) for position in order), int(row[-1])) for row in array)


def export_array(chain: Chain, *, convention: str, modalities: Sequence[str]) -> list[list[int]]:
    """A chain over ``modalities`` as the array that code of ``convention`` reads; `import_array` gives it back.

    Raises:
        UnknownName, BadSpec: as `import_array`.
    """
    columns = _columns(convention, modalities)
    _check_array(chain, columns=len(columns))
    order = [list(modalities).index(name) for name in columns]
    return [[*(row[position] for position in order), row[-1]] for row in chain]


def _columns(convention: str, modalities: Sequence[str]) -> tuple[str, ...]:
    if convention not in CONVENTIONS:
        raise unknown_name("array convention", convention, CONVENTIONS)
    columns = CONVENTIONS[convention]
    if sorted(columns) != sorted(modalities):
        raise BadSpec(
            f"arrays of {convention} fuse {' and '.join(columns)}, not {' and '.join(modalities)}",
            f"conventions: {', '.join(sorted(CONVENTIONS))}",
        )
    return columns


def _check_array(array: Sequence[Sequence[int]], *, columns: int) -> None:
    if not array:
        raise BadSpec("an architecture has at least one layer, this array is empty", "write for example '[[3,2,0]]'")
    for number, row in enumerate(array):
        whole = all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in row)
        if len(row) != columns + 1 or not whole or row[-1] >= len(ACTIVATIONS):
            raise BadSpec(
                f"layer {number} of the array is {list(row)}, which is not {columns} taps and an activation",
                f"taps count from 0; activations: {', '.join(f'{i} {name}' for i, name in enumerate(ACTIVATIONS))}",
            )
