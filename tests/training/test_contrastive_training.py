"""Training on pairs of latents: what it reports, what it refuses, what its options change."""

import math

import pytest
import torch
from latent_pairs import FIT, SMALL, Listener, by_class, with_train, world

from mmfuse.architecture import Architecture
from mmfuse.data.latent_readers import Choice
from mmfuse.errors import BadSpec, CheckpointMismatch, DataInvalid, Diverged, Stopped
from mmfuse.spec import FitOptions
from mmfuse.training.checkpoint import load_checkpoint
from mmfuse.training.contrastive import fit_contrastive


def fit(folder, splits=None, *, params=None, listener=None, seed=3, stop=lambda: False, **options):
    return fit_contrastive(
        Architecture("fusemix", SMALL | (params or {})),
        splits or world(),
        FitOptions(**FIT | options),
        seed=seed,
        device=torch.device("cpu"),
        folder=folder,
        reporter=listener or Listener(),
        should_stop=stop,
        provenance={"run": "test"},
    )


def losses(folder, splits=None, **changes):
    listener = Listener()
    fit(folder, splits, listener=listener, **changes)
    return listener.losses()


def test_every_step_is_reported_with_its_temperature_and_every_epoch_with_its_recalls(tmp_path):
    listener = Listener()

    result = fit(tmp_path, listener=listener)

    steps = [(step, values) for step, values in listener.rows if "train/loss" in values]
    epochs = [values for _, values in listener.rows if "val/r_mean" in values]
    assert [step for step, _ in steps] == list(range(1, 13))
    assert all(0.001 <= values["train/temperature"] <= 0.5 for _, values in steps)
    assert len(epochs) == 4
    assert {"val/image_to_text_r1", "val/text_to_image_r10", "val/loss", "val/modality_gap"} <= epochs[0].keys()
    assert result.metrics["val/r_mean"] == max(values["val/r_mean"] for values in epochs)
    assert listener.going[-1] == (12, 12)


def test_the_loss_falls(tmp_path):
    found = losses(tmp_path, epochs=60)

    assert sum(found[-5:]) < 0.8 * sum(found[:5])


def test_the_checkpoint_knows_the_encoders(tmp_path):
    splits = world()

    checkpoint = load_checkpoint(fit(tmp_path, splits).best_checkpoint)

    assert checkpoint.provenance["encoders"] == splits.encoders
    assert checkpoint.task == splits.task


@pytest.mark.parametrize(
    ("params", "beside"),
    [
        ({"blend": "permutation"}, {}),
        ({"blend": "none"}, {}),
        ({"share_per": "pair"}, {}),
        ({"alpha": 0.1}, {}),
        ({"last_alpha": 8.0}, {}),
        ({"alpha_curve": "exponential"}, {"last_alpha": 8.0}),
        ({"noise": 0.3}, {}),
        ({"positives": "item"}, {"blend": "none"}),
        ({"dropout": 0.5}, {}),
        ({"temperature": 0.2}, {}),
        ({"learn_temperature": False}, {}),
        ({"temperature_range": (0.069, 0.0705)}, {}),
    ],
    ids=str,
)
def test_every_option_of_blending_and_loss_changes_the_losses(tmp_path, params, beside):
    splits = world(captions=2)

    plain = losses(tmp_path / "a", splits, params=beside)
    changed = losses(tmp_path / "b", splits, params=beside | params)

    assert plain[-1] != changed[-1]


@pytest.mark.parametrize("tile", [1, 64])
def test_the_tile_changes_nothing_but_memory(tmp_path, tile):
    plain, tiled = losses(tmp_path / "a"), losses(tmp_path / "b", params={"tile": tile})

    assert tiled == pytest.approx(plain, rel=1e-4)


def test_without_dropout_and_noise_the_chunk_changes_nothing_but_memory(tmp_path):
    still = {"dropout": 0.0}

    plain = losses(tmp_path / "a", params=still)
    whole = losses(tmp_path / "b", params=still | {"chunk": None})

    assert whole == pytest.approx(plain, rel=1e-4)


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(tmp_path):
    first, again, other = (losses(tmp_path / str(n), seed=seed) for n, seed in enumerate([3, 3, 4]))

    assert first == again
    assert first != other


@pytest.mark.parametrize("blend", ["halves", "permutation", "none"])
def test_pairs_that_share_a_class_are_trained_and_scored_by_class(tmp_path, blend):
    listener = Listener()

    result = fit(tmp_path, by_class(world()), params={"blend": blend}, listener=listener)

    assert {"val/image_to_text_p1", "val/text_to_image_p1", "val/p1_mean"} <= result.metrics.keys()
    assert "val/image_to_text_r1" not in result.metrics


def test_16_bits_train_too(tmp_path):
    found = losses(tmp_path, precision="bf16-mixed")

    assert all(map(math.isfinite, found))


def test_gradients_can_be_clipped(tmp_path):
    assert losses(tmp_path / "a") != losses(tmp_path / "b", gradient_clip=1e-6)


def test_a_batch_larger_than_the_data_is_made_smaller_and_that_is_noted(tmp_path):
    listener = Listener()

    fit(tmp_path, listener=listener, batch_size=20_480)

    (facts,) = [facts for message, facts in listener.notes if message == "contrastive training"]
    assert (facts["batch_size"], facts["asked_batch_size"], facts["steps_per_epoch"]) == (30, 20_480, 1)
    assert facts["reader"].startswith("resident")
    assert ("smaller batches", {"sentence": "60 training pairs make batches of 30, not of 20480"}) in listener.notes


