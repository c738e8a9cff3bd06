"""The evaluator of fusion searches: scores that depend on the candidate and its list, and on nothing else."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tap_world import BACKBONES, SPLITS, Listener, bench, stops_after, trials

from mmfuse.architecture import Architecture
from mmfuse.backbones import BackboneChoice
from mmfuse.errors import BadSpec, Stopped
from mmfuse.metrics import compute_metrics
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_macs, count_parameters
from mmfuse.models.mfas import FusionChain, Params
from mmfuse.report import TrialRecord
from mmfuse.search.drive import Trial
from mmfuse.spec import CHOICE_STAGE, FitOptions
from mmfuse.training import tapbench
from mmfuse.training.batched import Trained, train_group
from mmfuse.training.checkpoint import load_checkpoint, rebuild_model
from mmfuse.training.scoring import score
from mmfuse.training.tapbench import TapBenchmark
from mmfuse.training.two_stage import fit_fusion

LAYERS = [[[2, 2, 0]], [[0, 0, 1], [1, 2, 0]], [[1, 1, 0]], [[2, 0, 1], [0, 2, 0], [2, 2, 1]]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data root whose backbones and taps are there already."""
    place = tmp_path_factory.mktemp("trained")
    list(bench(place).evaluate(trials([[0, 0, 0]])))
    yield place


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained / "data", tmp_path / "data")
    return tmp_path


def table(evaluator: TapBenchmark, asked: list[Trial]) -> list[TrialRecord]:
    ended = sorted(evaluator.evaluate(asked), key=lambda record: record.number)
    return [replace(record, seconds=0.0) for record in ended]


