"""Training of FuseMix: a method of the engine, on latents that lie where the work is done.

No data loader: an epoch is one permutation of the pair table, a batch an index selection per modality, blending part of
the first kernel that touches it. Nothing asks the device for a number between two reports. Adapters see a chunk of the
batch at a time, the loss sees all of it; order, blends, noise and dropout are functions of (seed, epoch) and (seed,
step), so a training that was killed ends as it would have anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mmfuse.architecture import Architecture
from mmfuse.data.latent_readers import Choice, block_order, choose_mode, open_reader
from mmfuse.errors import BadSpec
from mmfuse.latents import AnyLatentBatch, LatentPairs, LatentSplits, full_order
from mmfuse.models.assemble import build_model
from mmfuse.models.contrastive import dense_groups
from mmfuse.models.fusemix import FuseMix, Params
from mmfuse.models.mixing import Blend, alpha_at, blend_halves, blend_permuted, unblended
from mmfuse.report import Reporter
from mmfuse.spec import FitOptions
from mmfuse.training.checkpoint import load_checkpoint
from mmfuse.training.collapse import alarms, diagnose
from mmfuse.training.embedding import embed_pairs
from mmfuse.training.engine import FullTraining, Plan
from mmfuse.training.fit import FitResult, result_of
from mmfuse.training.gradient_cache import cached_backward
from mmfuse.training.optimiser import make_adamw
from mmfuse.training.progress import Position
from mmfuse.training.seeding import derive_seed, seed_step, seeded

YOUTH = 0.2
"""Share of a training before whose end a loss like that of guessing is no alarm: untrained adapters do guess."""


def fit_contrastive(
    architecture: Architecture,
    splits: LatentSplits,
    options: FitOptions,
    *,
    seed: int,
    device: torch.device,
    folder: Path,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    provenance: Mapping[str, Any],
) -> FitResult:
    """Train an architecture of family fusemix on pairs of latents, or go on where an earlier attempt was.

    A batch larger than the data is made as small as the data, and noted.

    Raises:
        Stopped, Diverged, CheckpointMismatch, StoreError: as `mmfuse.training.fit.fit_model`.
        DataInvalid: when latents are damaged.
        BadSpec: when there are too few pairs to tell apart, or the precision is none that this training knows.
    """
    if options.precision == "16-mixed":
        raise BadSpec("FuseMix trains in 32-true or bf16-mixed, not in 16-mixed", "--set fit.precision=bf16-mixed")
    for pairs in (splits.train, splits.val):
        pairs.check()
    with seeded(derive_seed(seed, "weights")):
        model = cast(FuseMix, build_model(architecture, splits.task))
    last = folder / "checkpoints" / "last.ckpt"
    begun = load_checkpoint(last) if last.exists() else None
    states = 4 * sum(parameter.nbytes for parameter in model.parameters())  # weights, gradients, and Adam's two means
    choice = choose_mode(splits.train, device=device, beside=states)
    # A training keeps the order it began with, even if its latents find more or less free memory when it goes on.
    order = begun.provenance.get("order") if begun is not None else None
    order = order or ("blocks" if choice.mode == "stream" else "full")
    plan = Plan(
        architecture=architecture,
        splits=splits,
        options=options,
        seed=seed,
        last=last,
        best=folder / "checkpoints" / "best.ckpt",
        provenance={**provenance, "encoders": dict(splits.encoders), "order": order},
    )
    method = Contrastive(splits, model.params, options, seed=seed, reading=Reading(choice, order), reporter=reporter)
    work = FullTraining(model, plan, method, reporter=reporter, should_stop=should_stop)
    if begun is not None:
        work.resume(begun)
    reporter.resumed(work.position.step)
    if not work.done:
        with _matrix_products(options.precision):
            _drive(work, device)
    return result_of(plan)


def _drive(work: FullTraining, device: torch.device) -> None:
    """Step after step until ``work`` is done."""
    model = cast(FuseMix, work.model.to(device))
    optimiser = work.begin(device)
    clip = work.plan.options.gradient_clip
    while not work.done:
        for batch in work.loader():
            optimiser.zero_grad(set_to_none=True)
            loss = work.step_loss(batch)
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimiser.step()
            model.clamp_temperature()
            work.after_step(loss, temperature=model.temperature.detach().clone())
        work.end_epoch()


class Reading(NamedTuple):
    """How latents are got at, and in which order: "full" permutations or shuffled "blocks"."""

    choice: Choice
    order: str


class Contrastive:
    """A `mmfuse.training.engine.Method` whose `loss` has handed out the gradients already."""

    steps_per_epoch: int

    def __init__(
        self,
        splits: LatentSplits,
        params: Params,
        options: FitOptions,
        *,
        seed: int,
        reading: Reading,
        reporter: Reporter,
    ) -> None:
        self.splits = splits
        self.params = params
        self.options = options
        self.seed = seed
        self.reading = reading
        self.reporter = reporter
        self.latest: Tensor | None = None
        self.alarmed: set[str] = set()

    def begin(self, model: nn.Module, device: torch.device, *, rank: int, ranks: int) -> Optimizer:
        """AdamW, a reader of the training pairs, and the validation pairs on ``device``."""
        self.model = cast(FuseMix, model)
        self.embed = torch.compile(self.model.embed) if self.params.compile else self.model.embed
        self.device = device
        self.reader = open_reader(self.splits.train, device=device, mode=self.reading.choice.mode)
        self.labels = _labels(self.splits.train, self.params, device)
        count = len(self.splits.train)
        drawn = 2 if self.params.blend == "halves" else 1
        self.batch_size = fitting_batch(count, self.options.batch_size, drawn=drawn, label=self.splits.label)
        self.drawn = drawn * self.batch_size
        self.steps_per_epoch = count // self.drawn
        self.reporter.note(
            "contrastive training",
            reader=self.reading.choice.sentence,
            pairs=count,
            batch_size=self.batch_size,
            asked_batch_size=self.options.batch_size,
            steps_per_epoch=self.steps_per_epoch,
        )
        if self.batch_size < self.options.batch_size:
            sentence = f"{count} training pairs make batches of {self.batch_size}, not of {self.options.batch_size}"
            self.reporter.note("smaller batches", sentence=sentence)
        return make_adamw(model, learning_rate=self.options.learning_rate, weight_decay=self.options.weight_decay)

    def batches(self, position: Callable[[], Position]) -> Iterable[AnyLatentBatch]:
        """The full batches of the epoch; the few pairs left over are other ones in each epoch."""
        self.position = position
        return _Epoch(self, position)

    def order(self, epoch: int) -> Tensor:
        """The positions (P,) of all pairs as the epoch visits them."""
        made = block_order if self.reading.order == "blocks" else full_order
        return made(len(self.splits.train), seed=derive_seed(self.seed, "epoch", epoch))

    def loss(self, batch: AnyLatentBatch) -> Tensor:
        """The batch's loss, detached: its gradient has been added to the parameters'."""
        self.model.clamp_temperature()
        step = self.position().step
        blend = self._blend(batch)
        groups = dense_groups(blend.keys(self.labels.index_select(0, batch.index))) if self.labels is not None else None
        size = self.params.chunk or len(blend)
        parts = [partial(self._embed, blend, start, size, step) for start in range(0, len(blend), size)]
        self.latest = cached_backward(parts, partial(self.model.contrast, groups=groups))
        return self.latest

    def score(self, should_stop: Callable[[], bool]) -> dict[str, float]:
        """Retrieval, the loss over all validation pairs, and what the embeddings look like."""
        embedded = embed_pairs(self.model, self.splits.val, device=self.device, should_stop=should_stop)
        metrics = embedded.metrics()  # first: they refuse what is no number, of which there are no figures
        partners = embedded.partners
        figures = diagnose(partners)
        groups = dense_groups(embedded.classes) if embedded.classes is not None else None
        with torch.no_grad():
            loss = float(self.model.contrast(partners, groups=groups))
        self._warn(figures)
        return {**metrics, **figures, "loss": loss}

    def _blend(self, batch: AnyLatentBatch) -> Blend:
        params = self.params
        if params.blend == "none":
            blend = unblended(batch)
        else:
            progress = self.position().epoch / self.options.epochs
            last = params.alpha if params.last_alpha is None else params.last_alpha
            alpha = alpha_at(progress, first=params.alpha, last=last, curve=params.alpha_curve)
            make = blend_halves if params.blend == "halves" else blend_permuted
            blend = make(batch, alpha=alpha, each=params.share_per == "pair")
        return blend.with_noise(params.noise)

    def _embed(self, blend: Blend, start: int, size: int, step: int) -> Mapping[str, Tensor]:
        """One chunk's embeddings; its noise and dropout are the same each time."""
        seed_step(derive_seed(self.seed, "chunk", start), step, device=self.device)
        latents = blend.part(start, min(start + size, len(blend)))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16-mixed"):
            return self.embed(latents)

    def _warn(self, figures: Mapping[str, float]) -> None:
        """Note what began to look wrong, and what does no longer."""
        found = alarms(
            figures,
            temperature=self.model.temperature.item(),
            limits=self.params.temperature_range,
            loss=float(self.latest) if self.latest is not None and self._settled() else None,
            batch=self.batch_size,
        )
        epoch = self.position().epoch + 1
        for name in sorted(found.keys() - self.alarmed):
            self.reporter.note("collapse alarm", alarm=name, sentence=found[name], epoch=epoch)
        for name in sorted(self.alarmed - found.keys()):
            self.reporter.note("collapse alarm over", alarm=name, epoch=epoch)
        self.alarmed = set(found)

    def _settled(self) -> bool:
        """Whether the loss tells anything: it starts above that of guessing, and falls once the step size has risen."""
        rise = self.options.warmup_steps if self.options.schedule == "warmup" else 0
        return self.position().step >= max(rise, YOUTH * self.options.epochs * self.steps_per_epoch)


