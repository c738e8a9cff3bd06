import dataclasses
import logging
import math
import multiprocessing
import os
import signal

import pytest
import torch
from small_world import TASK, SmallNet, small_net, small_split, small_splits

from mmfuse.architecture import Architecture
from mmfuse.errors import BadSpec, CheckpointMismatch, Diverged, Stopped
from mmfuse.report import NullReporter
from mmfuse.spec import FitOptions
from mmfuse.training.checkpoint import load_checkpoint, load_weights
from mmfuse.training.engine import FullTraining
from mmfuse.training.fit import fit, fit_model
from mmfuse.training.quick import quick_fit
from mmfuse.training.scoring import score

CPU = torch.device("cpu")
SMALL = Architecture("small", {})
OPTIONS = {"epochs": 3, "batch_size": 16, "learning_rate": 0.02}


class Collector(NullReporter):
    """Keeps what is reported."""

    def __init__(self):
        self.rows, self.done, self.resumed_at = [], [], []

    def metrics(self, values, *, step, epoch=None, trial=None):
        self.rows.append((step, epoch, dict(values)))

    def progress(self, done, total, *, what):
        self.done.append((done, total, what))

    def resumed(self, step):
        self.resumed_at.append(step)

    def values(self, name):
        return [row[name] for _, _, row in self.rows if name in row]


def _fit(folder, model=None, *, splits=None, reporter=None, should_stop=lambda: False, seed=3, **options):
    return fit_model(
        model or small_net(),
        splits or small_splits(),
        FitOptions(**OPTIONS | options),
        architecture=SMALL,
        seed=seed,
        device=CPU,
        folder=folder,
        reporter=reporter or NullReporter(),
        should_stop=should_stop,
        provenance={"run": "small", "attempt": 1},
    )


