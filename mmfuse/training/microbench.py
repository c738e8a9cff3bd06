"""The micro-benchmark: how a search trains and scores its candidates.

Each trial trains one fresh model for a few epochs on the search's data sample, with an optimiser of its own and exactly
the planned number of steps, and is scored once on a fixed subset of the validation split. On a CPU trials run in forked
processes with one thread each, so their numbers do not depend on how many run side by side.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmfuse.architecture import Architecture, canonical_json
from mmfuse.batch import Batch, Split, Splits
from mmfuse.errors import MmfuseError, Stopped, StoreError
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_macs, count_parameters, measure_latency
from mmfuse.models.fusion_mixer import FusionMixer
from mmfuse.report import Reporter, TrialRecord
from mmfuse.search.drive import Trial
from mmfuse.spec import BenchmarkOptions
from mmfuse.training.checkpoint import why_refused
from mmfuse.training.forked import Died, Message, Send, run_forked
from mmfuse.training.optimiser import make_optimiser
from mmfuse.training.quick import QuickTraining
from mmfuse.training.sampling import draw_sample, sample_size, stratified
from mmfuse.training.scoring import score
from mmfuse.training.seeding import derive_seed, seeded

logger = logging.getLogger(__name__)

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class _Leg:
    """A trial up to a number of epochs: all of them, or one rung of successive halving."""

    trial: Trial
    epochs: int
    last: bool


class MicroBenchmark:
    """Evaluates candidates on a small sample of ``splits``.

    ``folder`` keeps the encoders that unimodal trials trained, so that fusion stages (and a resumed search) can start
    from them; ``history`` are the ended trials of earlier attempts.
    """

    def __init__(
        self,
        splits: Splits,
        options: BenchmarkOptions,
        *,
        seed: int,
        device: torch.device,
        folder: Path,
        reporter: Reporter,
        should_stop: Callable[[], bool],
        workers: int = 1,
        history: Sequence[TrialRecord] = (),
    ) -> None:
        self.task = splits.task
        self.options = options
        self.device = device
        self.folder = folder
        self.reporter = reporter
        self.should_stop = should_stop
        self.workers = workers
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.tmp"):  # of trials that were killed while they saved
            leftover.unlink()
        size = sample_size(options.sample, len(splits.train))
        sample = draw_sample(splits.train.target, size, seed=derive_seed(seed, "sample"), tolerance=options.tolerance)
        subset = stratified(
            splits.val.target, options.validation or len(splits.val), seed=derive_seed(seed, "validation")
        )
        self.train = splits.train.take(sample.index).to(device).materialise()
        self.val = splits.val.take(subset).to(device).materialise()
        reporter.note("sample", size=size, draws=sample.draws, gap=sample.gap, validation=len(subset))
        self._best_encoder: dict[str, tuple[float, int]] = {}
        self._tokens: dict[str, tuple[Tensor, Tensor]] = {}
        for record in history:
            self._remember(record)

    @property
    def joint(self) -> bool:
        """With successive halving candidates for the same question compete, so a question is one unit."""
        return self.options.halving

    def evaluate(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        """Yield the ended record of each trial as it ends (see `mmfuse.search.drive.Evaluator`).

        Raises:
            Stopped: when a stop was asked for; unfinished trials start anew when the search is resumed.
            StoreError: when the disk refuses what a trial has to leave; so do they then.
        """
        for record in self._halving(trials) if self.options.halving else self._straight(trials):
            self._remember(record)
            yield record

    def encoder_weights(self, architecture: Architecture) -> dict[str, Weights]:
        """By modality, the weights that the encoders of ``architecture`` ended their own trials with.

        Modalities whose encoder had no trial of its own (a random search, say) are left out.
        """
        found = {}
        for modality, encoder in architecture.params.get("encoders", {}).items():
            key = _encoder_key(modality, encoder)
            if key in self._best_encoder:
                found[modality] = self._load(self._encoder_file(self._best_encoder[key][1]))
        return found

    def _straight(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        yield from self._run([_Leg(trial, self.options.epochs, last=True) for trial in trials])

    def _halving(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        """Successive halving within each question: only candidates for the same stage compete.

        Jamieson and Talwalkar, arXiv 1502.07943; never fewer than two candidates reach the last rung.
        """
        questions: dict[str, list[Trial]] = defaultdict(list)
        for trial in trials:
            questions[trial.architecture.stage].append(trial)
        for question in questions.values():
            racing = list(question)
            for trial in racing:
                # Left by an attempt that was killed in the middle of this question, perhaps at a later rung.
                self._rung_file(trial).unlink(missing_ok=True)
            for epochs in self._rungs():
                last = epochs == self.options.epochs
                ended = list(self._run([_Leg(trial, epochs, last=last) for trial in racing]))
                if last:
                    yield from ended
                    break
                alive = [record for record in ended if record.status == "done" and record.score is not None]
                yield from (record for record in ended if record.status != "done")
                sign = -1.0 if self.task.maximize else 1.0
                alive.sort(key=lambda record: (sign * (record.score or 0.0), record.parameters or 0, record.number))
                keep = max(2, -(-len(alive) // self.options.halving_eta))
                for record in alive[keep:]:
                    yield replace(record, status="pruned", reason=f"not among the best {keep} after {epochs} epochs")
                survivors = {record.number for record in alive[:keep]}
                racing = [trial for trial in racing if trial.number in survivors]

    def _rungs(self) -> list[int]:
        """Epochs at which candidates are compared, ending with the full number: 10 and eta 3 give 2, 4, 10."""
        rungs = [self.options.epochs]
        while rungs[0] > 1 and len(rungs) < 3:
            rungs.insert(0, -(-rungs[0] // self.options.halving_eta))
        return rungs

    def _run(self, legs: Sequence[_Leg]) -> Iterator[TrialRecord]:
        self._cache_tokens(legs)
        if self.device.type == "cpu":
            self._warm_up()
            yield from self._run_forked(legs)
            return
        for leg in legs:
            if self.should_stop():
                raise Stopped
            self._announce(leg)
            ended: list[TrialRecord] = []
            self._work(leg, lambda message: self._relay(message, ended))  # noqa: B023 - called before the next turn
            yield ended[0]

    def _warm_up(self) -> None:
        """Have torch import here what it imports on first use: forked trials would each pay that second again."""
        count_macs(nn.Identity(), self.val.batch(torch.zeros(1, dtype=torch.long)))
        make_optimiser(nn.Linear(1, 1), learning_rate=1.0).step()

    def _run_forked(self, legs: Sequence[_Leg]) -> Iterator[TrialRecord]:
        def work(leg: _Leg, send: Send) -> None:
            send(("began",))
            self._work(leg, send)

        for event in run_forked(legs, work, workers=self.workers, should_stop=self.should_stop):
            if isinstance(event, Message):
                ended: list[TrialRecord] = []
                if event.content[0] == "began":
                    self._announce(event.job)
                else:
                    self._relay(event.content, ended)
                yield from ended
            elif isinstance(event, Died):
                trial = event.job.trial
                yield TrialRecord(trial.number, trial.architecture, trial.seed, "failed", reason=event.reason)

    def _announce(self, leg: _Leg) -> None:
        self.reporter.trial(TrialRecord(leg.trial.number, leg.trial.architecture, leg.trial.seed))

    def _relay(self, message: tuple[Any, ...], ended: list[TrialRecord]) -> None:
        kind, *content = message
        if kind == "metrics":
            values, step, epoch, number = content
            self.reporter.metrics(values, step=step, epoch=epoch, trial=number)
        elif kind == "refused":
            raise StoreError(*content)
        else:
            ended.append(TrialRecord.from_json(content[0]))

    def _work(self, leg: _Leg, send: Send) -> None:
        """Train and score one leg; whatever goes wrong becomes the trial's record."""
        trial, began = leg.trial, time.monotonic()
        record = TrialRecord(trial.number, trial.architecture, trial.seed)
        try:
            record = self._train_and_score(leg, record, send)
        except StoreError as error:  # a full disk says nothing about the candidate: its trial is still to be made
            send(("refused", error.message, error.hint))
            return
        except MmfuseError as error:
            record = replace(record, status="failed", reason=error.message)
        except Exception as error:  # one candidate's failure must not end the search
            with suppress(OSError):
                traceback.print_exc()
            record = replace(record, status="failed", reason=f"{type(error).__name__}: {error}"[:300])
        seconds = record.seconds + time.monotonic() - began
        send(("ended", replace(record, seconds=seconds).to_json()))

    def _train_and_score(self, leg: _Leg, record: TrialRecord, send: Send) -> TrialRecord:
        trial = leg.trial
        with seeded(trial.seed):
            model = build_model(trial.architecture, self.task)
        sample = self.val.take(torch.zeros(1, dtype=torch.long, device=self.device)).all().to("cpu")
        record = replace(record, parameters=count_parameters(model), macs=count_macs(model, sample))
        model.to(self.device)
        reason = self._over_budget(model, record)
        if reason:
            return replace(record, status="skipped", reason=reason)
        trained, train, val = self._prepare(model, trial.architecture)
        training = QuickTraining(
            trained,
            train,
            batch_size=self.options.batch_size,
            learning_rate=self.options.learning_rate,
            seed=trial.seed,
            device=self.device,
        )
        steps = -(-len(train) // self.options.batch_size)
        rung = self._rung_file(trial)
        if rung.exists():
            training.load_state_dict(torch.load(rung, weights_only=True, map_location=self.device))
        trained_so_far = training.run(
            epochs=leg.epochs,
            on_epoch=lambda epoch, loss: send(("metrics", {"train/loss": loss}, epoch * steps, epoch, trial.number)),
        )
        metrics = {f"val/{name}": value for name, value in score(trained, val, self.task).items()}
        send(("metrics", metrics, trained_so_far.steps, trained_so_far.epochs, trial.number))
        if leg.last:
            rung.unlink(missing_ok=True)
            self._save_encoder(model, trial)
        else:
            self._save(training.state_dict(), rung)
        return replace(
            record,
            status="done",
            score=metrics[f"val/{self.task.metric}"],
            epochs=trained_so_far.epochs,
            steps=trained_so_far.steps,
            metrics=metrics,
        )

    def _over_budget(self, model: nn.Module, record: TrialRecord) -> str:
        limit = self.options.max_parameters
        if limit is not None and (record.parameters or 0) > limit:
            return f"{record.parameters:,} parameters exceed the limit of {limit:,}"
        if self.options.max_latency_ms is not None:
            size = min(self.options.batch_size, len(self.val))
            batch = self.val.batch(torch.arange(size, device=self.device))
            latency = 1e3 * measure_latency(model, batch)
            if latency > self.options.max_latency_ms:
                return f"a batch of {size} takes {latency:.1f} ms, the limit is {self.options.max_latency_ms:g} ms"
        return ""

    def _prepare(self, model: nn.Module, architecture: Architecture) -> tuple[nn.Module, Split, Split]:
        """The module to train and the data it sees: warm encoders are loaded, frozen ones replaced by their outputs."""
        weights = {} if self.options.encoders == "fresh" else self.encoder_weights(architecture)
        for modality, state in weights.items():
            model.get_submodule(f"encoders.{modality}").load_state_dict(state)
        encoders = architecture.params.get("encoders", {})
        if self.options.encoders != "frozen" or not encoders or set(weights) != set(encoders):
            return model, self.train, self.val
        train, val = ({}, {})
        for modality, encoder in encoders.items():
            train[modality], val[modality] = self._tokens[_encoder_key(modality, encoder)]
        return _FusionOnly(cast(FusionMixer, model)), replace(self.train, inputs=train), replace(self.val, inputs=val)

    def _cache_tokens(self, legs: Sequence[_Leg]) -> None:
        """Pass the sample once through each frozen encoder that ``legs`` need; forked trials share the outputs."""
        if self.options.encoders != "frozen":
            return
        for leg in legs:
            architecture = leg.trial.architecture
            weights = self.encoder_weights(architecture)
            needed = {
                modality: key
                for modality, encoder in architecture.params.get("encoders", {}).items()
                if (key := _encoder_key(modality, encoder)) not in self._tokens and modality in weights
            }
            if not needed:
                continue
            model = build_model(architecture, self.task).to(self.device).eval()
            for modality, key in needed.items():
                encoder = model.get_submodule(f"encoders.{modality}")
                encoder.load_state_dict(weights[modality])
                self._tokens[key] = (
                    _outputs(encoder, self.train.inputs[modality]),
                    _outputs(encoder, self.val.inputs[modality]),
                )

    def _save_encoder(self, model: nn.Module, trial: Trial) -> None:
        if trial.architecture.family == "unimodal":
            encoder = model.get_submodule(f"encoders.{trial.architecture.params['modality']}")
            self._save(encoder.state_dict(), self._encoder_file(trial.number))

    def _remember(self, record: TrialRecord) -> None:
        """Keep the best-scored trial of each encoder; ties go to the first."""
        if record.status != "done" or record.architecture.family != "unimodal" or record.score is None:
            return
        key = _encoder_key(record.architecture.params["modality"], record.architecture.params["encoder"])
        value = record.score if self.task.maximize else -record.score
        best = self._best_encoder.get(key)
        if best is None or (value, -record.number) > (best[0], -best[1]):
            self._best_encoder[key] = (value, record.number)

    def _rung_file(self, trial: Trial) -> Path:
        return self.folder / f"rung-{trial.number}.pt"

    def _encoder_file(self, number: int) -> Path:
        return self.folder / f"encoder-{number}.pt"

    def _load(self, path: Path) -> Weights:
        if not path.exists():
            raise MmfuseError(
                f"{path.name}, the encoder that an earlier trial of this search trained, is missing",
                "start the search anew, or with --set benchmark.encoders=fresh",
            )
        weights: Weights = torch.load(path, weights_only=True, map_location=self.device)
        return weights

    def _save(self, value: Mapping[str, Any], path: Path) -> None:
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            torch.save(value, temporary)
            temporary.replace(path)
        except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into the latter
            temporary.unlink(missing_ok=True)
            raise StoreError(f"cannot write {path}: {why_refused(error)}", "free some space, then resume") from error


class _FusionOnly(nn.Module):
    """A fusion model whose inputs are its encoders' outputs; only what lies behind the encoders trains."""

    def __init__(self, model: FusionMixer) -> None:
        super().__init__()
        for name, child in model.named_children():
            if name != "encoders":
                self.add_module(name, child)
        # Bound methods are no modules, so the encoders stay out of this module's parameters.
        self._fuse, self._loss = model.fuse, model.loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The outputs, from tokens."""
        return self._fuse(batch.inputs)

    def loss(self, outputs: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """The model's own loss."""
        return self._loss(outputs, batch)


def _encoder_key(modality: str, encoder: Mapping[str, Any]) -> str:
    return canonical_json([modality, encoder])


@torch.no_grad()
def _outputs(encoder: nn.Module, inputs: Tensor, *, batch_size: int = 256) -> Tensor:
    """(N, ...) -> (N, tokens, dim), in bounded memory."""
    return torch.cat([encoder(part) for part in inputs.split(batch_size)])
