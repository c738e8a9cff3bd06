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

from mmfuse.architecture import Architecture
from mmfuse.backbones import check_backbone, choose_backbones, tap_widths
from mmfuse.errors import BadSpec, MmfuseError
from mmfuse.options import Options as OptionModel
from mmfuse.search.drive import Observer, Search
from mmfuse.search.mfas_space import (
    ACTIVATIONS,
    Chain,
    Row,
    draw,
    everything,
    label,
    late_fusion,
    neighbours,
    rows,
    size,
)
from mmfuse.spec import CHOICE_STAGE, TapOptions
from mmfuse.task import Task

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

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
    surrogate: Literal["ensemble", "forest", "gaussian", "lstm"] = "ensemble"
    """What predicts scores: a random forest, a Gaussian process, both averaged, or the published LSTM."""
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
    for name, choice in choose_backbones(names, options.benchmark.backbones).items():
        check_backbone(choice, task, name)
    choices = len(_choices(task, options))
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
    backbones = choose_backbones(names, options.benchmark.backbones)
    return tuple(given.get(name) or len(tap_widths(backbones[name])) for name in names)


def expected_trials(task: Task, options: Options) -> int:
    """How many trainings the search will ask for; a space that runs out of new networks ends with fewer."""
    trained = options.repeats * _networks(task, options) * (2 if _has_control(options) else 1)
    return trained + _most_entrants(options) * options.final_repeats


def _choices(task: Task, options: Options) -> tuple[Row, ...]:
    """What one layer can be."""
    return rows(tap_counts(task, options), [ACTIVATIONS.index(name) for name in dict.fromkeys(options.activations)])


def _networks(task: Task, options: Options) -> int:
    """Networks trained before any control or comparison: by random search as many as by MFAS itself."""
    choices = len(_choices(task, options))
    space = size(choices, options.levels)
    if options.strategy == "late":
        networks = 1
    elif options.strategy == "exhaustive":
        networks = space
    else:
        networks = choices + (options.sweeps * options.levels - 1) * options.samples
    return min(networks, space) if options.dedupe else networks


def _has_control(options: Options) -> bool:
    return options.control and options.strategy == "progressive"


def _baselines(options: Options) -> tuple[str, ...]:
    """What is compared with the search's own finalists in the last stage, under these names."""
    if options.strategy == "late":
        return ()
    control = ("random",) if _has_control(options) else ()
    return ("late fusion", "best single layer", *control)


def _most_entrants(options: Options) -> int:
    """How many networks the last stage compares, where the space has as many."""
    if options.finalists == 0:
        return 0
    return 1 if options.strategy == "late" else options.finalists + len(_baselines(options))


import math
import statistics
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mmfuse.search.mfas_ledger import Ledger
from mmfuse.search.mfas_sampling import rank_correlation, sample, schedule_index, temperature
from mmfuse.search.surrogate import make_surrogate


def search(task: Task, options: Options, rng: Random, *, observe: Observer | None = None) -> Search:
    """Run the chosen strategy, then its control, then the comparison on held-out data; return the winner.

    ``observe`` hears of each step (``search step``: temperature and predictions of what is about to be trained;
    ``search step measured``: the scores, their rank correlation with the predictions, the best so far) and at the end
    of the ``standings``: the search's best beside what it has to beat.

    Raises:
        MmfuseError: when not one network could be scored.
    """
    study = _Study(task, options, rng, observe or _unheard)
    yield from {
        "progressive": study.progressive,
        "random": study.random,
        "exhaustive": study.exhaustive,
        "late": study.late,
    }[options.strategy]()
    study.require_scores()
    if _has_control(options):
        yield from study.random_control()
    winner = yield from study.choose()
    return winner


Answer = TypeVar("Answer")
Asking = Generator[list[Architecture], list[float], Answer]
Predicted = Mapping[Chain, float]


def _unheard(message: str, **facts: Any) -> None:
    """The observer of a search nobody listens to."""


@dataclass(frozen=True)
class Step:
    """One question of the progressive search; sweep and level count from 1."""

    sweep: int
    level: int
    temperature: float

    @property
    def stage(self) -> str:
        """How trials and tables name it."""
        return f"sweep {self.sweep}/level {self.level}"