def test_full_training_and_a_trial_give_the_same_weights_bit_for_bit(tmp_path):
    full, lean = small_net(), small_net()
    full.epoch_ended = lean.epoch_ended = lambda: None

    _fit(tmp_path, full, schedule="constant")
    quick_fit(lean, small_split(70, 1), epochs=3, batch_size=16, learning_rate=0.02, seed=3, device=CPU)

    for (name, one), other in zip(full.state_dict().items(), lean.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_the_result_tells_what_was_done(tmp_path):
    result = _fit(tmp_path)

    assert (result.epochs, result.steps, result.stopped_early) == (3, 15, False)
    assert result.best_checkpoint == tmp_path / "checkpoints" / "best.ckpt"
    assert result.seconds > 0


def test_the_best_checkpoint_is_the_best_validated_epoch_and_scores_as_it_says(tmp_path):
    reporter = Collector()

    result = _fit(tmp_path, reporter=reporter, epochs=8)

    checkpoint = load_checkpoint(result.best_checkpoint)
    scores = list(zip(reporter.values("val/accuracy"), (-loss for loss in reporter.values("val/loss")), strict=True))
    assert result.best_epoch == 1 + scores.index(max(scores)) == checkpoint.epoch
    assert checkpoint.step == 5 * result.best_epoch
    model = small_net(seed=9)
    load_weights(model, checkpoint)
    measured = score(model, small_splits().val, TASK)
    assert checkpoint.metrics == result.metrics == {f"val/{name}": value for name, value in measured.items()}


def test_a_score_to_be_minimised_picks_the_smallest(tmp_path):
    task = dataclasses.replace(TASK, metric="loss", maximize=False)
    reporter = Collector()

    result = _fit(tmp_path, splits=dataclasses.replace(small_splits(), task=task), reporter=reporter, epochs=6)

    losses = reporter.values("val/loss")
    assert result.best_epoch == 1 + losses.index(min(losses))


def test_training_ends_once_validation_has_not_improved_for_long_enough(tmp_path):
    result = _fit(tmp_path, epochs=60, early_stopping=3)

    assert result.stopped_early
    assert result.epochs == result.best_epoch + 3


def test_null_early_stopping_never_ends_training(tmp_path):
    assert _fit(tmp_path, epochs=25, early_stopping=None, learning_rate=1.0).epochs == 25


def test_progress_counts_steps_of_all_epochs(tmp_path):
    reporter = Collector()

    _fit(tmp_path, reporter=reporter)

    assert reporter.done[-1] == (15, 15, "train/epoch 3 of 3")
    assert [done for done, _, _ in reporter.done] == sorted(done for done, _, _ in reporter.done)


@pytest.mark.parametrize(
    ("schedule", "falls"),
    [("constant", lambda rates: rates == [0.02] * 3), ("cosine", lambda rates: rates[0] > rates[2])],
)
def test_the_learning_rate_follows_the_schedule(tmp_path, schedule, falls):
    reporter = Collector()

    _fit(tmp_path, reporter=reporter, schedule=schedule)

    assert falls(reporter.values("train/learning_rate"))


def test_the_cosine_schedule_ends_near_zero(tmp_path):
    reporter = Collector()

    _fit(tmp_path, reporter=reporter, schedule="cosine")

    assert reporter.values("train/learning_rate")[-1] == pytest.approx(0.01 * (1 + math.cos(math.pi * 14 / 15)))


def test_weight_decay_gradient_clipping_and_precision_each_change_the_outcome(tmp_path):
    plain = _fit(tmp_path / "plain").metrics["val/loss"]

    assert _fit(tmp_path / "decay", weight_decay=0.3).metrics["val/loss"] != plain
    assert _fit(tmp_path / "clip", gradient_clip=1e-3).metrics["val/loss"] != plain
    assert _fit(tmp_path / "bf16", precision="bf16-mixed").metrics["val/loss"] != plain


def test_half_precision_on_a_cpu_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(BadSpec, match="16-mixed needs a GPU"):
        _fit(tmp_path, precision="16-mixed")

    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_no_number_ends_training_and_names_the_step(tmp_path):
    class Exploding(SmallNet):
        def loss(self, outputs, batch):
            factor = math.inf if self.training and self.share > 0.55 else 1.0
            return {"total": super().loss(outputs, batch)["total"] * factor}

    reporter = Collector()

    with pytest.raises(Diverged, match="the training loss is inf at step 6"):
        _fit(tmp_path, Exploding(), reporter=reporter)

    assert load_checkpoint(tmp_path / "checkpoints" / "last.ckpt").step == 5
    assert reporter.values("train/loss")[5] == math.inf


def test_weights_that_are_no_numbers_are_noticed_in_validation(tmp_path):
    class Broken(SmallNet):
        def forward(self, batch):
            outputs = super().forward(batch)
            return outputs if self.training else {"logits": outputs["logits"] * math.nan}

    with pytest.raises(Diverged, match="the validation loss is nan after step 5"):
        _fit(tmp_path, Broken())


def test_a_stop_leaves_a_checkpoint_at_the_step_where_it_was_asked_for(tmp_path):
    answers = iter([False] * 7 + [True])
    reporter = Collector()

    with pytest.raises(Stopped):
        _fit(tmp_path, should_stop=lambda: next(answers), reporter=reporter)

    state = load_checkpoint(tmp_path / "checkpoints" / "last.ckpt").training
    assert state.position == {"epoch": 1, "batch": 2, "step": 7}
    assert [step for step, _, row in reporter.rows if "train/loss" in row] == [1, 2, 3, 4, 5, 6, 7]


def test_a_resumed_training_says_from_which_step_it_goes_on(tmp_path):
    answers, reporter = iter([False] * 7 + [True]), Collector()
    with pytest.raises(Stopped):
        _fit(tmp_path, should_stop=lambda: next(answers), reporter=reporter)

    _fit(tmp_path, reporter=reporter)
    _fit(tmp_path, reporter=reporter)

    assert reporter.resumed_at == [0, 7, 15]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 4}, "seed 3, now 4"),
        ({"batch_size": 8}, "fit.batch_size 16, now 8"),
        ({"splits": dataclasses.replace(small_splits(), fingerprint="beef")}, "f00d.*beef"),
    ],
)
def test_a_checkpoint_of_another_training_is_not_continued(tmp_path, change, sentence):
    _fit(tmp_path)

    with pytest.raises(CheckpointMismatch, match=sentence):
        _fit(tmp_path, **change)


def test_the_best_checkpoint_cannot_be_mistaken_for_one_to_go_on_from(tmp_path):
    _fit(tmp_path)
    (tmp_path / "checkpoints" / "best.ckpt").replace(tmp_path / "checkpoints" / "last.ckpt")

    with pytest.raises(CheckpointMismatch, match="holds weights only"):
        _fit(tmp_path)


