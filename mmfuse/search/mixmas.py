"""MixMAS: pick encoder, fusion function and fusion network one question at a time, by short trainings.

Chergui, Bezirganyan, Sellami, Berti-Equille, Fournier: "MixMAS: A Framework for Sampling-Based Mixer Architecture
Search for Multimodal Fusion and Learning" (arXiv 2412.18437). The algorithm of section 3: on a small sample of the
training split, every candidate encoder of every modality is trained with a head of its own; then, with those encoders,
every fusion function; then, with that function, every fusion network. The cost is the sum of the candidates, not their
product.

Where we differ from the released code, and why:

- It re-uses one Trainer, so only the first candidate is trained; here each trial has its own optimiser and makes
  exactly the planned number of steps.
- It skips the choice of the fusion function, which the paper describes; here it is a stage of its own. While functions
  are compared the fusion network is the first of ``networks`` (MLP-Mixer), which neither text states.
- It lets ``os.listdir`` order and the first maximum decide; here candidates are sorted, seeded by number, and ties go
  to the smaller model.
- ``repeats`` and ``beam`` are ours and off by default: several seeds per candidate, and more than one encoder per
  modality kept until the fusion stage.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mmfuse.architecture import Architecture
from mmfuse.errors import BadSpec
from mmfuse.options import Options as OptionModel
from mmfuse.search.choose import Choice, rank
from mmfuse.search.drive import Search
from mmfuse.search.space import PRESETS as PRESETS
from mmfuse.search.space import Space, SpaceOptions
from mmfuse.spec import BenchmarkOptions
from mmfuse.task import Task

if TYPE_CHECKING:
    from numpy.random import Generator as Random


class Options(OptionModel):
    """What MixMAS chooses from, and how sure it wants to be."""

    space: SpaceOptions = SpaceOptions()
    """The candidates."""
    repeats: Annotated[int, Field(ge=1)] = 1
    """Trainings per candidate, each with its own seed; the mean decides, and within the error the smaller one."""
    beam: Annotated[int, Field(ge=1)] = 1
    """Encoders per modality kept for the fusion stage; the published search keeps 1."""
    final: Literal["fresh", "warm"] = "fresh"
    """Full training starts from new weights, or (as in the release) from those of the encoders' own trials."""
    benchmark: BenchmarkOptions = BenchmarkOptions()
    """How each candidate is trained and scored."""


def check(task: Task, options: Options) -> None:
    """Refuse a task or a space in which there is nothing to choose.

    Raises:
        BadSpec: naming what is missing.
    """
    if len(task.modalities) < 2:
        raise BadSpec(f"MixMAS fuses modalities and {task.name} has {len(task.modalities)}", "mmfuse zoo datasets")
    Space(task, options.space)


def expected_trials(task: Task, options: Options) -> int:
    """How many trainings the search will ask for."""
    return sum(_planned(task, options))


def expected_work(task: Task, options: Options) -> float:
    """The sum of `work` over all of them."""
    alone, fused = _planned(task, options)
    return alone + fused * (len(task.modalities) + 1)


def work(architecture: Architecture) -> float:
    """What training a candidate costs beside the others, roughly: the mixers it has, encoders and fusion network.

    On the AV-MNIST stand-in a fused model took 1.6 to 3.1 times as long as an encoder alone (median of five searches:
    2.7); two encoders and a network count 3.
    """
    return float(len(architecture.params["encoders"]) + 1) if "encoders" in architecture.params else 1.0


def _planned(task: Task, options: Options) -> tuple[int, int]:
    """Trainings of single encoders, and of fused models."""
    space = Space(task, options.space)
    encoders = [len(space.encoders(modality.name)) for modality in task.modalities]
    combinations = 1
    for count in encoders:
        combinations *= min(count, options.beam)
    fused = combinations * len(space.functions) + len(space.networks)
    return options.repeats * sum(encoders), options.repeats * fused


def search(task: Task, options: Options, rng: Random) -> Search:
    """Ask the questions in the paper's order; ``rng`` is unused, since MixMAS samples data and not architectures."""
    space = Space(task, options.space)

    asked = [candidate for modality in task.modalities for candidate in space.encoder_candidates(modality.name)]
    scored = yield from _ask(asked, options.repeats)
    kept = {
        modality.name: [choice.architecture.params["encoder"] for choice in _of(scored, modality.name, task)][
            : options.beam
        ]
        for modality in task.modalities
    }

    default = space.networks[0]
    asked = [
        space.fused(encoders, function=function, network=default, stage="fusion")
        for encoders in _combinations(kept)
        for function in space.functions
    ]
    scored = yield from _ask(asked, options.repeats)
    best = _best(scored, task)

    # The default network is trained again: its score as the best of several functions would flatter it.
    encoders, function = best.params["encoders"], best.params["fusion"]
    asked = [space.fused(encoders, function=function, network=network, stage="network") for network in space.networks]
    scored = yield from _ask(asked, options.repeats)
    return _best(scored, task)


Scored = list[tuple[Architecture, float]]


def _ask(candidates: list[Architecture], repeats: int) -> Any:
    """Yield each candidate ``repeats`` times as one list, and return the candidates paired with their scores."""
    asked = [candidate for candidate in candidates for _ in range(repeats)]
    scores = yield asked
    return list(zip(asked, scores, strict=True))


def _of(scored: Scored, modality: str, task: Task) -> list[Choice]:
    """The ranking of one modality's encoders."""
    mine = [(candidate, score) for candidate, score in scored if candidate.params["modality"] == modality]
    return rank([candidate for candidate, _ in mine], [score for _, score in mine], maximize=task.maximize)


def _best(scored: Scored, task: Task) -> Architecture:
    candidates, scores = [candidate for candidate, _ in scored], [score for _, score in scored]
    return rank(candidates, scores, maximize=task.maximize)[0].architecture


def _combinations(kept: dict[str, list[dict[str, Any]]]) -> Iterator[dict[str, dict[str, Any]]]:
    for encoders in itertools.product(*kept.values()):
        yield dict(zip(kept, encoders, strict=True))