class _Study:
    """One search under way. Scores are turned so that higher is better; every method that yields trains something."""

    def __init__(self, task: Task, options: Options, rng: Random, observe: Observer) -> None:
        self.options = options
        self.modalities = [modality.name for modality in task.modalities]
        self.taps = tap_counts(task, options)
        self.choices = _choices(task, options)
        self.networks = _networks(task, options)
        self.ledger = Ledger(options.observations)
        self.control = Ledger(options.observations)
        self._sign = 1.0 if task.maximize else -1.0
        self._rng = rng
        self._observe = observe
        self._surrogate = make_surrogate(
            options.surrogate,
            taps=self.taps,
            levels=options.levels,
            seed=int(rng.integers(2**31)),
            epochs=options.surrogate_epochs,
            standardise=options.standardise,
        )

    def progressive(self) -> Asking[None]:
        """Grow and change chains layer by layer, a sweep at a time."""
        parents: list[Chain] = []
        for step in self._steps():
            candidates = self._fresh(neighbours(parents, self.choices, level=step.level - 1))
            if not parents:
                yield from self._measure(step, candidates, candidates=candidates, predicted=None)
                self.require_scores()
                drawn = self._draw(candidates, [self.ledger.value(chain) for chain in candidates], step)
            elif candidates:
                predicted = dict(zip(candidates, self._surrogate.predict(candidates).mean.tolist(), strict=True))
                drawn = self._draw(candidates, [predicted[chain] for chain in candidates], step)
                yield from self._measure(step, drawn, candidates=candidates, predicted=predicted)
            else:
                continue  # every neighbour has been trained already
            self._surrogate.fit(*self.ledger.observations())
            parents = self._listed([*drawn, *self._leaders(self.options.elites)])

    def random(self) -> Asking[None]:
        """As many random networks as the progressive search would train."""
        yield from self._train(self._random_chains(), stage="random", ledger=self.ledger)

    def random_control(self) -> Asking[None]:
        """The same beside a progressive search; neither the surrogate nor the parents ever see these."""
        yield from self._train(self._random_chains(), stage="random", ledger=self.control)

    def exhaustive(self) -> Asking[None]:
        """Every network of up to ``levels`` layers."""
        yield from self._train(everything(self.choices, self.options.levels), stage="exhaustive", ledger=self.ledger)

    def late(self) -> Asking[None]:
        """Late fusion of the last taps."""
        yield from self._train([late_fusion(self.taps)], stage="late fusion", ledger=self.ledger)

    def choose(self) -> Asking[Architecture]:
        """Train the finalists and the baselines again, score them on held-out data, and name the winner."""
        held_out = Ledger()
        baselines = self._baselines()
        if self.options.finalists:
            entrants = dict.fromkeys([*baselines.values(), *self._leaders()])
            chosen = list(entrants)[: _most_entrants(self.options)]
            repeated = [chain for chain in chosen for _ in range(self.options.final_repeats)]
            yield from self._ask(repeated, stage=CHOICE_STAGE, ledger=held_out)
        self._announce(baselines, held_out)
        # Without finalists, or where all of them failed, the earlier scores say which network is best.
        winner, *_ = [*held_out.best(1), *self.ledger.best(1)]
        return self._architecture(winner, stage=CHOICE_STAGE)

    def _leaders(self, count: int | None = None) -> list[Chain]:
        """The best chains so far, each judged by its own score and, as far as the options say, by its kin's."""
        known, weight = self.ledger.best(), self.options.smoothing
        if not weight or self.options.strategy != "progressive":
            return known[:count]
        expected = self._surrogate.predict(known).mean.tolist()
        smoothed = {
            chain: weight * value + (1 - weight) * self.ledger.value(chain)
            for chain, value in zip(known, expected, strict=True)
        }
        return sorted(known, key=lambda chain: -smoothed[chain])[:count]

    def require_scores(self) -> None:
        """Raise MmfuseError if everything trained so far has failed."""
        if not self.ledger.best(1):
            raise MmfuseError(
                f"none of the {len(self.ledger)} networks trained so far could be scored",
                "mmfuse runs show latest lists why each trial failed",
            )

    def _steps(self) -> Iterable[Step]:
        """Sweeps over levels, each step with the temperature of its draw."""
        options = self.options
        now = options.initial_temperature
        for sweep in range(options.sweeps):
            for level in range(options.levels):
                yield Step(sweep + 1, level + 1, now)
                now = temperature(
                    schedule_index(
                        sweep,
                        level,
                        sweeps=options.sweeps,
                        levels=options.levels,
                        published=options.schedule == "published",
                    ),
                    initial=options.initial_temperature,
                    final=options.final_temperature,
                    decay=options.temperature_decay,
                )

    def _listed(self, chains: Iterable[Chain]) -> list[Chain]:
        """``chains`` without repeats, unless repeats are wanted."""
        return list(dict.fromkeys(chains)) if self.options.dedupe else list(chains)

    def _fresh(self, chains: Iterable[Chain]) -> list[Chain]:
        """``chains`` without repeats and without those trained already, unless these are wanted."""
        return [chain for chain in self._listed(chains) if not (self.options.dedupe and chain in self.ledger)]

    def _draw(self, candidates: Sequence[Chain], scores: Sequence[float], step: Step) -> list[Chain]:
        """Some of ``candidates``, by temperature."""
        drawn = sample(
            scores,
            self.options.samples,
            temperature=step.temperature,
            rule=self.options.sampling,
            rng=self._rng,
        )
        return [candidates[position] for position in drawn]

    def _random_chains(self) -> list[Chain]:
        return draw(self.choices, self.networks, levels=self.options.levels, rng=self._rng)

    def _measure(
        self,
        step: Step,
        chains: Sequence[Chain],
        *,
        candidates: Sequence[Chain],
        predicted: Mapping[Chain, float] | None,
    ) -> Asking[None]:
        """Train ``chains``, and tell what was expected of them and what they brought."""
        expected = [predicted[chain] for chain in chains] if predicted else []
        place: dict[str, Any] = {"sweep": step.sweep, "level": step.level, "stage": step.stage}
        self._observe(
            "search step",
            **place,
            temperature=step.temperature,
            candidates=len(candidates),
            chains=[label(chain) for chain in chains],
            keys=[self._architecture(chain, stage=step.stage).key for chain in chains],
            predicted=[self._sign * value for value in expected],
        )
        yield from self._train(chains, stage=step.stage, ledger=self.ledger)
        measured = [self.ledger.value(chain) for chain in chains]
        best = self.ledger.best(1)
        self._observe(
            "search step measured",
            **place,
            measured=[self._shown(value) for value in measured],
            rank_correlation=rank_correlation(expected, measured) if expected else None,
            best=label(best[0]) if best else None,
            best_score=self._shown(self.ledger.value(best[0])) if best else None,
        )

    def _train(self, chains: Sequence[Chain], *, stage: str, ledger: Ledger) -> Asking[None]:
        """Ask for every chain as often as the options say."""
        repeated = [chain for chain in chains for _ in range(self.options.repeats)]
        yield from self._ask(repeated, stage=stage, ledger=ledger)

    def _ask(self, chains: Sequence[Chain], *, stage: str, ledger: Ledger) -> Asking[None]:
        """Have every one of ``chains`` trained and enter the scores."""
        scores = yield [self._architecture(chain, stage=stage) for chain in chains]
        ledger.add(chains, [self._sign * score for score in scores])

    def _baselines(self) -> dict[str, Chain]:
        """What the search has to beat, as far as this run knows it, by name."""
        singles = self.ledger.best(1, among=(chain for chain in self.ledger.chains() if len(chain) == 1))
        known = {
            "late fusion": [late_fusion(self.taps)],
            "best single layer": singles,
            "random": self.control.best(1),
        }
        return {name: chain for name in _baselines(self.options) for chain in known[name]}

    def _announce(self, baselines: Mapping[str, Chain], held_out: Ledger) -> None:
        """Tell how the search's best stands beside its baselines, those included that this run did not train."""
        entrants = self.ledger.chains() if not held_out else [c for c in held_out.chains() if c in self.ledger]
        own, *_ = [*held_out.best(1, among=entrants), *self.ledger.best(1)]
        rows = [self._standing("search", own, held_out)]
        rows += [self._standing(name, chain, held_out) for name, chain in baselines.items()]
        self._observe("standings", rows=rows, not_trained=self._not_trained())

    def _standing(self, name: str, chain: Chain, held_out: Ledger) -> dict[str, Any]:
        """One row: the score that the search saw, and mean and deviation on data it did not see."""
        finals = held_out.scores(chain)
        ledger = self.control if name == "random" else self.ledger
        return {
            "name": name,
            "chain": label(chain),
            "key": self._architecture(chain, stage="").key,
            "trainings": {"search": len(self.ledger), "random": len(self.control), "late fusion": 1}.get(
                name, self.options.repeats * len(self.choices)
            ),
            "score": self._shown(ledger.value(chain)),
            "held_out": self._shown(statistics.fmean(finals)) if finals else None,
            "held_out_std": statistics.stdev(finals) if len(finals) > 1 else None,
        }

    def _not_trained(self) -> list[dict[str, Any]]:
        """Baselines this run left out: what they would cost, and the preset that runs them."""
        left_out = [] if self.options.strategy == "exhaustive" else [("exhaustive-2", size(len(self.choices), 2))]
        if self.options.strategy == "progressive" and not _has_control(self.options):
            left_out.append(("random", self.networks))
        return [{"preset": preset, "trainings": self.options.repeats * networks} for preset, networks in left_out]

    def _architecture(self, chain: Chain, *, stage: str) -> Architecture:
        """``chain`` as data."""
        params = {
            "modalities": self.modalities,
            "layers": [list(row) for row in chain],
            "width": self.options.width,
            "dropout": self.options.dropout,
            "batchnorm": self.options.batchnorm,
            "alphas": self.options.alphas,
        }
        return Architecture("mfas", params, stage)

    def _shown(self, value: float) -> float | None:
        """A score as the task counts it; None for one that is not a number."""
        return None if math.isnan(value) else self._sign * value