def test_a_batch_that_fits_is_not_talked_about(tmp_path):
    listener = Listener()

    fit(tmp_path, listener=listener)

    assert "smaller batches" not in [message for message, _ in listener.notes]


@pytest.mark.parametrize(("pairs", "blend", "least"), [(1, "none", 2), (1, "halves", 4), (3, "halves", 4)])
def test_too_few_pairs_are_one_sentence(tmp_path, pairs, blend, least):
    with pytest.raises(BadSpec, match=f"has {pairs} training pairs?, and contrasting takes at least {least}"):
        fit(tmp_path, world(pairs), params={"blend": blend})


def test_data_without_training_pairs_are_said_to_be_for_measuring(tmp_path):
    splits = world()

    with pytest.raises(BadSpec, match="has 0 training pairs") as caught:
        fit(tmp_path, with_train(splits, pairs=splits.train.pairs[:0]))
    assert "data.evaluation_files" in caught.value.hint


def test_a_latent_that_is_no_number_is_named(tmp_path):
    splits = world()
    broken = splits.train.latents["text"].clone()
    broken[17, 3] = math.nan

    with pytest.raises(DataInvalid, match="the text latent in row 17 is not finite"):
        fit(tmp_path, with_train(splits, latents={**splits.train.latents, "text": broken}))


def test_a_pair_of_an_item_that_does_not_exist_is_named(tmp_path):
    splits = world()
    pairs = splits.train.pairs.clone()
    pairs[5, 1] = 60

    with pytest.raises(DataInvalid, match="pairs name rows 0 to 60 of text, which has 60"):
        fit(tmp_path, with_train(splits, pairs=pairs))


def test_positives_by_class_need_classes(tmp_path):
    with pytest.raises(BadSpec, match="has no classes"):
        fit(tmp_path, params={"positives": "class"})


def test_shares_of_their_own_do_not_go_with_classes(tmp_path):
    with pytest.raises(BadSpec, match="share a class"):
        fit(tmp_path, by_class(world()), params={"share_per": "pair"})


def test_a_precision_it_does_not_know_is_refused(tmp_path):
    with pytest.raises(BadSpec, match="not in 16-mixed"):
        fit(tmp_path, precision="16-mixed")


def test_a_training_that_explodes_says_at_which_step(tmp_path):
    with pytest.raises(Diverged, match="nan"):
        fit(tmp_path, learning_rate=1e38, epochs=30, schedule="constant")


@pytest.mark.parametrize("kind", [lambda splits: splits, by_class], ids=["by partner", "by class"])
def test_a_training_that_explodes_in_the_last_step_of_an_epoch_is_one_sentence(tmp_path, kind):
    with pytest.raises(Diverged):
        fit(tmp_path, kind(world()), learning_rate=1e38, epochs=30, schedule="constant", batch_size=20_480)


def test_a_run_does_not_go_on_with_other_latents(tmp_path):
    fit(tmp_path)

    with pytest.raises(CheckpointMismatch, match="fingerprint"):
        fit(tmp_path, world(seed=1), epochs=4)


def test_it_stops_when_asked_and_ends_as_if_it_had_not(tmp_path):
    whole, polls = losses(tmp_path / "whole"), []

    def after_five():
        polls.append(1)
        return len(polls) == 5

    first, second = Listener(), Listener()
    with pytest.raises(Stopped):
        fit(tmp_path / "cut", listener=first, stop=after_five)
    fit(tmp_path / "cut", listener=second)

    assert first.losses() + second.losses() == whole


@pytest.mark.parametrize("modes", [("resident", "stream"), ("stream", "resident"), ("host", "stream")], ids="-".join)
def test_a_training_goes_on_in_its_order_when_there_is_more_or_less_memory(tmp_path, monkeypatch, modes):
    def with_mode(mode):
        choice = Choice(mode, 0, 0, 0)
        monkeypatch.setattr("mmfuse.training.contrastive.choose_mode", lambda pairs, **_: choice)

    splits, polls = world(600), []
    with_mode(modes[0])
    whole = losses(tmp_path / "whole", splits, batch_size=100)

    def after_five():
        polls.append(1)
        return len(polls) == 5

    first, second = Listener(), Listener()
    with pytest.raises(Stopped):
        fit(tmp_path / "cut", splits, listener=first, stop=after_five, batch_size=100)
    with_mode(modes[1])
    fit(tmp_path / "cut", splits, listener=second, batch_size=100)

    assert first.losses() + second.losses() == whole


def test_training_does_not_ask_the_device_for_numbers_between_reports(tmp_path, monkeypatch):
    asked = []
    plain = torch.Tensor.item
    monkeypatch.setattr("mmfuse.training.recorder.DRAIN_SECONDS", 3600.0)
    monkeypatch.setattr(torch.Tensor, "item", lambda self: asked.append(1) or plain(self))

    fit(tmp_path / "short", epochs=2)
    in_two_epochs, _ = len(asked), asked.clear()
    fit(tmp_path / "long", epochs=2, batch_size=2)

    assert len(asked) == in_two_epochs, "six times the steps ask no more often"


def test_collapse_is_noted_once(tmp_path):
    listener, splits = Listener(), world()
    same = {name: torch.ones_like(values) for name, values in splits.train.latents.items()}

    fit(
        tmp_path,
        with_train(splits, latents=same),
        params={"temperature": 0.5, "learn_temperature": False, "dropout": 0.0},
        listener=listener,
        epochs=3,
    )

    alarms = [facts["alarm"] for message, facts in listener.notes if message == "collapse alarm"]
    assert "chance" in alarms
    assert "temperature" in alarms
    assert len(alarms) == len(set(alarms))
