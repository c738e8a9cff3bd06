import copy

import pytest
import torch
from small_world import TASK, SmallNet, small_net, small_split

from mmfuse.errors import BadSpec, Diverged, Stopped
from mmfuse.training.quick import QuickTraining, quick_fit
from mmfuse.training.resident import epoch_batches
from mmfuse.training.scoring import predict, score

PLAN = {"batch_size": 16, "learning_rate": 1e-2, "seed": 5, "device": torch.device("cpu")}


def _equal_weights(first, second):
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_a_trial_makes_exactly_the_planned_number_of_steps():
    result = quick_fit(small_net(), small_split(70, 1), epochs=3, **PLAN)

    assert (result.epochs, result.steps, len(result.losses)) == (3, 15, 15)
    assert result.seconds > 0


def test_training_lowers_the_loss_and_moves_every_weight():
    model = small_net()
    before = copy.deepcopy(model)

    result = quick_fit(model, small_split(70, 1), epochs=8, **PLAN)

    assert sum(result.losses[-5:]) < 0.7 * sum(result.losses[:5])
    for (name, parameter), was in zip(model.named_parameters(), before.parameters(), strict=True):
        assert not torch.equal(parameter, was), name


def test_the_same_seed_gives_the_same_weights_whatever_happened_before():
    first, second = small_net(), small_net()
    quick_fit(first, small_split(70, 1), epochs=2, **PLAN)
    torch.rand(100)

    quick_fit(second, small_split(70, 1), epochs=2, **PLAN)

    assert _equal_weights(first, second)


def test_another_seed_gives_other_weights():
    first, second = small_net(), small_net()
    quick_fit(first, small_split(70, 1), epochs=1, **PLAN)

    quick_fit(second, small_split(70, 1), epochs=1, **PLAN | {"seed": 6})

    assert not _equal_weights(first, second)


def test_rungs_end_with_the_weights_of_straight_training(tmp_path):
    straight, halved = small_net(), small_net()
    whole = quick_fit(straight, small_split(70, 1), epochs=3, **PLAN)
    first_rung = QuickTraining(halved, small_split(70, 1), **PLAN)

    first = first_rung.run(epochs=1)
    score(halved, small_split(40, 2), TASK)
    torch.save(first_rung.state_dict(), tmp_path / "rung.pt")
    continued = QuickTraining(small_net(seed=99), small_split(70, 1), **PLAN)
    continued.load_state_dict(torch.load(tmp_path / "rung.pt", weights_only=True))
    second = continued.run(epochs=3)

    assert _equal_weights(straight, continued.model)
    assert second.losses == whole.losses
    assert (first.epochs, first.steps) == (1, 5)
    assert (second.epochs, second.steps) == (3, 15)


def test_listeners_hear_of_each_epoch_and_its_mean_loss():
    heard = []

    result = quick_fit(small_net(), small_split(32, 1), epochs=2, on_epoch=lambda *said: heard.append(said), **PLAN)

    means = [sum(result.losses[:2]) / 2, sum(result.losses[2:]) / 2]
    assert heard == [(1, means[0]), (2, means[1])]


def test_a_trial_that_diverges_names_step_and_loss():
    class Exploding(SmallNet):
        def loss(self, outputs, batch):
            parts = super().loss(outputs, batch)
            return {"total": parts["total"] * float("nan" if 3 in batch.ids else 1)}

    split = small_split(48, 1)
    batches = epoch_batches(split, batch_size=16, seed=5, epoch=0)
    step = 1 + next(number for number, batch in enumerate(batches) if 3 in batch.ids)

    with pytest.raises(Diverged, match=f"the training loss is nan at step {step}"):
        quick_fit(Exploding(), split, epochs=1, **PLAN)


def test_a_trial_stops_between_two_steps():
    answers = iter([False, False, True])

    with pytest.raises(Stopped):
        quick_fit(small_net(), small_split(70, 1), epochs=3, should_stop=lambda: next(answers), **PLAN)

    assert next(answers, "asked no more") == "asked no more"


def test_frozen_weights_stay_and_the_rest_is_trained():
    model = small_net()
    model.image.requires_grad_(False)
    frozen, free = model.image.weight.clone(), model.audio.weight.clone()

    quick_fit(model, small_split(70, 1), epochs=1, **PLAN)

    assert torch.equal(model.image.weight, frozen)
    assert not torch.equal(model.audio.weight, free)


def test_a_model_with_nothing_to_train_is_refused():
    with pytest.raises(BadSpec, match="no parameter to train"):
        quick_fit(small_net().requires_grad_(False), small_split(70, 1), epochs=1, **PLAN)


def test_scores_do_not_depend_on_the_batch_size_and_leave_the_model_in_its_mode():
    model, split = small_net().train(), small_split(40, 2)

    whole, parts = predict(model, split, batch_size=40), predict(model, split, batch_size=7)

    torch.testing.assert_close(whole, parts)
    assert model.training
    assert score(model, split, TASK)["accuracy"] == (whole.argmax(1) == split.target).double().mean().item()


def test_scoring_stops_between_two_batches():
    with pytest.raises(Stopped):
        score(small_net(), small_split(40, 2), TASK, should_stop=lambda: True)
