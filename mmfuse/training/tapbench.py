"""How a search over fusions scores its candidates: on cached taps, many at a time.

The training rows are cut in two once and for all: most of them train backbones and candidates, the rest is held out,
and only candidates of the last stage (`CHOICE_STAGE`) are scored there. Everybody else's score is the best epoch's on
the validation split, as published.

A list of candidates is cut into groups in its own order. On a CPU each group is trained by a forked process with one
thread, so its numbers depend neither on what runs beside it nor on how many threads there are; and a list is evaluated
as a whole or not at all, so a search that was killed cuts the same groups again.
"""

from __future__ import annotations

import itertools
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmfuse.architecture import Architecture
from mmfuse.backbones import choose_backbones
from mmfuse.batch import Splits
from mmfuse.errors import BadSpec, MmfuseError
from mmfuse.metrics import compute_metrics
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_macs, count_parameters
from mmfuse.models.mfas import FusionChain, Params, check
from mmfuse.models.tap_layout import TapLayout
from mmfuse.options import parse_options
from mmfuse.report import Reporter, TrialRecord
from mmfuse.search.drive import Trial
from mmfuse.spec import CHOICE_STAGE, TapOptions
from mmfuse.training.backbones import Backbone, obtain_backbones
from mmfuse.training.batched import Candidate, Regime, TapRows, Trained, train_group
from mmfuse.training.forked import Died, Message, Send, run_forked
from mmfuse.training.optimiser import Cycles
from mmfuse.training.resident import steps_per_epoch
from mmfuse.training.sampling import stratified
from mmfuse.training.seeding import derive_seed
from mmfuse.training.shared_weights import SharedWeights, State
from mmfuse.training.taps import cached_taps

HALVED = 8
"""Lists of so many candidates are trained in at least two groups on a CPU; smaller ones gain nothing by it."""


@dataclass(frozen=True)
class _Prepared:
    """What all candidates share. Rows lie on the device they are trained on; ``held_out`` is None if nothing is."""

    modalities: tuple[str, ...]
    backbones: dict[str, Backbone]
    layout: TapLayout
    train: TapRows
    val: TapRows
    held_out: TapRows | None
    shared: SharedWeights | None


@dataclass(frozen=True)
class _Group:
    """Trials that are trained as one."""

    trials: tuple[Trial, ...]


