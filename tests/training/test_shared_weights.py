"""Layers handed on between candidates: by the rule, within a strategy, the same however often a search is killed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tap_world import bench, stops_after, trials

from mmfuse.errors import DataInvalid, Stopped, StoreError
from mmfuse.models.mfas import Params
from mmfuse.models.tap_layout import TapLayout
from mmfuse.report import TrialRecord
from mmfuse.search.drive import Trial
from mmfuse.spec import CHOICE_STAGE
from mmfuse.training.shared_weights import SharedWeights

LAYOUT = TapLayout(((2, 4), (4, 2)))
FIRST = trials([[0, 0, 0]], [[2, 1, 0], [1, 2, 1]], stage="sweep 1/level 1")
SECOND = trials([[2, 1, 0], [0, 0, 0]], [[2, 1, 0], [1, 2, 1]], [[1, 2, 0]], first=2, stage="sweep 1/level 2")


def params(*layers: list[int], **changes: Any) -> Params:
    return Params(layers=[*layers], width=3, **changes)


def state(value: float) -> dict[str, torch.Tensor]:
    return {f"cells.{level}.linear.bias": torch.full((3,), value + level) for level in range(2)} | {
        "classifier.bias": torch.zeros(2)
    }


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


def table(place: Path, *lists: list[Trial], **changes: Any) -> list[TrialRecord]:
    evaluator = bench(place, **{"weight_sharing": "taps"} | changes)
    return [
        replace(record, seconds=0.0)
        for asked in lists
        for record in sorted(evaluator.evaluate(asked), key=lambda record: record.number)
    ]


def test_layers_are_inherited_from_the_same_taps_or_from_the_same_width(tmp_path: Path) -> None:
    for rule, inherited in (("taps", []), ("widths", ["cells.0.linear.bias"])):
        shared = SharedWeights(rule, folder=tmp_path, layout=LAYOUT)  # type: ignore[arg-type]
        shared.learn(params([0, 0, 0]), state(1.0), strategy="sweep")

        # Taps of widths 2 + 4 and 4 + 2 are other taps of the same total.
        assert list(shared.first_weights(params([1, 1, 0]), strategy="sweep")) == inherited
        assert list(shared.first_weights(params([0, 0, 0]), strategy="sweep")) == ["cells.0.linear.bias"]


@pytest.mark.parametrize(
    ("other", "strategy"),
    [
        (params([0, 0, 1]), "sweep"),
        (params([1, 0, 0], [0, 0, 0]), "sweep"),
        (params([0, 0, 0], batchnorm=True), "sweep"),
        (Params(layers=[[0, 0, 0]], width=4), "sweep"),
        (params([0, 0, 0]), "random"),
    ],
)
def test_layers_of_another_kind_level_or_strategy_inherit_nothing(tmp_path: Path, other: Params, strategy: str) -> None:
    shared = SharedWeights("widths", folder=tmp_path, layout=LAYOUT)

    shared.learn(params([0, 0, 0]), state(1.0), strategy="sweep")

    assert shared.first_weights(other, strategy=strategy) == {}


def test_the_last_candidate_to_have_a_layer_leaves_its_weights_and_lists_are_recalled_by_number(tmp_path: Path) -> None:
    shared = SharedWeights("taps", folder=tmp_path, layout=LAYOUT)
    for number, value in ((3, 1.0), (7, 2.0)):
        shared.learn(params([0, 0, 0]), state(value), strategy="sweep")
        shared.keep(number)

    found = []
    for first in (0, 4, 8):
        again = SharedWeights("taps", folder=tmp_path, layout=LAYOUT)
        again.recall(first)
        found.append({float(v[0]) for v in again.first_weights(params([0, 0, 0]), strategy="sweep").values()})

    assert found == [set(), {1.0}, {2.0}]


def test_a_candidate_starts_from_what_an_earlier_list_left(place: Path) -> None:
    shared, alone = table(place, FIRST, SECOND), table(place, FIRST, SECOND, weight_sharing="off")

    losses = [[record.metrics["val/loss"] for record in records] for records in (shared, alone)]
    # Nothing is inherited in the first list, nor by the last candidate, whose layer nobody has trained.
    assert losses[0][:2] == losses[1][:2]
    assert losses[0][4] == pytest.approx(losses[1][4], rel=1e-5)
    assert all(ours != theirs for ours, theirs in zip(losses[0][2:4], losses[1][2:4], strict=True))


@pytest.mark.parametrize("changes", [{"group": 1}, {"workers": 1}, {"taps_dtype": "float16", "batchnorm": True}])
def test_a_search_that_shares_weights_and_is_stopped_anywhere_ends_the_same(
    place: Path, changes: dict[str, Any]
) -> None:
    norm = {"batchnorm": changes.pop("batchnorm", False)}
    lists = [_with(asked, norm) for asked in (FIRST, SECOND)]
    whole = table(place / "whole", *lists, data_root=place / "data", **changes)

    first, second = lists
    killed = {"data_root": place / "data", **changes}
    ours = table(place / "killed", first, **killed)
    for calls in (0, 1):
        with pytest.raises(Stopped):
            table(place / "killed", second, should_stop=stops_after(calls), **killed)
    ours += table(place / "killed", second, **killed)

    assert ours == whole
    # A list that is asked for again, because its last answer was lost, is answered from the same weights.
    assert table(place / "killed", second, **killed) == whole[2:]


def test_sharing_does_not_depend_on_which_candidates_are_trained_together(place: Path) -> None:
    together = table(place / "together", FIRST, SECOND, data_root=place / "data")
    apart = table(place / "apart", FIRST, SECOND, data_root=place / "data", group=1)

    assert [record.score for record in together] == [record.score for record in apart]


def test_the_last_comparison_inherits_nothing(place: Path) -> None:
    final = trials([[2, 1, 0], [1, 2, 1]], first=2, stage=CHOICE_STAGE)

    shared = table(place, FIRST, final)
    alone = table(place, FIRST, final, weight_sharing="off")

    assert shared == alone


def _with(asked: list[Trial], changes: dict[str, Any]) -> list[Trial]:
    return [
        replace(trial, architecture=replace(trial.architecture, params={**trial.architecture.params, **changes}))
        for trial in asked
    ]


def test_shared_weights_that_are_damaged_or_cannot_be_kept_are_told_in_a_sentence(tmp_path: Path) -> None:
    shared = SharedWeights("taps", folder=tmp_path / "shared", layout=LAYOUT)
    shared.keep(3)
    path = tmp_path / "shared" / "3.pt"
    content = path.read_bytes()

    for damaged in (content[:100], content.replace(b"PK", b"KP"), b""):
        path.write_bytes(damaged)
        with pytest.raises(DataInvalid, match=r"3\.pt, the weights that earlier candidates .* is damaged"):
            shared.recall(4)
    (tmp_path / "file").write_text("where the folder should be")
    with pytest.raises(StoreError, match="cannot write the shared weights"):
        SharedWeights("taps", folder=tmp_path / "file", layout=LAYOUT).keep(3)
