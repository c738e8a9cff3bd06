"""MFAS: choose, layer by layer, which backbone taps to fuse and how, guided by a surrogate that predicts scores.

Perez-Rua, Vielzeuf, Pateux, Baccouche, Jurie: "MFAS: Multimodal Fusion Architecture Search" (arXiv 1903.06496). All
one-layer networks are trained; from then on each step changes or appends one layer of the chains at hand, lets a
surrogate predict the scores of all results, draws some of them by temperature, trains those and refits the surrogate.
A sweep goes once over all layers, first to last; later sweeps go over the same layers again.

Where the default differs from the released code, and why (the preset ``compat`` has the published behaviour):

- The temperature's step counts sweeps times *levels*; the release multiplies by the number of sweeps.
- Chances are a softmax of standardised scores. The published score^(1/temperature) is nearly uniform when scores lie
  close together, as those of a search do.
- The best chains so far always stay among the parents (elitism); the release goes on from the last draw alone.
- A chain is trained once; the release trains it again when it is drawn again, and keeps the larger score.
- The surrogate sees one-hot rows and every measurement; the published LSTM sees raw indices and maxima.
- The best few are trained again with other seeds and scored on data no earlier choice has seen (stage ``choice``), next
  to what MFAS has to beat: late fusion of the last taps, the best single layer, and random search at equal trainings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mmfuse.backbones import choose_backbones, tap_widths
from mmfuse.errors import BadSpec
from mmfuse.options import Options as OptionModel
from mmfuse.options import parse_options
from mmfuse.registry import MODELS
from mmfuse.search.drive import Observer, Search
from mmfuse.search.mfas_space import (
    ACTIVATIONS,
    Chain,
    Row,
    late_fusion,
    rows,
    size,
)
from mmfuse.spec import TapOptions
from mmfuse.task import Task

if TYPE_CHECKING:
    from numpy.random import Generator as Random

EVALUATOR = "taps"
"""Candidates are trained by the evaluator that runs on cached taps of frozen backbones."""

LARGEST_LIST = 50_000
"""An exhaustive search of more trainings than this is refused: the two-layer space of AV-MNIST has 930."""


class Options(OptionModel):
    """The space of fusion networks, how it is searched, and how its candidates are trained."""

    strategy: Literal["progressive", "random", "exhaustive", "late"] = "progressive"
    """MFAS; as many random networks; every network of up to ``levels`` layers; or only the last taps in one layer."""
    taps: dict[str, Annotated[int, Field(ge=1)]] | None = None
    """Number of taps by modality; null asks the backbones."""
    activations: Annotated[list[Literal["relu", "sigmoid", "leaky_relu"]], Field(min_length=1)] = ["relu", "sigmoid"]
    """Activations a layer may have (MFAS: ReLU and sigmoid)."""
    levels: Annotated[int, Field(ge=1)] = 4
    """Most fusion layers of a network (MFAS: 4)."""
    sweeps: Annotated[int, Field(ge=1)] = 3
    """Times the search goes over all layers (MFAS: 3)."""
    samples: Annotated[int, Field(ge=1)] = 15
    """Networks trained in each step after the first (MFAS: 15)."""
    repeats: Annotated[int, Field(ge=1)] = 1
    """Trainings of each network, each with its own seed and each an observation of its own (MFAS: 1)."""
    surrogate: Literal["ensemble", "forest", "boosting", "gaussian", "lstm"] = "ensemble"
    """What predicts scores: random forest, boosted trees, Gaussian process, forest and process, the published LSTM."""
    surrogate_epochs: Annotated[int, Field(ge=1)] = 200
    """Epochs of the LSTM per refit (MFAS: 50, after which it still predicts little more than the mean)."""
    standardise: bool = True
    """Whether the LSTM's targets are standardised (MFAS: raw accuracies)."""
    observations: Literal["each", "max"] = "each"
    """What the surrogate and the ranking see of a network trained several times: each score, or (MFAS) the largest."""
    sampling: Literal["softmax", "power"] = "softmax"
    """Chances of being drawn: softmax of standardised scores, or (MFAS) score to the power of 1/temperature."""
    schedule: Literal["steps", "published"] = "steps"
    """How steps are counted for the temperature; "published" counts as the release does, and repeats itself."""
    initial_temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the first draw (MFAS: 10, for its power rule)."""
    final_temperature: Annotated[float, Field(gt=0)] = 0.1
    """Temperature the schedule falls to (MFAS: 0.2, for its power rule)."""
    temperature_decay: Annotated[float, Field(gt=0)] = 4.0
    """Steps in which the temperature falls to about a third of the way (MFAS: 4)."""
    exploration: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviations of the surrogate's doubt added to its prediction before a draw (MFAS: none)."""
    elites: Annotated[int, Field(ge=0)] = 5
    """Best networks so far that stay among the parents of the next step (MFAS: none)."""
    smoothing: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weight of the surrogate's opinion, beside a network's own score, in picking elites and finalists (MFAS: 0)."""
    dedupe: bool = True
    """Whether candidates are listed once and trained ones are not drawn again (MFAS: no)."""
    control: bool = True
    """Train as many random networks beside the search, the control it has to beat; false halves the time."""
    finalists: Annotated[int, Field(ge=0)] = 5
    """Best networks that are trained again and scored on held-out data; 0 takes the best score (MFAS lists five)."""
    final_repeats: Annotated[int, Field(ge=1)] = 3
    """Trainings of each finalist; their mean decides."""
    width: Annotated[int, Field(ge=1)] = 16
    """Outputs of every fusion layer (MFAS: 16 while searching)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout after every fusion layer (MFAS: 0.5 while searching)."""
    batchnorm: bool = False
    """Batch normalisation in every fusion layer (MFAS: off; its AV-MNIST network ignores the option)."""
    alphas: bool = False
    """A learned balance of the modalities in every fusion layer (MFAS: off)."""
    benchmark: TapOptions = TapOptions()
    """The backbones, and how each candidate is trained on their taps and scored."""


PRESETS: dict[str, dict[str, Any]] = {
    "compat": {
        "surrogate": "lstm",
        "surrogate_epochs": 50,
        "standardise": False,
        "observations": "max",
        "sampling": "power",
        "schedule": "published",
        "initial_temperature": 10.0,
        "final_temperature": 0.2,
        "elites": 0,
        "smoothing": 0.0,
        "dedupe": False,
        "control": False,
        "finalists": 0,
    },
    "quick": {"levels": 2, "sweeps": 2, "samples": 10, "control": False, "finalists": 3},
    "random": {"strategy": "random"},
    "exhaustive-1": {"strategy": "exhaustive", "levels": 1},
    "exhaustive-2": {"strategy": "exhaustive", "levels": 2},
    "late-fusion": {"strategy": "late"},
}
"""``compat`` searches as the released code does; ``quick`` ends in seconds; the others are the baselines alone."""


def check(task: Task, options: Options) -> None:
    """Refuse a task with nothing to fuse, taps that do not match it, and rules its score cannot follow.

    Raises:
        BadSpec, UnknownName: naming what is missing or impossible.
    """
    if len(task.modalities) < 2:
        raise BadSpec(f"MFAS fuses modalities and {task.name} has {len(task.modalities)}", "mmfuse zoo datasets")
    names = [modality.name for modality in task.modalities]
    foreign = sorted(set(options.taps or {}) - set(names))
    if foreign:
        raise BadSpec(f"{task.name} has no modality '{foreign[0]}'", f"known: {', '.join(names)}")
    if options.taps is None:
        family = MODELS.declaration("mfas")
        late = model_params(late_fusion(tap_counts(task, options)), names, options)
        family.check(parse_options(family.Params, late, what="model mfas"), task)
    choices = len(layer_choices(task, options))
    if options.strategy == "exhaustive" and size(choices, options.levels) > LARGEST_LIST:
        raise BadSpec(
            f"{options.levels} levels of {choices} choices make {size(choices, options.levels):,} trainings",
            "--set levels=2",
        )
    raw = options.sampling == "power" or (options.surrogate == "lstm" and not options.standardise)
    if raw and not task.maximize:
        raise BadSpec(
            f"power sampling and an LSTM on raw scores need a score to maximise, and {task.metric} is minimised",
            "--set sampling=softmax --set standardise=true",
        )


def tap_counts(task: Task, options: Options) -> tuple[int, ...]:
    """Taps of each modality's backbone, in the task's order: as given, else as the backbones declare.

    Raises:
        BadSpec: for a modality whose count is neither given nor declared.
    """
    names = [modality.name for modality in task.modalities]
    given = options.taps or {}
    if all(name in given for name in names):
        return tuple(given[name] for name in names)
    backbones = choose_backbones(task, options.benchmark.backbones)
    return tuple(given.get(name) or len(tap_widths(backbones[name], task)) for name in names)


def expected_trials(task: Task, options: Options) -> int:
    """How many trainings the search will ask for; a space that runs out of new networks ends with fewer."""
    trained = options.repeats * networks(task, options) * (2 if has_control(options) else 1)
    return trained + most_entrants(options) * options.final_repeats


def layer_choices(task: Task, options: Options) -> tuple[Row, ...]:
    """What one layer can be."""
    return rows(tap_counts(task, options), [ACTIVATIONS.index(name) for name in dict.fromkeys(options.activations)])


def model_params(chain: Chain, modalities: list[str], options: Options) -> dict[str, Any]:
    """``chain`` as parameters of the model family, spelled out in full so that equal choices are equal data."""
    chosen = {
        "modalities": modalities,
        "layers": [list(row) for row in chain],
        "width": options.width,
        "dropout": options.dropout,
        "batchnorm": options.batchnorm,
        "alphas": options.alphas,
        "backbones": options.benchmark.backbones,
    }
    complete = parse_options(MODELS.declaration("mfas").Params, chosen, what="model mfas")
    return dict(complete.model_dump(mode="json"))


def networks(task: Task, options: Options) -> int:
    """Networks trained before any control or comparison: by random search as many as by MFAS itself."""
    choices = len(layer_choices(task, options))
    space = size(choices, options.levels)
    if options.strategy == "late":
        return 1
    if options.strategy == "exhaustive":
        return space
    asked = choices + (options.sweeps * options.levels - 1) * options.samples
    return min(asked, space) if options.dedupe else asked


def has_control(options: Options) -> bool:
    """Whether random search runs beside the search."""
    return options.control and options.strategy == "progressive"


def baselines(options: Options) -> tuple[str, ...]:
    """What is compared with the search's own finalists in the last stage, under these names."""
    if options.strategy == "late":
        return ()
    control = ("random",) if has_control(options) else ()
    return ("late fusion", "best single layer", *control)


def most_entrants(options: Options) -> int:
    """How many networks the last stage compares, where the space has as many."""
    if options.finalists == 0:
        return 0
    return 1 if options.strategy == "late" else options.finalists + len(baselines(options))


def search(task: Task, options: Options, rng: Random, *, observe: Observer | None = None) -> Search:
    """Run the chosen strategy, then its control, then the comparison on held-out data; return the winner.

    ``observe`` hears of each step (``search step``: temperature and predictions of what is about to be trained;
    ``search step measured``: the scores, their rank correlation with the predictions, the best so far) and at the end
    of the ``standings``: the search's best beside what it has to beat.

    Raises:
        MmfuseError: when not one network could be scored.
    """
    from mmfuse.search.mfas_study import Study  # numeric libraries, which those who only read options do without

    return (yield from Study(task, options, rng, observe=observe).run())