class TapBenchmark:
    """Evaluates MFAS candidates on the taps of one set of backbones.

    ``folder`` keeps the run's copies of the backbones; ``data_root`` those of all runs, and the tap cache. Preparing
    both may take a while and happens when the first candidates come.
    """

    joint = True

    def __init__(
        self,
        splits: Splits,
        options: TapOptions,
        *,
        seed: int,
        device: torch.device,
        folder: Path,
        data_root: Path,
        reporter: Reporter,
        should_stop: Callable[[], bool],
        workers: int = 1,
    ) -> None:
        self.task = splits.task
        self.splits = splits
        self.options = options
        self.seed = seed
        self.device = device
        self.folder = folder
        self.data_root = data_root
        self.reporter = reporter
        self.should_stop = should_stop
        self.workers = workers
        self._prepared: _Prepared | None = None
        self._backbone_costs: dict[tuple[tuple[int, ...], ...], tuple[int, int]] = {}

    def evaluate(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        """Yield the ended record of each trial, group by group (see `mmfuse.search.drive.Evaluator`).

        Raises:
            Stopped: when a stop was asked for; the list starts anew when the search is resumed.
            BadSpec: when candidates do not all fuse the same modalities.
        """
        prepared = self._prepare(trials[0].architecture)
        if prepared.shared is None:
            yield from self._answers(trials, prepared, left={})
            return
        prepared.shared.recall(trials[0].number)
        left: dict[int, State] = {}
        latest: TrialRecord | None = None
        for record in self._answers(trials, prepared, left=left):
            if latest is not None:
                yield latest
            latest = record
        # With its last record the list counts as answered; what it left must be safe by then.
        self._hand_on(trials, prepared, prepared.shared, left)
        if latest is not None:
            yield latest

    def _answers(
        self, trials: Sequence[Trial], prepared: _Prepared, *, left: dict[int, State]
    ) -> Iterator[TrialRecord]:
        """Train and score ``trials``; ``left`` takes the trained layers by trial number, if they are shared."""
        wrong = {trial.number: reason for trial in trials if (reason := self._objection(trial))}
        yield from (_failed(trial, wrong[trial.number]) for trial in trials if trial.number in wrong)
        possible = [trial for trial in trials if trial.number not in wrong]
        groups = list(self._groups(possible))
        for trial in possible:
            self.reporter.trial(TrialRecord(trial.number, trial.architecture, trial.seed))
        for group, message in self._run(groups, prepared):
            kind, *content = message
            if kind == "died":
                yield from (_failed(trial, content[0]) for trial in group.trials)
            elif kind == "metrics":
                values, step, epoch, number = content
                self.reporter.metrics(values, step=step, epoch=epoch, trial=number)
            elif kind == "layers":
                number, arrays = content
                left[number] = {name: torch.from_numpy(array) for name, array in arrays.items()}
            else:
                yield self._with_cost(TrialRecord.from_json(content[0]), prepared)

    def _hand_on(
        self, trials: Sequence[Trial], prepared: _Prepared, shared: SharedWeights, left: Mapping[int, State]
    ) -> None:
        """Let later candidates inherit what these have learned, the later of two equal layers counting."""
        for trial in trials:
            strategy = _strategy(trial)
            if strategy is not None and trial.number in left:
                shared.learn(_params(trial), left[trial.number], strategy=strategy)
        shared.keep(trials[-1].number)

    def finalist(self, architecture: Architecture) -> Architecture:
        """The found architecture as it is trained in full: its final width and dropout, and this run's backbones."""
        params = parse_options(Params, {**architecture.params, **self.full_training(architecture)}, what="model mfas")
        return Architecture("mfas", params.model_dump(mode="json"))

    def full_training(self, architecture: Architecture) -> dict[str, Any]:
        """The parameters in which any candidate of this search differs when it is trained in full."""
        prepared = self._prepare(architecture)
        changes: dict[str, Any] = {
            "backbones": {
                modality: {"family": b.architecture.family, "params": dict(b.architecture.params), "weights": b.key}
                for modality, b in prepared.backbones.items()
            }
        }
        if self.options.final_width is not None:
            changes["width"] = self.options.final_width
        if self.options.final_dropout is not None:
            changes["dropout"] = self.options.final_dropout
        return changes

    def _prepare(self, architecture: Architecture) -> _Prepared:
        """Backbones and taps; made once, and the same for all candidates."""
        modalities = tuple(architecture.params["modalities"])
        if self._prepared is None:
            self._prepared = self._make(modalities)
        if self._prepared.modalities != modalities:
            raise BadSpec(
                f"this search fuses {', '.join(self._prepared.modalities)}, a candidate {', '.join(modalities)}"
            )
        return self._prepared

    def _make(self, modalities: tuple[str, ...]) -> _Prepared:
        target = self.splits.train.target
        # The seed is not the run's: all searches on the same data hold out the same rows, so backbones can be shared.
        chosen = stratified(target, round(self.options.choice_share * len(target)), seed=0)
        kept = torch.ones(len(target), dtype=torch.bool)
        kept[chosen.long()] = False
        fitted, held_out = kept.nonzero().squeeze(1), (~kept).nonzero().squeeze(1)
        backbones = obtain_backbones(
            choose_backbones(self.task, self.options.backbones, modalities=modalities),
            replace(self.splits, train=self.splits.train.take(fitted)),
            pretrain=self.options.pretrain,
            device=self.device,
            folder=self.folder,
            data_root=self.data_root,
            reporter=self.reporter,
            should_stop=self.should_stop,
            workers=self.workers,
        )
        table = cached_taps(
            backbones,
            self.splits,
            data_root=self.data_root,
            device=self.device,
            reporter=self.reporter,
            should_stop=self.should_stop,
            dtype=self.options.taps_dtype,
            workers=self.workers,
        )
        self.reporter.note("held out", samples=len(held_out), fitted=len(fitted))
        return _Prepared(
            modalities=modalities,
            backbones=backbones,
            layout=table.layout,
            train=table.train.take(fitted).to(self.device),
            val=table.val.to(self.device),
            held_out=table.train.take(held_out).to(self.device) if len(held_out) else None,
            shared=self._shared(table.layout),
        )

    def _shared(self, layout: TapLayout) -> SharedWeights | None:
        if self.options.weight_sharing == "off":
            return None
        return SharedWeights(self.options.weight_sharing, folder=self.folder / "shared", layout=layout)

    def _objection(self, trial: Trial) -> str:
        """Why the candidate cannot be built, if so: it must not take its group with it."""
        try:
            check(parse_options(Params, self._whole(trial.architecture).params, what="model mfas"), self.task)
        except MmfuseError as error:
            return error.message
        return ""

    def _whole(self, architecture: Architecture) -> Architecture:
        """The candidate with the backbones of this search, as a model of its own."""
        given = {name: choice.model_dump() for name, choice in self.options.backbones.items()}
        return Architecture("mfas", {**architecture.params, "backbones": given})

    def _groups(self, trials: Sequence[Trial]) -> Iterator[_Group]:
        """Trials of equal width, dropout, norm and balance together, in their order, in groups of even size."""
        alike: dict[tuple[Any, ...], list[Trial]] = {}
        for trial in trials:
            params = trial.architecture.params
            kind = (
                trial.architecture.stage == CHOICE_STAGE,
                *(params.get(name) for name in ("width", "dropout", "batchnorm", "alphas")),
            )
            alike.setdefault(kind, []).append(trial)
        for members in alike.values():
            count = -(-len(members) // self.options.group)
            # A step's fifteen are one group's worth, but two halves keep two cores busy. Not `workers`: a search that
            # goes on with fewer must cut the same groups.
            if self.device.type == "cpu" and len(members) >= HALVED:
                count = max(count, 2)
            bounds = [len(members) * number // count for number in range(count + 1)]
            yield from (_Group(tuple(members[a:b])) for a, b in itertools.pairwise(bounds))

    def _run(self, groups: Sequence[_Group], prepared: _Prepared) -> Iterator[tuple[_Group, tuple[Any, ...]]]:
        """What each group's training sends, as it comes."""
        if self.device.type == "cpu":

            def work(group: _Group, send: Send) -> None:
                self._work(group, prepared, send, should_stop=lambda: False)

            for event in run_forked(groups, work, workers=self.workers, should_stop=self.should_stop):
                if isinstance(event, Message):
                    yield event.job, event.content
                elif isinstance(event, Died):
                    yield event.job, ("died", event.reason)
            return
        for group in groups:
            messages: list[tuple[Any, ...]] = []
            self._work(group, prepared, messages.append, should_stop=self.should_stop)
            yield from ((group, message) for message in messages)

    def _work(self, group: _Group, prepared: _Prepared, send: Send, *, should_stop: Callable[[], bool]) -> None:
        """Train and score a group; whatever goes wrong becomes its trials' records."""
        try:
            self._train_and_score(group, prepared, send, should_stop=should_stop)
        except Exception as error:  # one group's failure must not end the search
            if not isinstance(error, MmfuseError):
                traceback.print_exc()
            reason = error.message if isinstance(error, MmfuseError) else f"{type(error).__name__}: {error}"[:300]
            for trial in group.trials:
                send(("ended", _failed(trial, reason).to_json()))

    def _train_and_score(
        self, group: _Group, prepared: _Prepared, send: Send, *, should_stop: Callable[[], bool]
    ) -> None:
        began = time.monotonic()
        params = [_params(trial) for trial in group.trials]
        steps = steps_per_epoch(len(prepared.train), batch_size=self.options.batch_size)

        def tell(epoch: int, losses: Sequence[float], scores: Sequence[float]) -> None:
            for trial, loss, score in zip(group.trials, losses, scores, strict=True):
                values = {"train/loss": loss, f"val/{self.task.metric}": score}
                send(("metrics", values, epoch * steps, epoch, trial.number))

        trained = train_group(
            [Candidate(_params(trial), trial.seed, _inherited(trial, prepared)) for trial in group.trials],
            prepared.train,
            prepared.val,
            layout=prepared.layout,
            task=self.task,
            regime=self._regime(steps),
            on_epoch=tell,
            should_stop=should_stop,
        )
        seconds = (time.monotonic() - began) / len(trained)
        for trial, each, result in zip(group.trials, params, trained, strict=True):
            record = self._record(trial, each, result, prepared)
            if prepared.shared is not None and record.status == "done":
                layers = {name: value.numpy() for name, value in result.state.items() if name.startswith("cells.")}
                send(("layers", trial.number, layers))
            send(("ended", replace(record, seconds=seconds).to_json()))

    def _regime(self, steps: int) -> Regime:
        options = self.options
        return Regime(
            epochs=options.epochs,
            batch_size=options.batch_size,
            cycles=Cycles(
                highest=options.learning_rate,
                lowest=options.minimum_rate,
                first=options.cycle,
                factor=options.cycle_factor,
                steps_per_epoch=steps,
            ),
            weight_decay=options.weight_decay,
            order_seed=derive_seed(self.seed, "order"),
        )

    def _record(self, trial: Trial, params: Params, result: Trained, prepared: _Prepared) -> TrialRecord:
        record = TrialRecord(
            trial.number, trial.architecture, trial.seed, epochs=self.options.epochs, steps=result.steps
        )
        if result.reason:
            return replace(record, status="failed", reason=result.reason)
        metrics = self._metrics("val", result.logits, prepared.val)
        score = result.score
        if trial.architecture.stage == CHOICE_STAGE and prepared.held_out is not None:
            chain = FusionChain(params, layout=prepared.layout, outputs=self.task.outputs)
            chain.load_state_dict(result.state)
            with torch.no_grad():
                logits = chain.to(self.device).eval()(prepared.held_out.taps.float())
            metrics |= self._metrics("choice", logits, prepared.held_out)
            score = metrics[f"choice/{self.task.metric}"]
        return replace(record, status="done", score=score, metrics=metrics)

    def _metrics(self, part: str, logits: Tensor, rows: TapRows) -> dict[str, float]:
        measured = compute_metrics(self.task, logits.cpu(), rows.target.cpu())
        return {f"{part}/{name}": value for name, value in measured.items()}

    def _with_cost(self, record: TrialRecord, prepared: _Prepared) -> TrialRecord:
        """With parameters and multiply-accumulates of the whole model, backbones up to the taps it reads included."""
        if record.status != "done":
            return record
        params = parse_options(Params, record.architecture.params, what="model mfas")
        layout = prepared.layout
        with torch.device("meta"):
            chain = FusionChain(params, layout=layout, outputs=self.task.outputs)
        key = layout.trimmed(params.layers).widths
        if key not in self._backbone_costs:
            self._backbone_costs[key] = self._measure(record.architecture, chain)
        parameters, macs = self._backbone_costs[key]
        return replace(record, parameters=parameters + count_parameters(chain), macs=macs + _chain_macs(chain))

    def _measure(self, architecture: Architecture, chain: FusionChain) -> tuple[int, int]:
        """Parameters and multiply-accumulates of the backbones as far as ``architecture`` needs them."""
        model = build_model(self._whole(architecture), self.task)
        sample = self.splits.val.take(torch.zeros(1, dtype=torch.long)).all().to("cpu")
        return count_parameters(model) - count_parameters(chain), count_macs(model, sample) - _chain_macs(chain)


def _chain_macs(chain: FusionChain) -> int:
    """Multiply-accumulates of one sample: one per weight of a linear layer."""
    return sum(value.numel() for value in chain.parameters() if value.dim() == 2)


def _params(trial: Trial) -> Params:
    return parse_options(Params, trial.architecture.params, what="model mfas")


def _strategy(trial: Trial) -> str | None:
    """What asked for the trial (``sweep 1/level 2`` is of the sweeps); None for the last comparison."""
    stage = trial.architecture.stage
    return None if stage == CHOICE_STAGE else stage.partition(" ")[0]


def _inherited(trial: Trial, prepared: _Prepared) -> dict[str, Tensor]:
    strategy = _strategy(trial)
    if prepared.shared is None or strategy is None:
        return {}
    return prepared.shared.first_weights(_params(trial), strategy=strategy)


def _failed(trial: Trial, reason: str) -> TrialRecord:
    return TrialRecord(trial.number, trial.architecture, trial.seed, "failed", reason=reason)