def test_everything_stateful_is_in_the_checkpoint(tmp_path):
    """Lists what a training holds: whoever adds something must say here where it is saved, or why it need not be."""
    model, found = small_net(), []
    begin = FullTraining.begin

    def spying(self, *arguments, **named):
        found.append(self)
        return begin(self, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FullTraining, "begin", spying)
        _fit(tmp_path, model)
    work, checkpoint = found[0], load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")

    saved = {
        "model": checkpoint.weights.keys() == work.model.state_dict().keys(),
        "optimiser": len(checkpoint.training.optimiser["state"]) == len(list(model.parameters())),
        "schedule": checkpoint.training.schedule == work.schedule.state(),
        "position": checkpoint.training.position == dataclasses.asdict(work.position),
        "standing": checkpoint.training.best == dataclasses.asdict(work.standing.best),
        "metrics": checkpoint.metrics == work.metrics,
        "seconds": checkpoint.training.seconds > 0,
        "scaler_state": checkpoint.training.scaler == work.scaler_state(),
    }
    given_anew = {"plan", "reporter", "should_stop", "device", "rank", "ranks", "method", "resumed", "_began", "_saved"}
    methods_own = {"model", "splits", "options", "seed", "rank", "ranks", "steps_per_epoch"}
    emptied_before_saving = {"recorder", "unsaved_best"}
    assert all(saved.values()), saved
    assert vars(work).keys() == saved.keys() | given_anew | emptied_before_saving
    assert vars(work.method).keys() == methods_own, "a method remembers nothing between steps"
    assert not work.recorder._pending


def test_the_callers_signal_handlers_stand_during_and_after_training(tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("term"))
    try:
        polls = iter(range(100))

        def should_stop():
            if next(polls) == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return False

        result = _fit(tmp_path, should_stop=should_stop)

        assert heard == ["term"]
        assert result.epochs == 3
        assert signal.getsignal(signal.SIGTERM)(None, None) is None
        assert heard == ["term", "term"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_slurm_allocation_does_not_make_lightning_requeue(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    before = signal.getsignal(signal.SIGUSR1)
    seen = []

    _fit(tmp_path, should_stop=lambda: seen.append(signal.getsignal(signal.SIGUSR1)) or False)

    assert set(seen) == {before}


def test_training_leaves_no_files_but_its_checkpoints_and_says_nothing(tmp_path, monkeypatch, capfd, recwarn):
    monkeypatch.chdir(tmp_path)
    logging.getLogger("lightning.pytorch").setLevel(logging.INFO)

    _fit(tmp_path / "run")

    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert capfd.readouterr() == ("", "")
    assert not [warning for warning in recwarn if "lightning" in str(warning.filename)]
    assert logging.getLogger("lightning.pytorch").level == logging.INFO


def test_a_found_architecture_is_built_under_the_seed_and_starts_from_warm_encoders(tmp_path, monkeypatch):
    class Net(SmallNet):
        def __init__(self):
            super().__init__()
            self.encoders = torch.nn.ModuleDict({"image": torch.nn.Linear(2, 2)})

    built = []
    monkeypatch.setattr("mmfuse.training.fit.build_model", lambda architecture, task: built.append(Net()) or built[-1])
    warm = {"image": {"weight": torch.full((2, 2), 7.0), "bias": torch.zeros(2)}}

    for folder in ("one", "two"):
        fit(
            SMALL,
            small_splits(),
            FitOptions(**OPTIONS),
            seed=3,
            device=CPU,
            folder=tmp_path / folder,
            reporter=NullReporter(),
            should_stop=lambda: False,
            provenance={},
            warm=warm,
        )

    assert torch.equal(built[0].head.weight, built[1].head.weight)
    assert torch.equal(built[0].encoders["image"].weight, torch.full((2, 2), 7.0))


def _train_on_two_ranks(folder):
    torch.set_num_threads(1)
    fit_model(
        small_net(),
        small_splits(train=64),
        FitOptions(**OPTIONS),
        architecture=SMALL,
        seed=3,
        device=CPU,
        folder=folder,
        reporter=NullReporter(),
        should_stop=lambda: False,
        provenance={},
        devices=2,
        strategy="ddp_fork",
    )


def test_two_processes_train_one_model(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_train_on_two_ranks, args=(tmp_path,))
    process.start()
    process.join(60)

    assert process.exitcode == 0
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert (checkpoint.epoch, checkpoint.step) == (3, 6)
