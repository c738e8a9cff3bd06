"""Random search: architectures drawn uniformly from MixMAS's space, each trained alike; the honest baseline.

Li and Talwalkar, "Random Search and Reproducibility for Neural Architecture Search" (arXiv 1902.07638), is why every
search here is compared with it at the same number of trainings.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mmfuse.errors import BadSpec
from mmfuse.options import Options as OptionModel
from mmfuse.search.choose import rank
from mmfuse.search.drive import Search
from mmfuse.search.space import PRESETS as PRESETS
from mmfuse.search.space import Space, SpaceOptions
from mmfuse.spec import BenchmarkOptions
from mmfuse.task import Task

if TYPE_CHECKING:
    from numpy.random import Generator as Random


class Options(OptionModel):
    """How much to draw, and from what."""

    trials: Annotated[int, Field(ge=1)] = 12
    """Architectures drawn without replacement; MixMAS's own 3 + 3 + 4 + 2 trainings make 12."""
    space: SpaceOptions = SpaceOptions()
    """The candidates; the same space as MixMAS's."""
    benchmark: BenchmarkOptions = BenchmarkOptions()
    """How each candidate is trained and scored."""


def check(task: Task, options: Options) -> None:
    """Refuse a task with nothing to fuse.

    Raises:
        BadSpec: naming what is missing.
    """
    if len(task.modalities) < 2:
        raise BadSpec(f"this search fuses modalities and {task.name} has {len(task.modalities)}", "mmfuse zoo datasets")
    Space(task, options.space)


def expected_trials(task: Task, options: Options) -> int:
    """How many trainings the search will ask for: never more than the space holds."""
    space = Space(task, options.space)
    size = len(space.functions) * len(space.networks)
    for modality in task.modalities:
        size *= len(space.encoders(modality.name))
    return min(options.trials, size)


def search(task: Task, options: Options, rng: Random) -> Search:
    """Draw all candidates at once, since none depends on another's score."""
    space = Space(task, options.space)
    encoders = [space.encoders(modality.name) for modality in task.modalities]
    everything = list(itertools.product(itertools.product(*encoders), space.functions, space.networks))
    drawn = rng.choice(len(everything), size=expected_trials(task, options), replace=False)
    candidates = []
    for position in sorted(int(position) for position in drawn):
        chosen, function, network = everything[position]
        named = dict(zip((modality.name for modality in task.modalities), chosen, strict=True))
        candidates.append(space.fused(named, function=function, network=network, stage="random"))
    scores = yield candidates
    return rank(candidates, scores, maximize=task.maximize)[0].architecture
