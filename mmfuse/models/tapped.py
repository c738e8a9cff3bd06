"""What a fusion search needs of a backbone: taps, a head on them, and the parts behind the last tap cut away.

A model family is a backbone if its model has the methods of `Tapped` and its file declares ``tap_widths(params, task)``
(see `mmfuse.backbones`). A *tap* is a vector of features per sample; taps are ordered shallow to deep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from torch import Tensor, nn


class Tapped(Protocol):
    """A model of one modality whose inner features others may read.

    Its ``forward`` must give the logits that ``predict(taps(inputs))`` gives, and in evaluation mode the same inputs
    must give the same taps: taps are computed once and kept.
    """

    def taps(self, inputs: Tensor) -> list[Tensor]:
        """(B, *shape) -> one (B, width) per tap, with the declared widths in their order."""
        ...

    def predict(self, taps: Sequence[Tensor]) -> Tensor:
        """The model's own logits (B, K) from all its taps; not after `trim`."""
        ...

    def trim(self, last: int) -> None:
        """Keep only what taps 0 to ``last`` need: the head and everything deeper go, and later taps with them."""
        ...


def tapped(model: nn.Module) -> Tapped:
    """``model``, which its family declares to have taps, as what it is."""
    return cast(Tapped, model)
