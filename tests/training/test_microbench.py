"""The micro-benchmark: every candidate trained alike, wherever, however often interrupted."""

from __future__ import annotations

import itertools
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mmfuse.architecture import Architecture
from mmfuse.batch import Split, Splits
from mmfuse.errors import MmfuseError, Stopped, StoreError
from mmfuse.models import unimodal
from mmfuse.report import NullReporter, TrialRecord
from mmfuse.search import mixmas
from mmfuse.search.drive import Outcome, Trial, drive
from mmfuse.spec import BenchmarkOptions
from mmfuse.task import Modality, Task
from mmfuse.training.microbench import MicroBenchmark

TASK = Task(
    "toy", "multiclass", (Modality("image", "grid", (1, 8, 8)), Modality("audio", "grid", (1, 8, 8))), 4, "accuracy"
)
SMALL = {"depth": 1, "dim": 8, "patch": 4, "token_hidden": 4, "channel_hidden": 8}


def make_split(samples: int, *, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    target = torch.arange(samples) % 4
    image = torch.randn(samples, 1, 8, 8, generator=generator)
    audio = torch.randn(samples, 1, 8, 8, generator=generator)
    image[:, 0, 0, :4] += (target % 2).float()[:, None] * 3
    audio[:, 0, :4, 0] += (target // 2).float()[:, None] * 3
    return Split({"image": image, "audio": audio}, target, torch.arange(samples))


SPLITS = Splits(TASK, make_split(160, seed=0), make_split(80, seed=1), lambda: make_split(80, seed=2), "toy")


def bench(folder: Path, **changes: Any) -> MicroBenchmark:
    options = {"sample": 96, "validation": 48, "epochs": 2, "batch_size": 16}
    controls = {"workers": 1, "should_stop": lambda: False, "history": (), "reporter": NullReporter(), "splits": SPLITS}
    for name in list(changes):
        (controls if name in controls else options)[name] = changes.pop(name)
    splits = controls.pop("splits")
    return MicroBenchmark(
        splits, BenchmarkOptions(**options), seed=5, device=torch.device("cpu"), folder=folder, **controls
    )


def encoder(block: str = "mlp", **params: Any) -> dict[str, Any]:
    known = {"mlp": SMALL, "hyper": {key: SMALL[key] for key in ("depth", "dim", "patch", "channel_hidden")}}
    return {"block": block, **known[block], **params}


def unimodal_trial(number: int, modality: str = "image", **params: Any) -> Trial:
    return Trial(
        number, Architecture("unimodal", {"modality": modality, "encoder": encoder(**params)}, modality), number
    )


def options(**changes: Any) -> mixmas.Options:
    encoders = [encoder("mlp"), encoder("hyper")]
    space = {
        "encoders": {"image": encoders, "audio": encoders},
        "functions": ["concat", "mean"],
        "network_params": {name: {"depth": 1, "channel_hidden": 8} for name in ("mlp", "hyper")},
    }
    return mixmas.Options(space=space, **changes)


def table(outcome: Outcome) -> list[TrialRecord]:
    return [replace(record, seconds=0.0) for record in outcome.trials]


def run_search(evaluator: MicroBenchmark, **how: Any) -> Outcome:
    chosen = how.pop("options", options())
    return drive(
        mixmas.search(TASK, chosen, rng=None),
        evaluator=evaluator,
        reporter=NullReporter(),
        seed_of=lambda number: 100 + number,
        **how,
    )


def test_every_candidate_makes_exactly_the_planned_steps(tmp_path: Path) -> None:
    trials = [unimodal_trial(0), unimodal_trial(1, block="hyper"), unimodal_trial(2, modality="audio")]

    records = list(bench(tmp_path).evaluate(trials))

    assert [(record.epochs, record.steps) for record in records] == [(2, 12)] * 3


def test_every_candidate_is_trained_and_not_only_the_first(tmp_path: Path) -> None:
    trials = [unimodal_trial(number) for number in range(3)]

    records = list(bench(tmp_path, epochs=12).evaluate(trials))

    # The image alone tells two of four classes apart: a trained model reaches about 1/2, an untrained one 1/4.
    assert all(record.score is not None and record.score > 0.35 for record in records)


def test_a_search_gives_the_same_table_for_any_number_of_workers(tmp_path: Path) -> None:
    one = run_search(bench(tmp_path / "one", workers=1))
    three = run_search(bench(tmp_path / "three", workers=3))

    assert table(one) == table(three)
    assert one.architecture == three.architecture


def test_the_order_in_which_candidates_are_listed_changes_nothing(tmp_path: Path) -> None:
    forwards = options()
    backwards = options()
    backwards.space.encoders["image"].reverse()
    backwards.space.functions.reverse()

    assert table(run_search(bench(tmp_path / "f"), options=forwards)) == table(
        run_search(bench(tmp_path / "b"), options=backwards)
    )


@pytest.mark.parametrize("encoders", ["warm", "frozen", "fresh"])
def test_a_resumed_search_gives_the_table_of_an_uninterrupted_one(tmp_path: Path, encoders: str) -> None:
    whole = run_search(bench(tmp_path / "whole", encoders=encoders))
    stops = itertools.count()
    ended: list[TrialRecord] = []

    class Journal(NullReporter):
        def trial(self, record: TrialRecord) -> None:
            if record.status != "running":
                ended.append(record)

    with pytest.raises(Stopped):
        drive(
            mixmas.search(TASK, options(), rng=None),
            evaluator=bench(tmp_path / "part", encoders=encoders, should_stop=lambda: next(stops) > 40),
            reporter=Journal(),
            seed_of=lambda number: 100 + number,
        )
    assert 0 < len(ended) < len(whole.trials)
    again = run_search(
        bench(tmp_path / "part", encoders=encoders, history=tuple(ended)),
        finished={record.number: record for record in ended},
    )

    assert table(again) == table(whole)


def test_a_candidate_that_cannot_be_built_fails_alone(tmp_path: Path) -> None:
    trials = [unimodal_trial(0, patch=3), unimodal_trial(1)]

    first, second = sorted(bench(tmp_path).evaluate(trials), key=lambda record: record.number)

    assert first.status == "failed"
    assert "3" in first.reason
    assert second.status == "done"


def test_a_candidate_whose_process_dies_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = unimodal.build

    def sabotage(params: unimodal.Params, task: Task) -> torch.nn.Module:
        if params.modality == "audio":
            os.kill(os.getpid(), signal.SIGKILL)
        return build(params, task)

    monkeypatch.setattr(unimodal, "build", sabotage)

    records = {
        record.number: record for record in bench(tmp_path).evaluate([unimodal_trial(0, "audio"), unimodal_trial(1)])
    }

    assert records[0].status == "failed"
    assert "SIGKILL" in records[0].reason
    assert records[1].status == "done"


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows here, as on a full disk; forked trials inherit it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("changes", [{}, {"halving": True, "epochs": 4}])
def test_a_full_disk_ends_the_search_and_is_nobodys_failure(tmp_path: Path, changes: dict[str, Any]) -> None:
    trials = [unimodal_trial(0), unimodal_trial(1, block="hyper"), unimodal_trial(2, channel_hidden=4)]

    with full_disk(), pytest.raises(StoreError, match="cannot write "):
        list(bench(tmp_path / "full", workers=2, **changes).evaluate(trials))

    resumed = list(bench(tmp_path / "full", **changes).evaluate(trials))
    undisturbed = list(bench(tmp_path / "roomy", **changes).evaluate(trials))
    assert [(record.number, record.status, record.score) for record in resumed] == [
        (record.number, record.status, record.score) for record in undisturbed
    ]
    assert not list((tmp_path / "full").glob("*.tmp"))


def test_a_loss_that_is_not_a_number_fails_the_trial_and_names_the_step(tmp_path: Path) -> None:
    poisoned = make_split(160, seed=0)
    poisoned.inputs["image"][:] = float("nan")

    (record,) = bench(tmp_path, splits=replace(SPLITS, train=poisoned)).evaluate([unimodal_trial(0)])

    assert record.status == "failed"
    assert "step" in record.reason


def test_a_budget_skips_candidates_with_the_figure(tmp_path: Path) -> None:
    (record,) = bench(tmp_path, max_parameters=100).evaluate([unimodal_trial(0)])

    assert record.status == "skipped"
    assert "100" in record.reason
    assert record.steps == 0


def test_halving_prunes_but_lets_two_reach_the_last_rung(tmp_path: Path) -> None:
    trials = [unimodal_trial(number, dropout=number / 10) for number in range(6)]

    records = list(bench(tmp_path, halving=True, epochs=4).evaluate(trials))

    assert sorted(record.number for record in records) == list(range(6))
    done = [record for record in records if record.status == "done"]
    pruned = [record for record in records if record.status == "pruned"]
    assert len(done) == 2
    assert {record.epochs for record in done} == {4}
    assert all(0 < record.epochs < 4 and "after" in record.reason for record in pruned)


def test_halving_trains_its_survivors_as_if_they_had_never_paused(tmp_path: Path) -> None:
    trials = [unimodal_trial(0), unimodal_trial(1)]

    halved = {record.number: record for record in bench(tmp_path / "h", halving=True, epochs=4).evaluate(trials)}
    straight = {record.number: record for record in bench(tmp_path / "s", epochs=4).evaluate(trials)}

    assert {n: r.metrics for n, r in halved.items()} == {n: r.metrics for n, r in straight.items()}


def test_warm_and_frozen_encoders_start_from_the_weights_of_their_own_trial(tmp_path: Path) -> None:
    evaluator = bench(tmp_path, encoders="frozen", epochs=3)
    list(evaluator.evaluate([unimodal_trial(0, "image"), unimodal_trial(1, "audio")]))
    fused = Architecture("mixmas", {"encoders": {"image": encoder(), "audio": encoder()}, "network": encoder_network()})

    (record,) = evaluator.evaluate([Trial(2, fused, 7)])

    weights = evaluator.encoder_weights(fused)
    saved = torch.load(tmp_path / "encoder-0.pt", weights_only=True)
    assert set(weights) == {"image", "audio"}
    assert all(torch.equal(value, saved[name]) for name, value in weights["image"].items())
    assert record.status == "done"


def test_a_lost_encoder_file_is_one_sentence(tmp_path: Path) -> None:
    evaluator = bench(tmp_path)
    list(evaluator.evaluate([unimodal_trial(0, "image")]))
    (tmp_path / "encoder-0.pt").unlink()
    fused = Architecture("mixmas", {"encoders": {"image": encoder(), "audio": encoder()}, "network": encoder_network()})

    with pytest.raises(MmfuseError, match="missing"):
        evaluator.encoder_weights(fused)


def encoder_network() -> dict[str, Any]:
    return {"block": "mlp", "depth": 1, "token_hidden": 4, "channel_hidden": 8}
