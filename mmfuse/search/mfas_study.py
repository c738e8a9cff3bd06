"""One MFAS search under way: what it asks for, what it makes of the answers, and what it tells.

`mmfuse.search.mfas` says what is searched and by which rules; here they are followed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from mmfuse.architecture import Architecture
from mmfuse.errors import MmfuseError
from mmfuse.search.drive import Observer, Search
from mmfuse.search.mfas import (
    Options,
    baselines,
    has_control,
    layer_choices,
    model_params,
    most_entrants,
    networks,
    tap_counts,
)
from mmfuse.search.mfas_ledger import Ledger
from mmfuse.search.mfas_sampling import Floats, rank_correlation, sample, schedule_index, temperature
from mmfuse.search.mfas_space import Chain, draw, everything, label, late_fusion, neighbours, size
from mmfuse.search.surrogate import make_surrogate
from mmfuse.spec import CHOICE_STAGE
from mmfuse.task import Task

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


class Study:
    """One search under way. Scores are turned so that higher is better; every method that yields trains something."""

    def __init__(
        self, task: Task, options: Options, rng: np.random.Generator, *, observe: Observer | None = None
    ) -> None:
        self.options = options
        self.modalities = [modality.name for modality in task.modalities]
        self.taps = tap_counts(task, options)
        self.choices = layer_choices(task, options)
        self.networks = networks(task, options)
        self.ledger = Ledger(options.observations)
        self.control = Ledger(options.observations)
        self._stages: dict[Chain, str] = {}  # where each chain had its best score
        self._sign = 1.0 if task.maximize else -1.0
        self._rng = rng
        self._observe = observe or _unheard
        self._surrogate = make_surrogate(
            options.surrogate,
            taps=self.taps,
            levels=options.levels,
            seed=int(rng.integers(2**31)),
            epochs=options.surrogate_epochs,
            standardise=options.standardise,
        )

    def run(self) -> Search:
        """The chosen strategy, its control, and the comparison on held-out data."""
        strategies = {
            "progressive": self.progressive,
            "random": self.random,
            "exhaustive": self.exhaustive,
            "late": self.late,
        }
        yield from strategies[self.options.strategy]()
        self.require_scores()
        if has_control(self.options):
            yield from self.random_control()
        return (yield from self.choose())

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
                prediction = self._surrogate.predict(candidates)
                predicted = dict(zip(candidates, prediction.mean.tolist(), strict=True))
                drawn = self._draw(candidates, prediction.mean + self.options.exploration * prediction.spread, step)
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
            chosen = list(entrants)[: most_entrants(self.options)]
            repeated = [chain for chain in chosen for _ in range(self.options.final_repeats)]
            yield from self._ask(repeated, stage=CHOICE_STAGE, ledger=held_out)
        self._announce(baselines, held_out)
        if held_out.best(1):
            return self._architecture(held_out.best(1)[0], stage=CHOICE_STAGE)
        # Without finalists, or where all of them failed, the earlier scores say which network is best.
        winner = self.ledger.best(1)[0]
        return self._architecture(winner, stage=self._stages[winner])

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

    def _draw(self, candidates: Sequence[Chain], scores: Sequence[float] | Floats, step: Step) -> list[Chain]:
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
            best_key=self._architecture(best[0], stage="").key if best else None,
            best_score=self._shown(self.ledger.value(best[0])) if best else None,
        )

    def _train(self, chains: Sequence[Chain], *, stage: str, ledger: Ledger) -> Asking[None]:
        """Ask for every chain as often as the options say."""
        repeated = [chain for chain in chains for _ in range(self.options.repeats)]
        yield from self._ask(repeated, stage=stage, ledger=ledger)

    def _ask(self, chains: Sequence[Chain], *, stage: str, ledger: Ledger) -> Asking[None]:
        """Have every one of ``chains`` trained and enter the scores."""
        scores = yield [self._architecture(chain, stage=stage) for chain in chains]
        for chain, score in zip(chains, scores, strict=True):
            worth = self._sign * score
            if worth > max(ledger.scores(chain), default=-math.inf):
                self._stages[chain] = stage
            ledger.add([chain], [worth])

    def _baselines(self) -> dict[str, Chain]:
        """What the search has to beat, as far as this run knows it, by name."""
        singles = self.ledger.best(1, among=(chain for chain in self.ledger.chains() if len(chain) == 1))
        known = {
            "late fusion": [late_fusion(self.taps)],
            "best single layer": singles,
            "random": self.control.best(1),
        }
        return {name: chain for name in baselines(self.options) for chain in known[name]}

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
        if self.options.strategy == "progressive" and not has_control(self.options):
            left_out.append(("random", self.networks))
        return [{"preset": preset, "trainings": self.options.repeats * networks} for preset, networks in left_out]

    def _architecture(self, chain: Chain, *, stage: str) -> Architecture:
        """``chain`` as data."""
        return Architecture("mfas", model_params(chain, self.modalities, self.options), stage)

    def _shown(self, value: float) -> float | None:
        """A score as the task counts it; None for one that is not a number."""
        return None if math.isnan(value) else self._sign * value
