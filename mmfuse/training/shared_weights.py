"""Fusion layers that candidates hand on to later candidates (MFAS, arXiv 1903.06496, section 3.3; off in its releases).

A candidate starts each layer from what the last candidate that had the same layer left of it. The release calls layers
the same if level, number of inputs and activation agree, so other taps of equal total width inherit weights that were
trained for something else; that is the rule ``widths``, and ``taps`` also asks for the same taps.

Where we differ from the release, which trains candidates one after the other: all candidates of one list start from
what earlier lists left, so that it does not matter which of them are trained together, nor when. A strategy (the
search, its random control) inherits from its own candidates only, and the last comparison from nobody.

What a list leaves is one file, named by the number of the list's last trial and written before that list counts as
answered. So a search that was killed starts its unanswered list from the same weights again.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mmfuse.errors import DataInvalid, StoreError
from mmfuse.models.mfas import Params
from mmfuse.models.tap_layout import TapLayout

Rule = Literal["off", "taps", "widths"]
State = Mapping[str, Tensor]


class SharedWeights:
    """The layers that the candidates of a search have left so far, kept in ``folder``."""

    def __init__(self, rule: Rule, *, folder: Path, layout: TapLayout) -> None:
        self.rule = rule
        self.folder = folder
        self.layout = layout
        self._layers: dict[str, dict[str, Tensor]] = {}

    def recall(self, first: int) -> None:
        """Go back to what the lists before trial ``first`` left.

        Raises:
            DataInvalid: when the file that holds it is damaged.
        """
        numbers = [int(path.stem) for path in self.folder.glob("*.pt") if int(path.stem) < first]
        self._layers = _loaded(self._path(max(numbers))) if numbers else {}

    def first_weights(self, params: Params, *, strategy: str) -> dict[str, Tensor]:
        """What a candidate starts from, as part of the state of its `FusionChain`."""
        return {
            f"cells.{level}.{name}": value
            for level in range(len(params.layers))
            for name, value in self._layers.get(self._key(params, level, strategy), {}).items()
        }

    def learn(self, params: Params, state: State, *, strategy: str) -> None:
        """Keep the layers of a trained candidate, given the state of its `FusionChain`."""
        for level in range(len(params.layers)):
            prefix = f"cells.{level}."
            layer = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            self._layers[self._key(params, level, strategy)] = layer

    def keep(self, last: int) -> None:
        """Write down what the list that ends with trial ``last`` left; a kill leaves the whole file or none.

        Raises:
            StoreError: when the file system refuses.
        """
        path = self._path(last)
        temporary = path.with_suffix(".tmp")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                torch.save(self._layers, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into a RuntimeError
            with suppress(OSError):
                temporary.unlink()
            reason = error.strerror if isinstance(error, OSError) else str(error).partition("\n")[0]
            raise StoreError(
                f"cannot write the shared weights {path}: {reason}", "free some space, then resume"
            ) from error

    def _key(self, params: Params, level: int, strategy: str) -> str:
        row = params.layers[level]
        read = list(row[:-1])
        if self.rule == "widths":
            read = [sum(part.stop - part.start for part in self.layout.selected(row))]
        # Layers of other width or with a norm have other weights under the same names.
        return f"{strategy}/{level}.{read}.{row[-1]}.{params.width}.{params.batchnorm}"

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.pt"


def _loaded(path: Path) -> dict[str, dict[str, Tensor]]:
    try:
        # torch does not look at the checksums that it writes.
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
        layers: dict[str, dict[str, Tensor]] = torch.load(path, weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, EOFError, KeyError, OSError) as error:
        raise DataInvalid(
            f"{path}, the weights that earlier candidates of this search share with later ones, is damaged",
            "start the search anew; backbones and taps are found again",
        ) from error
    return layers
