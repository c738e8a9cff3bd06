"""Many MFAS candidates trained at once: one matrix product over all taps for all layers of all candidates.

Each candidate keeps weights, dropout and best epoch of its own; the loss is the sum of the candidates' means, so no
gradient of one reaches another, and training them together is training them one by one (equal in exact arithmetic, and
to 1e-12 in 64 bits; tests/training/test_batched.py). The weights of every layer span all taps of the layout, with
zeros where the candidate does not read: masked gradients and Adam's L2 term leave them zero. A chain that is shorter
than the longest of its group carries its last output along.

Candidates see the same rows in the same order. Their first weights and dropout are functions of their own seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from mmfuse.errors import Stopped
from mmfuse.metrics import compute_metrics
from mmfuse.models.mfas import FusionCell, FusionChain, Params, activate
from mmfuse.models.tap_layout import TapLayout
from mmfuse.task import Task, TaskKind
from mmfuse.training.optimiser import Cycles
from mmfuse.training.seeding import derive_seed, epoch_order, seeded

DROPOUT_STEPS = 64
"""Steps whose dropout is drawn at once: enough to make drawing cheap, few enough to stay small."""
EVALUATION_ROWS = 4096


@dataclass(frozen=True)
class TapRows:
    """N samples as rows of standardised taps (N, T), and their targets (N,) or (N, K).

    Taps may be in 16 bits; they are computed with in 32, a batch at a time.
    """

    taps: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.target)

    def take(self, index: Tensor) -> TapRows:
        """The rows at positions ``index``."""
        return TapRows(self.taps.index_select(0, index), self.target.index_select(0, index))

    def to(self, device: torch.device) -> TapRows:
        """The same rows on ``device``."""
        return TapRows(self.taps.to(device), self.target.to(device))


@dataclass(frozen=True)
class Candidate:
    """A fusion chain to train, and the seed of its first weights and its dropout.

    ``inherited`` are first weights that come from elsewhere, under the names that a `FusionChain` has.
    """

    params: Params
    seed: int
    inherited: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Regime:
    """How every candidate of a group is trained: Adam with an L2 term and cosine restarts, ``order_seed`` shuffling."""

    epochs: int
    batch_size: int
    cycles: Cycles
    weight_decay: float
    order_seed: int


@dataclass(frozen=True)
class Trained:
    """How one candidate's training went, epoch by epoch, and what its best epoch (counted from 1) left.

    ``state`` are the weights of that epoch as a `FusionChain` holds them, ``logits`` (N, K) what they predict on the
    validation rows. A candidate whose loss stopped being a number says so in ``reason``.
    """

    losses: tuple[float, ...]
    scores: tuple[float, ...]
    best_epoch: int
    steps: int
    state: dict[str, Tensor]
    logits: Tensor
    reason: str = ""

    @property
    def score(self) -> float:
        """The best epoch's validation score."""
        return self.scores[self.best_epoch - 1]