class _Epoch:
    """Asks where training stands when it is iterated, not before."""

    def __init__(self, method: Contrastive, position: Callable[[], Position]) -> None:
        self.method = method
        self.position = position

    def __iter__(self) -> Iterator[AnyLatentBatch]:
        method, position = self.method, self.position()
        order = method.order(position.epoch)
        taken = order[position.batch * method.drawn : method.steps_per_epoch * method.drawn]
        # An epoch that only awaits its validation has nothing left, and would be cut into one empty piece.
        if len(taken):
            yield from method.reader.read(taken, size=method.drawn)


def fitting_batch(count: int, wanted: int, *, drawn: int, label: str) -> int:
    """The batch size ``wanted``, or as many as ``count`` pairs give where ``drawn`` of them make one.

    Raises:
        BadSpec: when not even two come together: nothing could be told from anything.
    """
    most = count // drawn
    if most < 2:
        pairs = "pair" if count == 1 else "pairs"
        remedy = "take a larger data.fraction, add pairs, or take --set blend=permutation"
        if count < 2:
            remedy = "take a larger data.fraction, or extract more pairs"
        if not count:
            remedy = "train on a collection that has such pairs, and name this one in data.evaluation_files"
        raise BadSpec(f"{label} has {count} training {pairs}, and contrasting takes at least {2 * drawn}", remedy)
    return min(wanted, most)


def _labels(pairs: LatentPairs, params: Params, device: torch.device) -> Tensor | None:
    """By pair (P,) the number that positives share; None where each pair is its own only positive.

    Raises:
        BadSpec: when the wanted positives do not exist.
    """
    if params.positives == "class" and pairs.classes is None:
        raise BadSpec(f"{pairs.label} has no classes, so none can be positives", "--set positives=pair")
    if pairs.classes is not None and params.positives in ("auto", "class"):
        if params.share_per == "pair" and params.blend != "none":
            raise BadSpec(
                f"pairs of {pairs.label} share a class, and blended by shares of their own they do not",
                "--set share_per=batch",
            )
        return pairs.classes.to(device)
    return pairs.pairs[:, 0].long().to(device) if params.positives == "item" else None


@contextmanager
def _matrix_products(precision: str) -> Iterator[None]:
    """Let 32-bit products use tensor cores where 16-bit adapters have given precision away already."""
    before = torch.get_float32_matmul_precision()
    if precision != "32-true":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
