"""Found architectures as MFAS's code and its descendants write them: integer arrays, and which column is what.

A published array has one row per fusion layer: a tap of each modality, then the activation (0 ReLU, 1 sigmoid, 2 leaky
ReLU). Codes disagree on the order of the first two columns, and an array does not say which it follows, so reading and
writing name a convention. Here columns follow the order of the modalities that are given. Free of torch.

The tables are those of the released main programs for NTU RGB+D (MFAS, arXiv 1903.06496) and for AV-MNIST (a fork of
it). Figures are quoted as context: the data behind them differ from ours and from each other's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmfuse.errors import BadSpec, unknown_name

Chain = tuple[tuple[int, ...], ...]
"""One row per fusion layer: a tap of each modality in a stated order, then the activation."""

ACTIVATIONS = ("relu", "sigmoid", "leaky_relu")
"""Names of the activation codes 0, 1, 2."""

TASK_ORDER = "task"
"""The convention that is ours: tap columns in the order of the task's modalities."""

CONVENTIONS: Mapping[str, tuple[str, ...]] = {
    "avmnist": ("audio", "image"),
    "multibench": ("image", "audio"),
    "ntu": ("skeleton", "video"),
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


def read_array(text: str, *, convention: str | None, modalities: Sequence[str]) -> Chain:
    """An array as text, or the name of a published one, as a chain over ``modalities`` in their order.

    ``convention`` None takes a published array as it was published, and the columns of any other in the order of
    ``modalities``, as the convention ``task`` does.

    Raises:
        UnknownName, BadSpec: as `parse_array` and `import_array`; also for a published array in another convention.
    """
    if text in FOUND:
        if convention not in (None, FOUND[text].convention):
            raise BadSpec(
                f"{text} was published with the columns of {FOUND[text].convention}, not of {convention}",
                "leave the convention out",
            )
        return found(text, modalities=modalities)
    return import_array(parse_array(text), convention=convention or TASK_ORDER, modalities=modalities)


def export_arrays(chain: Chain, *, modalities: Sequence[str]) -> dict[str, list[list[int]]]:
    """A chain over ``modalities`` as an array of every convention that fuses them, ours first."""
    fitting = [name for name, columns in CONVENTIONS.items() if sorted(columns) == sorted(modalities)]
    return {name: export_array(chain, convention=name, modalities=modalities) for name in (TASK_ORDER, *fitting)}


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
        raise BadSpec(
            f"'{text}' is not an array of rows",
            f"write for example '[[3,0,0],[1,3,0]]', or name a published one: {', '.join(FOUND)}",
        )
    return array


def import_array(array: Sequence[Sequence[int]], *, convention: str, modalities: Sequence[str]) -> Chain:
    """A published array as a chain over ``modalities`` in their order.

    Raises:
        UnknownName: for a convention that is neither in `CONVENTIONS` nor `TASK_ORDER`.
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
    if convention == TASK_ORDER:
        return tuple(modalities)
    if convention not in CONVENTIONS:
        raise unknown_name("array convention", convention, (TASK_ORDER, *CONVENTIONS))
    columns = CONVENTIONS[convention]
    if sorted(columns) != sorted(modalities):
        raise BadSpec(
            f"arrays of {convention} fuse {' and '.join(columns)}, not {' and '.join(modalities)}",
            f"conventions: {TASK_ORDER} (the dataset's order), {', '.join(CONVENTIONS)}",
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