def test_every_candidate_is_trained_for_exactly_the_published_steps_and_scored(place: Path) -> None:
    heard = Listener()

    records = table(bench(place, reporter=heard), trials(*LAYERS))

    fitted = 160 - 16
    assert [record.number for record in records] == [0, 1, 2, 3]
    assert {(record.status, record.epochs, record.steps) for record in records} == {("done", 3, 3 * -(-fitted // 32))}
    for record in records:
        curve = [values["val/accuracy"] for trial, _, values in heard.rows if trial == record.number]
        assert len(curve) == 3
        assert record.score == max(curve) == record.metrics["val/accuracy"]
    assert ("held out", {"samples": 16, "fitted": fitted}) in heard.notes


@pytest.mark.parametrize("changes", [{"workers": 1}, {"workers": 4}])
def test_scores_depend_neither_on_workers_nor_on_threads(place: Path, changes: dict[str, Any]) -> None:
    whole = table(bench(place, group=2), trials(*LAYERS))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        other = table(bench(place, group=2, **changes), trials(*LAYERS))
    finally:
        torch.set_num_threads(before)

    assert other == whole


def test_a_candidates_score_does_not_depend_on_its_company(place: Path) -> None:
    asked = trials(*LAYERS)

    together = table(bench(place), asked)
    apart = table(bench(place, group=1), asked)
    halves = [*table(bench(place), asked[:2]), *table(bench(place), asked[2:])]

    assert [record.score for record in together] == [record.score for record in apart]
    assert [record.score for record in together] == [record.score for record in halves]


def test_the_same_architecture_under_another_seed_is_another_training(place: Path) -> None:
    first, second, again = trials(LAYERS[0], LAYERS[0], LAYERS[0])

    records = table(bench(place), [first, second, replace(again, seed=first.seed)])

    assert records[0].metrics["val/loss"] != records[1].metrics["val/loss"]
    assert records[0].metrics["val/loss"] == pytest.approx(records[2].metrics["val/loss"], rel=1e-5)


def test_a_stopped_list_begins_anew_and_ends_the_same(place: Path) -> None:
    whole = table(bench(place), trials(*LAYERS))
    evaluator = bench(place, should_stop=stops_after(0))

    with pytest.raises(Stopped):
        list(evaluator.evaluate(trials(*LAYERS)))

    assert evaluator.joint
    assert table(bench(place), trials(*LAYERS)) == whole


def test_a_run_resumed_without_its_data_root_goes_on_with_the_same_numbers(place: Path) -> None:
    whole = table(bench(place), trials(*LAYERS))
    shutil.rmtree(place / "data")

    assert table(bench(place), trials(*LAYERS)) == whole


def test_the_last_stage_is_scored_on_rows_that_nothing_was_fitted_to(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def spy(candidates: Any, train: Any, val: Any, **controls: Any) -> list[Trained]:
        seen["train"] = train.taps
        return train_group(candidates, train, val, **controls)

    monkeypatch.setattr(tapbench, "train_group", spy)
    evaluator = bench(place)
    messages: list[tuple[Any, ...]] = []
    asked = trials(*LAYERS, stage=CHOICE_STAGE)
    prepared = evaluator._prepare(asked[0].architecture)

    (group,) = evaluator._groups(asked)
    evaluator._work(group, prepared, messages.append, should_stop=lambda: False)

    held_out = prepared.held_out
    assert held_out is not None
    assert len(held_out) == 16
    assert torch.bincount(held_out.target).tolist() == [4, 4, 4, 4]
    rows = {tuple(row) for row in seen["train"].tolist()}
    assert len(rows) == 144
    assert rows.isdisjoint(tuple(row) for row in held_out.taps.tolist())
    for record in (TrialRecord.from_json(message[1]) for message in messages if message[0] == "ended"):
        assert record.score == record.metrics["choice/accuracy"]
        assert (
            record.metrics["val/accuracy"] != record.score
            or record.metrics["val/loss"] != record.metrics["choice/loss"]
        )


def test_without_held_out_rows_the_last_stage_is_scored_like_the_others(tmp_path: Path) -> None:
    (record,) = table(bench(tmp_path, choice_share=0.0), trials(LAYERS[0], stage=CHOICE_STAGE))

    assert record.score == record.metrics["val/accuracy"]


@pytest.mark.parametrize("params", [{}, {"alphas": True, "batchnorm": True}])
def test_costs_are_those_of_the_whole_model(place: Path, params: dict[str, Any]) -> None:
    sample = SPLITS.val.take(torch.zeros(1, dtype=torch.long)).all()

    for record in table(bench(place), trials(*LAYERS, **params)):
        backbones = {name: choice.model_dump() for name, choice in BACKBONES.items()}
        model = build_model(Architecture("mfas", {**record.architecture.params, "backbones": backbones}), SPLITS.task)
        assert (record.parameters, record.macs) == (count_parameters(model), count_macs(model, sample))


@pytest.mark.parametrize(
    ("candidates", "sizes"), [(7, [7]), (8, [4, 4]), (15, [7, 8]), (30, [15, 15]), (70, [23, 23, 24])]
)
def test_groups_keep_two_cores_busy_and_do_not_depend_on_workers(
    tmp_path: Path, candidates: int, sizes: list[int]
) -> None:
    asked = trials(*[[[0, 0, 0]]] * candidates)

    for workers in (1, 2, 7):
        groups = list(bench(tmp_path, workers=workers)._groups(asked))

        assert [len(group.trials) for group in groups] == sizes
        assert [trial.number for group in groups for trial in group.trials] == list(range(candidates))


def test_lists_of_mixed_widths_are_trained_in_groups_of_their_kind(place: Path) -> None:
    mixed = [*trials(*LAYERS[:2]), *trials(*LAYERS[2:], first=2, width=5), *trials(LAYERS[0], first=4, alphas=True)]

    records = table(bench(place), mixed)

    assert [record.status for record in records] == ["done"] * 5


def test_a_group_that_fails_fails_its_candidates_only(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(candidates: Any, *rows: Any, **controls: Any) -> list[Trained]:
        if candidates[0].params.width == 5:
            raise RuntimeError("no such luck")
        if candidates[0].params.width == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return train_group(candidates, *rows, **controls)

    monkeypatch.setattr(tapbench, "train_group", broken)
    asked = [
        *trials(LAYERS[0]),
        *trials(*LAYERS[1:3], first=1, width=5),
        *trials(LAYERS[3], first=3, width=6),
        *trials([[9, 0, 0]], first=4),
    ]

    records = table(bench(place), asked)

    assert [record.status for record in records] == ["done", "failed", "failed", "failed", "failed"]
    assert records[1].reason == "RuntimeError: no such luck"
    assert records[3].reason == "its process was killed by SIGKILL"
    assert "layer 0 is [9, 0, 0]" in records[4].reason


def test_candidates_on_taps_in_half_precision_train_in_single(place: Path) -> None:
    exact, half = (table(bench(place, taps_dtype=dtype), trials(*LAYERS)) for dtype in ("float32", "float16"))

    assert [record.metrics for record in half] != [record.metrics for record in exact]
    for one, other in zip(half, exact, strict=True):
        assert one.metrics["val/loss"] == pytest.approx(other.metrics["val/loss"], rel=0.02)


def test_mixers_are_searched_over_as_backbones(tmp_path: Path) -> None:
    encoder = {"block": "mlp", "depth": 2, "dim": 6, "patch": 4, "token_hidden": 3, "channel_hidden": 5}
    mixer = BackboneChoice(family="unimodal", params={"encoder": encoder})
    evaluator = bench(tmp_path, backbones={"image": mixer, "audio": BACKBONES["audio"]})

    records = table(evaluator, trials([[1, 2, 0]], [[0, 1, 1], [1, 0, 0]], [[2, 0, 0]]))

    assert [record.status for record in records] == ["done", "done", "failed"]
    assert "layer 0 is [2, 0, 0]" in records[2].reason
    architecture = evaluator.finalist(records[1].architecture)
    assert fit_small(tmp_path, architecture, "final", epochs=1).epochs == 1


def test_candidates_must_fuse_the_same_modalities(place: Path) -> None:
    evaluator = bench(place)
    list(evaluator.evaluate(trials(LAYERS[0])))

    with pytest.raises(BadSpec, match="this search fuses image, audio, a candidate audio, image"):
        list(evaluator.evaluate(trials(LAYERS[0], modalities=["audio", "image"])))


def test_the_finalist_is_wider_and_names_the_weights_it_was_found_on(place: Path) -> None:
    evaluator = bench(place)

    architecture = evaluator.finalist(trials(LAYERS[1])[0].architecture)

    assert architecture.params["layers"] == LAYERS[1]
    assert (architecture.params["width"], architecture.params["dropout"]) == (12, 0.4)
    named = {backbone["weights"] for backbone in architecture.params["backbones"].values()}
    assert named == {path.stem for path in (place / "data" / "backbones").glob("*.ckpt")}
    kept = bench(place, final_width=None, final_dropout=None).finalist(trials(LAYERS[1])[0].architecture)
    assert (kept.params["width"], kept.params["dropout"]) == (8, 0.5)


def fit_small(place: Path, architecture: Architecture, folder: str, **changes: Any) -> Any:
    heard = changes.pop("reporter", Listener())
    should_stop = changes.pop("should_stop", lambda: False)
    settled = {"epochs": 2, "batch_size": 32, "fusion_epochs": 3, "early_stopping": None, "schedule": "restarts"}
    return fit_fusion(
        architecture,
        SPLITS,
        FitOptions(**(settled | changes)),
        seed=3,
        device=torch.device("cpu"),
        folder=place / folder,
        data_root=place / "data",
        reporter=heard,
        should_stop=should_stop,
        provenance={},
    )


def test_full_training_starts_from_trained_backbones_and_a_fusion_trained_on_their_taps(place: Path) -> None:
    architecture, heard = bench(place).finalist(trials(LAYERS[1])[0].architecture), Listener()

    fitted = fit_small(place, architecture, "still", epochs=1, learning_rate=1e-12, minimum_rate=0.0, reporter=heard)
    fitted = fit_small(place, architecture, "moving", reporter=heard)

    assert heard.origins() == ["given", "given", "cached"] * 2
    stage = [facts for message, facts in heard.notes if message == "fusion stage"][-1]
    assert len(stage["scores"]) == 3
    assert fitted.epochs == 2
    weights = load_checkpoint(place / "still" / "checkpoints" / "best.ckpt").weights
    library = place / "data" / "backbones"
    for modality, backbone in architecture.params["backbones"].items():
        original = load_checkpoint(library / f"{backbone['weights']}.ckpt").weights
        name = "blocks.0.0.weight"
        torch.testing.assert_close(weights[f"backbones.{modality}.{name}"], original[name], rtol=0, atol=1e-9)


def test_the_whole_model_predicts_what_its_fusion_predicted_on_cached_taps(place: Path) -> None:
    evaluator = bench(place, final_width=None, final_dropout=None)
    trial = trials(LAYERS[1], dropout=0.0)[0]
    prepared = evaluator._prepare(trial.architecture)
    architecture = evaluator.finalist(trial.architecture)
    fit_small(place, architecture, "run", epochs=1)
    model = rebuild_model(load_checkpoint(place / "run" / "checkpoints" / "best.ckpt"))
    for modality, net in model.backbones.items():
        original = prepared.backbones[modality].weights
        net.load_state_dict({key: original[key] for key in net.state_dict()})

    params = Params(**architecture.params)
    chain = FusionChain(params, layout=prepared.layout, outputs=4).eval()
    chain.load_state_dict(model.chain.state_dict())
    with torch.no_grad():
        on_taps = compute_metrics(SPLITS.task, chain(prepared.val.taps), prepared.val.target)

    assert score(model, SPLITS.val, SPLITS.task)["loss"] == pytest.approx(on_taps["loss"], rel=1e-4)


def test_full_training_that_was_stopped_anywhere_ends_the_same(place: Path) -> None:
    architecture = bench(place).finalist(trials(LAYERS[1])[0].architecture)
    fit_small(place, architecture, "whole")
    for calls in (2, 20):
        with pytest.raises(Stopped):
            fit_small(place, architecture, "stopped", should_stop=stops_after(calls))

    fit_small(place, architecture, "stopped")

    ours, theirs = (
        load_checkpoint(place / name / "checkpoints" / "best.ckpt").weights for name in ("stopped", "whole")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
