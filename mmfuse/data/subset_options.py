"""Training on fewer pairs: the options that every dataset of latents has, by inheriting from `SubsetOptions`.

`mmfuse.data.subsets.subset` does what they say to the training pairs; validation and test stay whole.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmfuse.options import Options


class SubsetOptions(Options):
    """How many of the training pairs are used, and which."""

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training pairs that are trained on (FuseMix, section on data efficiency, compares shares)."""
    subset: Literal["random", "k_center", "dpp"] = "random"
    """How they are chosen: at random, far from each other, or diverse (greedy maximum of a determinantal process)."""
    subset_on: str | None = None
    """Modality whose latents tell pairs apart; null: all of them side by side."""
    subset_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the random choice, and of the first pick of the others."""
