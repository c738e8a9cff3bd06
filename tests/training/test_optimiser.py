"""The step size as a function of the step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mmfuse.spec import FitOptions, TapOptions
from mmfuse.training.optimiser import Cycles, WarmRestarts, make_optimiser, make_schedule


def cycles(*, first: float, factor: float, steps_per_epoch: int) -> Cycles:
    return Cycles(highest=1e-3, lowest=1e-6, first=first, factor=factor, steps_per_epoch=steps_per_epoch)


# Batch counts per epoch at which the published code restarts late or never, and one at which it is right.
@pytest.mark.parametrize("samples_and_batch", [(55_000, 32), (50_000, 32), (55_000, 64), (15_552, 128), (23_760, 20)])
def test_the_search_schedule_restarts_with_the_second_epoch_whatever_the_batch_size(
    samples_and_batch: tuple[int, int],
) -> None:
    samples, batch = samples_and_batch
    steps = math.ceil(samples / batch)
    schedule = cycles(first=1, factor=2, steps_per_epoch=steps)

    rates = [schedule.rate(step) for step in range(3 * steps + 1)]

    restarts = [step for step in range(1, len(rates)) if rates[step] > rates[step - 1]]
    assert restarts == [steps, 3 * steps]
    assert all(rates[step] == 1e-3 for step in (0, *restarts))
    assert rates[steps - 1] == pytest.approx(1e-6, abs=2e-7)


def test_retraining_restarts_after_5_15_and_35_epochs_and_ends_at_70_in_the_fourth_cycle() -> None:
    schedule = cycles(first=5, factor=2, steps_per_epoch=10)

    rates = [schedule.rate(step) for step in range(700)]

    assert [step for step in range(1, 700) if rates[step] > rates[step - 1]] == [50, 150, 350]
    assert rates[350 + 200] == pytest.approx((1e-3 + 1e-6) / 2)


def test_half_a_cycle_is_half_way_down() -> None:
    assert cycles(first=2, factor=1, steps_per_epoch=10).rate(10) == pytest.approx((1e-3 + 1e-6) / 2)


def test_the_restarts_schedule_of_full_training_sets_the_step_size() -> None:
    options = FitOptions(schedule="restarts", epochs=6, cycle=1, cycle_factor=2, learning_rate=0.1, minimum_rate=0.0)
    optimiser = make_optimiser(nn.Linear(2, 2), learning_rate=0.1)
    schedule = make_schedule(options, optimiser, steps=6 * 4)

    seen = []
    for step in range(6):
        schedule.before_step(step)
        seen.append(optimiser.param_groups[0]["lr"])

    assert isinstance(schedule, WarmRestarts)
    torch.testing.assert_close(seen[:5], [0.1, 0.1 * (1 + math.cos(math.pi / 4)) / 2, 0.05, seen[3], 0.1])


def test_candidates_train_as_published_by_default() -> None:
    options = TapOptions()

    assert (options.epochs, options.batch_size, options.weight_decay) == (3, 32, 1e-4)
    assert (options.learning_rate, options.minimum_rate, options.cycle, options.cycle_factor) == (1e-3, 1e-6, 1, 2)
