"""Candidates trained together are candidates trained alone, to the last digits of 64 bits."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from mmfuse.models.mfas import FusionChain, Params
from mmfuse.models.tap_layout import TapLayout
from mmfuse.task import Modality, Task
from mmfuse.training.batched import Candidate, CandidateGroup, Regime, TapRows, Trained, predict_group, train_group
from mmfuse.training.optimiser import Cycles
from mmfuse.training.seeding import epoch_order, seeded

LAYOUT = TapLayout(((3, 6, 12), (3, 6, 12, 24, 48)))
TASK = Task("toy", "multiclass", (Modality("image", "vector", (3,)), Modality("audio", "vector", (3,))), 10, "accuracy")


def rows(samples: int, *, seed: int) -> TapRows:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 10, (samples,), generator=generator)
    taps = torch.randn(samples, LAYOUT.total, generator=generator, dtype=torch.float64)
    taps[:, :10] += 2.0 * F.one_hot(target, 10)
    return TapRows(taps, target)


TRAIN, VAL = rows(150, seed=1), rows(60, seed=2)


def regime(**changes: Any) -> Regime:
    steps = -(-len(TRAIN) // 32)
    cycles = Cycles(highest=1e-2, lowest=1e-6, first=1, factor=2, steps_per_epoch=steps)
    settled: dict[str, Any] = {"epochs": 6, "batch_size": 32, "weight_decay": 1e-4, "order_seed": 3} | changes
    return Regime(cycles=cycles, **settled)


def candidates(**params: Any) -> list[Candidate]:
    """Lengths 2, 1, 4 and 3, all activations, repeated taps."""
    layers = [
        [[2, 4, 0], [0, 0, 1]],
        [[1, 3, 1]],
        [[0, 0, 0], [2, 4, 2], [2, 4, 0], [1, 2, 1]],
        [[2, 0, 1], [2, 0, 1], [0, 3, 0]],
    ]
    return [Candidate(Params(**{"layers": each, "dropout": 0.0} | params), 100 + n) for n, each in enumerate(layers)]


def together(chosen: list[Candidate], **changes: Any) -> list[Trained]:
    return train_group(chosen, TRAIN, VAL, layout=LAYOUT, task=TASK, regime=regime(**changes))


def alone(candidate: Candidate, plan: Regime) -> tuple[FusionChain, list[torch.Tensor]]:
    """The plain way: the family's own module, torch's Adam in the published groups, one candidate."""
    with seeded(candidate.seed):
        chain = FusionChain(candidate.params, layout=LAYOUT, outputs=10).double()
    alphas = [chain.alphas] if chain.alphas is not None else []
    groups = [alphas, list(chain.cells.parameters()), list(chain.classifier.parameters())]
    optimiser = torch.optim.Adam([{"params": g} for g in groups if g], weight_decay=plan.weight_decay)
    step, logits = 0, []
    for epoch in range(plan.epochs):
        chain.train()
        for index in epoch_order(len(TRAIN), seed=plan.order_seed, epoch=epoch).split(plan.batch_size):
            for group in optimiser.param_groups:
                group["lr"] = plan.cycles.rate(step)
            optimiser.zero_grad()
            F.cross_entropy(chain(TRAIN.taps[index]), TRAIN.target[index]).backward()
            optimiser.step()
            step += 1
        with torch.no_grad():
            logits.append(chain.eval()(VAL.taps))
    return chain, logits


@pytest.mark.parametrize(
    "params", [{}, {"alphas": True}, {"batchnorm": True}, {"alphas": True, "batchnorm": True, "width": 5}]
)
def test_training_together_equals_training_alone(params: dict[str, Any]) -> None:
    chosen, plan = candidates(**params), regime()

    trained = together(chosen)

    for candidate, result in zip(chosen, trained, strict=True):
        chain, logits = alone(candidate, plan)
        scores = [float((each.argmax(1) == VAL.target).double().mean()) for each in logits]
        assert list(result.scores) == scores
        assert result.best_epoch == scores.index(max(scores)) + 1
        best = logits[result.best_epoch - 1]
        torch.testing.assert_close(result.logits, best, rtol=0, atol=1e-12)
        if result.best_epoch == plan.epochs:
            for name, value in chain.state_dict().items():
                if "num_batches" not in name:
                    torch.testing.assert_close(result.state[name], value, rtol=0, atol=1e-12)
    assert len({result.best_epoch for result in trained}) > 1 or params


@pytest.mark.parametrize("params", [{"dropout": 0.5}, {"dropout": 0.3, "batchnorm": True}])
def test_dropout_is_a_candidates_own_whoever_trains_beside_it(params: dict[str, Any]) -> None:
    chosen = candidates(**params)

    in_company = together(chosen)
    reversed_company = together(chosen[::-1])[::-1]

    for number, candidate in enumerate(chosen):
        (single,) = together([candidate])
        for other in (in_company[number], reversed_company[number]):
            assert other.scores == single.scores
            torch.testing.assert_close(other.logits, single.logits, rtol=0, atol=1e-12)


def test_dropout_keeps_the_stated_share_and_differs_between_candidates_and_epochs() -> None:
    plain, dropped = together(candidates(dropout=0.0)), together(candidates(dropout=0.5))
    twice = together([Candidate(candidates(dropout=0.5)[2].params, seed) for seed in (7, 8, 7)])

    assert all(one.losses != other.losses for one, other in zip(plain, dropped, strict=True))
    assert twice[0].losses != twice[1].losses
    assert twice[0].losses == pytest.approx(twice[2].losses, abs=1e-12)
    assert twice[0].losses[0] != twice[0].losses[1]


def test_a_group_of_the_same_candidates_is_the_same_to_the_bit() -> None:
    chosen = candidates(dropout=0.5)
    train, val = (TapRows(part.taps.float(), part.target) for part in (TRAIN, VAL))

    first, second = (train_group(chosen, train, val, layout=LAYOUT, task=TASK, regime=regime()) for _ in range(2))

    for one, other in zip(first, second, strict=True):
        assert (one.losses, one.scores) == (other.losses, other.scores)
        assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)


def test_the_best_epoch_is_the_first_of_the_highest_and_its_weights_are_kept() -> None:
    chosen = candidates(batchnorm=True, alphas=True)

    for candidate, result in zip(chosen, together(chosen), strict=True):
        assert result.score == max(result.scores)
        assert result.best_epoch == result.scores.index(max(result.scores)) + 1
        chain = FusionChain(candidate.params, layout=LAYOUT, outputs=10).double()
        chain.load_state_dict(result.state)
        torch.testing.assert_close(chain.eval()(VAL.taps), result.logits, rtol=0, atol=1e-12)


def test_weights_on_taps_that_are_not_read_stay_zero() -> None:
    torch.manual_seed(0)
    chosen = candidates(batchnorm=True, alphas=True)
    group = CandidateGroup(chosen, layout=LAYOUT, outputs=10)
    unread = (group.mask == 0).expand_as(group.taps)
    optimiser = torch.optim.Adam(group.groups(), lr=0.1, weight_decay=0.1)

    for _ in range(3):
        group(torch.randn(8, LAYOUT.total)).square().sum().backward()
        group.mask_gradients()
        optimiser.step()

    assert int(unread.sum()) > 0
    assert not bool(group.taps[unread].any())


def test_a_diverging_candidate_says_so_and_harms_nobody() -> None:
    chosen = candidates()
    healthy = together(chosen)
    poisoned = CandidateGroup._place

    def place(group: CandidateGroup, number: int, candidate: Candidate) -> None:
        poisoned(group, number, candidate)
        if candidate.seed == 101:
            group.classifier[number] = float("nan")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CandidateGroup, "_place", place)
        trained = together(chosen)

    assert trained[1].reason == "the training loss is nan at step 1"
    for number in (0, 2, 3):
        assert trained[number].reason == ""
        assert trained[number].scores == healthy[number].scores


@pytest.mark.parametrize(
    ("kind", "metric", "outputs"),
    [("multilabel", "f1_micro", 4), ("regression", "mae", 2), ("multiclass", "f1_macro", 10)],
)
def test_other_tasks_are_scored_by_their_own_metric(kind: Any, metric: str, outputs: int) -> None:
    task = Task("other", kind, TASK.modalities, outputs, metric, maximize=metric != "mae")
    targets = {
        "multilabel": (TRAIN.taps[:, :outputs] > 0).long(),
        "regression": TRAIN.taps[:, :outputs],
        "multiclass": TRAIN.target,
    }
    train = TapRows(TRAIN.taps, targets[kind])

    trained = train_group(candidates(), train, train, layout=LAYOUT, task=task, regime=regime())

    for result in trained:
        best = max(result.scores) if task.maximize else min(result.scores)
        assert result.score == best != result.scores[0]


def test_each_epoch_is_told_as_it_ends() -> None:
    heard: list[tuple[int, int, int]] = []

    train_group(
        candidates(),
        TRAIN,
        VAL,
        layout=LAYOUT,
        task=TASK,
        regime=regime(),
        on_epoch=lambda epoch, losses, scores: heard.append((epoch, len(losses), len(scores))),
    )

    assert heard == [(epoch, 4, 4) for epoch in range(1, 7)]


def test_steps_are_exactly_those_planned() -> None:
    assert {result.steps for result in together(candidates(), epochs=3)} == {3 * 5}


def test_predictions_do_not_depend_on_how_rows_are_cut() -> None:
    group = CandidateGroup(candidates(batchnorm=True), layout=LAYOUT, outputs=10, dtype=torch.float64)
    everything = predict_group(group, VAL)

    halves = [predict_group(group, VAL.take(torch.arange(60)[part])) for part in (slice(0, 31), slice(31, 60))]

    assert everything.shape == (4, 60, 10)
    torch.testing.assert_close(torch.cat(halves, dim=1), everything, rtol=0, atol=1e-12)


def test_random_groups_of_every_mixture_of_lengths_equal_their_members() -> None:
    chance = random.Random(0)
    for _ in range(5):
        layers = [
            [[chance.randrange(3), chance.randrange(5), chance.randrange(3)] for _ in range(chance.randint(1, 4))]
            for _ in range(chance.randint(2, 6))
        ]
        chosen = [Candidate(Params(layers=each, dropout=0.0), n) for n, each in enumerate(layers)]
        group = CandidateGroup(chosen, layout=LAYOUT, outputs=10, dtype=torch.float64)
        for number, candidate in enumerate(chosen):
            with seeded(candidate.seed):
                chain = FusionChain(candidate.params, layout=LAYOUT, outputs=10).double()
            torch.testing.assert_close(group(VAL.taps)[number].T, chain(VAL.taps), rtol=0, atol=1e-12)