class CandidateGroup(nn.Module):
    """The stacked weights of K chains of equal width: (B, T) -> (K, outputs, B).

    Shapes: ``taps`` (L, K, H, T + 1), whose last column is the bias, ``before`` L times (K, H, H), ``classifier``
    (K, outputs, H), ``offset`` (K, outputs, 1), ``alphas`` (L, K), batch norm's ``gain`` and ``shift`` (L, K * H).
    """

    mask: Tensor
    active: Tensor
    sides: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, candidates: Sequence[Candidate], *, layout: TapLayout, outputs: int, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        first = candidates[0].params
        self.candidates = tuple(candidates)
        self.layout = layout
        self.lengths = [len(candidate.params.layers) for candidate in candidates]
        self.width, self.drop = first.width, first.dropout
        count, depth, width, total = len(candidates), max(self.lengths), self.width, layout.total

        self.taps = nn.Parameter(torch.zeros(depth, count, width, total + 1, dtype=dtype))
        self.before = nn.ParameterList(torch.zeros(count, width, width, dtype=dtype) for _ in range(depth))
        self.classifier = nn.Parameter(torch.zeros(count, outputs, width, dtype=dtype))
        self.offset = nn.Parameter(torch.zeros(count, outputs, 1, dtype=dtype))
        self.alphas = nn.Parameter(torch.zeros(depth, count, dtype=dtype)) if first.alphas else None
        self.gain = nn.Parameter(torch.ones(depth, count * width, dtype=dtype)) if first.batchnorm else None
        self.shift = nn.Parameter(torch.zeros(depth, count * width, dtype=dtype)) if first.batchnorm else None
        self.register_buffer("running_mean", torch.zeros(depth, count * width, dtype=dtype))
        self.register_buffer("running_var", torch.ones(depth, count * width, dtype=dtype))
        self.register_buffer("mask", torch.zeros(depth, count, 1, total + 1, dtype=dtype))
        self.register_buffer("active", torch.zeros(depth, count, 1, 1, dtype=torch.bool))
        self.register_buffer("sides", torch.arange(total + 1) < sum(layout.widths[0]))
        with torch.no_grad():
            for number, candidate in enumerate(candidates):
                self._place(number, candidate)
        self._all_active = [min(self.lengths) > level for level in range(depth)]
        self._codes = [self._codes_at(level) for level in range(depth)]

    def forward(self, taps: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Predict; ``dropout`` (L, K, H, B) multiplies what the layers put out."""
        depth, count, width, total = self.taps.shape
        rows = torch.cat([taps, taps.new_ones(len(taps), 1)], dim=1)
        weights = self.taps if self.alphas is None else self.taps * self._balance(self.alphas)
        read = (weights.reshape(-1, total) @ rows.T).view(depth, count, width, -1).unbind(0)
        hidden = self._after(read[0], 0, dropout)
        for level in range(1, depth):
            fresh = self._after(torch.baddbmm(read[level], self.before[level], hidden), level, dropout)
            hidden = fresh if self._all_active[level] else torch.where(self.active[level], fresh, hidden)
        return torch.baddbmm(self.offset, self.classifier, hidden)

    def mask_gradients(self) -> None:
        """Forget the gradients of weights on taps that a candidate does not read."""
        assert self.taps.grad is not None
        self.taps.grad.mul_(self.mask)

    def groups(self) -> list[dict[str, list[nn.Parameter]]]:
        """Parameters in the published optimiser groups: alphas, fusion layers, classifier."""
        layers = [self.taps, *list(self.before)[1:]]
        layers += [part for part in (self.gain, self.shift) if part is not None]
        alphas = [self.alphas] if self.alphas is not None else []
        groups = [alphas, layers, [self.classifier, self.offset]]
        return [{"params": group} for group in groups if group]

    def chain_state(self, number: int) -> dict[str, Tensor]:
        """The weights of one candidate under the names that a `FusionChain` of it has."""
        state = {"classifier.weight": self.classifier[number], "classifier.bias": self.offset[number, :, 0]}
        for level, row in enumerate(self.candidates[number].params.layers):
            weights = self.taps[level, number]
            parts = [weights[:, columns] for columns in self.layout.selected(row)]
            parts += [self.before[level][number]] if level else []
            state[f"cells.{level}.linear.weight"] = torch.cat(parts, dim=1)
            state[f"cells.{level}.linear.bias"] = weights[:, -1]
            if self.gain is not None and self.shift is not None:
                mine = slice(number * self.width, (number + 1) * self.width)
                state[f"cells.{level}.norm.weight"] = self.gain[level, mine]
                state[f"cells.{level}.norm.bias"] = self.shift[level, mine]
                state[f"cells.{level}.norm.running_mean"] = self.running_mean[level, mine]
                state[f"cells.{level}.norm.running_var"] = self.running_var[level, mine]
                # torch counts batches for running means that are not exponential; nothing here reads it.
                state[f"cells.{level}.norm.num_batches_tracked"] = torch.tensor(0)
        if self.alphas is not None:
            state["alphas"] = self.alphas[: self.lengths[number], number]
        return {name: value.detach().clone().cpu() for name, value in state.items()}

    def _place(self, number: int, candidate: Candidate) -> None:
        """Build the candidate alone, as the family does, and put its first weights where they belong."""
        with seeded(candidate.seed):
            chain = FusionChain(candidate.params, layout=self.layout, outputs=self.offset.shape[1])
        chain.load_state_dict(candidate.inherited, strict=False)
        for level, row in enumerate(candidate.params.layers):
            cell, start = cast(FusionCell, chain.cells[level]), 0
            linear = cell.linear
            for columns in self.layout.selected(row):
                size = columns.stop - columns.start
                self.taps[level, number, :, columns] = linear.weight[:, start : start + size]
                self.mask[level, number, :, columns] = 1.0
                start += size
            if level:
                self.before[level][number] = linear.weight[:, start:]
            self.taps[level, number, :, -1] = linear.bias
            self.mask[level, number, :, -1] = 1.0
            self.active[level, number] = True
            if cell.norm is not None:
                self._place_norm(level, number, cell.norm)
        self.classifier[number] = chain.classifier.weight
        self.offset[number, :, 0] = chain.classifier.bias
        if self.alphas is not None and chain.alphas is not None:
            self.alphas[: self.lengths[number], number] = chain.alphas

    def _place_norm(self, level: int, number: int, norm: nn.BatchNorm1d) -> None:
        assert self.gain is not None and self.shift is not None
        mine = slice(number * self.width, (number + 1) * self.width)
        assert norm.running_mean is not None and norm.running_var is not None
        self.gain[level, mine] = norm.weight
        self.shift[level, mine] = norm.bias
        self.running_mean[level, mine] = norm.running_mean
        self.running_var[level, mine] = norm.running_var

    def _balance(self, alphas: Tensor) -> Tensor:
        """(L, K, 1, T + 1): s for the first modality's taps, 1 - s for the second's, 1 for the bias."""
        share = alphas.sigmoid()[:, :, None, None]
        scales = torch.where(self.sides, share, 1 - share)
        return torch.cat([scales[..., :-1], torch.ones_like(share)], dim=-1)

    def _codes_at(self, level: int) -> list[tuple[int, Tensor | None]]:
        """The activations at ``level``, each but the first with the candidates (K, 1, 1) that have it."""
        rows = [c.params.layers[level] if level < len(c.params.layers) else None for c in self.candidates]
        present = sorted({row[-1] for row in rows if row is not None})
        chosen: list[tuple[int, Tensor | None]] = [(present[0], None)]
        for code in present[1:]:
            name = f"has_{code}_at_{level}"
            self.register_buffer(
                name, torch.tensor([row is not None and row[-1] == code for row in rows])[:, None, None]
            )
            chosen.append((code, self.get_buffer(name)))
        return chosen

    def _after(self, values: Tensor, level: int, dropout: Tensor | None) -> Tensor:
        """Activation, batch norm and dropout of one layer: (K, H, B) -> (K, H, B)."""
        (first, _), *others = self._codes[level]
        hidden = activate(values, first)
        for code, having in others:
            hidden = torch.where(cast(Tensor, having), activate(values, code), hidden)
        if self.gain is not None and self.shift is not None:
            hidden = self._normalised(hidden, level, self.gain, self.shift)
        return hidden if dropout is None else hidden * dropout[level]

    def _normalised(self, values: Tensor, level: int, gain: Tensor, shift: Tensor) -> Tensor:
        # A single sample has no variance to normalise by.
        fresh = self.training and values.shape[2] > 1
        normed = F.batch_norm(
            values.reshape(1, -1, values.shape[2]),
            self.running_mean[level],
            self.running_var[level],
            gain[level],
            shift[level],
            training=fresh,
        )
        return normed.view_as(values)


def train_group(
    candidates: Sequence[Candidate],
    train: TapRows,
    val: TapRows,
    *,
    layout: TapLayout,
    task: Task,
    regime: Regime,
    on_epoch: Callable[[int, Sequence[float], Sequence[float]], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Trained]:
    """Train ``candidates`` on the device the rows lie on; ``on_epoch`` hears each epoch's losses and scores.

    All candidates must agree on width, dropout, batch norm and alphas.

    Raises:
        Stopped: between two steps, once ``should_stop`` says so.
    """
    device = train.taps.device
    dtype = torch.float32 if train.taps.dtype == torch.float16 else train.taps.dtype
    group = CandidateGroup(candidates, layout=layout, outputs=task.outputs, dtype=dtype).to(device)
    optimiser = Adam(
        group.groups(), lr=regime.cycles.highest, weight_decay=regime.weight_decay, fused=device.type != "mps"
    )
    best = _Best(group, task)
    epochs: list[tuple[Tensor, list[float]]] = []
    for epoch in range(regime.epochs):
        losses = _train_epoch(group, optimiser, train, regime=regime, kind=task.kind, epoch=epoch, stop=should_stop)
        scores = best.see(epoch + 1, predict_group(group, val), val.target)
        epochs.append((losses, scores))
        if on_epoch is not None:
            on_epoch(epoch + 1, losses.mean(0).tolist(), scores)
    every_loss = torch.cat([losses for losses, _ in epochs])
    return [
        Trained(
            losses=tuple(float(losses[:, number].mean()) for losses, _ in epochs),
            scores=tuple(scores[number] for _, scores in epochs),
            best_epoch=best.epochs[number],
            steps=len(every_loss),
            state=best.states[number],
            logits=best.logits[number],
            reason=_divergence(every_loss[:, number]),
        )
        for number in range(len(candidates))
    ]


@torch.no_grad()
def predict_group(group: CandidateGroup, rows: TapRows) -> Tensor:
    """The logits (K, N, outputs) of every candidate on every row, in evaluation mode."""
    group.eval()
    logits = torch.cat([group(part.to(group.taps.dtype)) for part in rows.taps.split(EVALUATION_ROWS)], dim=2)
    group.train()
    return logits.transpose(1, 2).contiguous()


class _Best:
    """The best epoch of each candidate so far: the first of the highest-scored ones."""

    def __init__(self, group: CandidateGroup, task: Task) -> None:
        count = len(group.candidates)
        self.group = group
        self.task = task
        self.epochs = [0] * count
        self.values: list[float | None] = [None] * count
        self.states: list[dict[str, Tensor]] = [{} for _ in range(count)]
        self.logits: list[Tensor] = [torch.empty(0)] * count

    def see(self, epoch: int, logits: Tensor, target: Tensor) -> list[float]:
        """The scores of one epoch, whose weights are kept where it is the best so far."""
        scores = _scores(self.task, logits, target)
        for number, score in enumerate(scores):
            before = self.values[number]
            if before is None or math.isnan(before) or self.task.better(score, before):
                self.epochs[number], self.values[number] = epoch, score
                self.states[number] = self.group.chain_state(number)
                self.logits[number] = logits[number].cpu()
        return scores


def _train_epoch(
    group: CandidateGroup,
    optimiser: Adam,
    train: TapRows,
    *,
    regime: Regime,
    kind: TaskKind,
    epoch: int,
    stop: Callable[[], bool],
) -> Tensor:
    """One pass; the losses (steps, K)."""
    group.train()
    order = epoch_order(len(train), seed=regime.order_seed, epoch=epoch).to(train.taps.device)
    batches = order.split(regime.batch_size)
    losses: list[Tensor] = []
    for number, index in enumerate(batches):
        if stop():
            raise Stopped
        if number % DROPOUT_STEPS == 0 and group.drop:
            steps = min(DROPOUT_STEPS, len(batches) - number)
            masks = _dropout(group, steps=steps, batch=regime.batch_size, epoch=epoch, block=number // DROPOUT_STEPS)
        dropout = masks[number % DROPOUT_STEPS, ..., : len(index)] if group.drop else None
        rate = regime.cycles.rate(epoch * len(batches) + number)
        for parameters in optimiser.param_groups:
            parameters["lr"] = rate
        batch = train.take(index)
        loss = _losses(kind, group(batch.taps.to(group.taps.dtype), dropout), batch.target)
        optimiser.zero_grad()
        loss.sum().backward()
        group.mask_gradients()
        optimiser.step()
        losses.append(loss.detach())
    return torch.stack(losses).cpu()


def _dropout(group: CandidateGroup, *, steps: int, batch: int, epoch: int, block: int) -> Tensor:
    """(steps, L, K, H, batch) of 0 and 1 / (1 - p); each candidate draws its own from its own seed."""
    keep = 1.0 - group.drop
    masks = torch.ones((steps, max(group.lengths), len(group.candidates), group.width, batch), dtype=group.taps.dtype)
    for number, (candidate, length) in enumerate(zip(group.candidates, group.lengths, strict=True)):
        # numpy's generator is several times quicker than torch's.
        rng = np.random.default_rng(derive_seed(candidate.seed, "dropout", epoch, block))
        drawn = rng.random((steps, length, group.width, batch), dtype=np.float32) < keep
        masks[:, :length, number] = torch.from_numpy(drawn)
    return masks.div_(keep).to(group.taps.device)


def _losses(kind: TaskKind, logits: Tensor, target: Tensor) -> Tensor:
    """Mean loss of each candidate: (K, outputs, B) -> (K,)."""
    count = len(logits)
    if kind == "multiclass":
        return F.cross_entropy(logits, target.expand(count, -1), reduction="none").mean(1)
    wanted = target.reshape(len(target), -1).T.to(logits.dtype).expand_as(logits)
    if kind == "multilabel":
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean((1, 2))
    return F.mse_loss(logits, wanted, reduction="none").mean((1, 2))


def _scores(task: Task, logits: Tensor, target: Tensor) -> list[float]:
    """The task's primary metric of each candidate; accuracy, the common case, for all of them at once."""
    if task.kind == "multiclass" and task.metric == "accuracy":
        return list((logits.argmax(2) == target).double().mean(1).tolist())
    return [compute_metrics(task, each, target)[task.metric] for each in logits]


def _divergence(losses: Tensor) -> str:
    """What to say of a candidate whose losses (steps,) stopped being numbers; nothing if they did not."""
    wrong = (~losses.isfinite()).nonzero()
    return f"the training loss is {float(losses[wrong[0, 0]])} at step {int(wrong[0, 0]) + 1}" if len(wrong) else ""
