"""`mmfuse sweep`: many runs from one line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.errors import BadSpec
from mmfuse_runs.sweeping import combinations


def specs_of(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["specs"]


def test_every_combination_of_values_and_seeds_becomes_a_run(mmfuse):
    over = ["--over", "fit.learning_rate=1e-3,3e-3", "--over", "fit.epochs=2,4"]

    specs = specs_of(mmfuse("sweep", "m2_mixer", "--dataset", "avmnist", *over, "--seeds", "0,7", "--dry-run"))

    drawn = [(spec["fit"]["learning_rate"], spec["fit"]["epochs"], spec["seed"]) for spec in specs]
    assert drawn == [(rate, epochs, seed) for rate in (1e-3, 3e-3) for epochs in (2, 4) for seed in (0, 7)]


def test_an_axis_may_leave_out_whose_key_it_is(mmfuse):
    over = ["--over", "fraction=0.1,1", "--over", "epochs=2", "--over", "dropout=0.5"]

    specs = specs_of(mmfuse("sweep", "fusemix", "--dataset", "latent_world", *over, "--dry-run"))

    assert [spec["data"]["fraction"] for spec in specs] == [0.1, 1]
    assert [(spec["fit"]["epochs"], spec["params"]["dropout"]) for spec in specs] == [(2, 0.5)] * 2


def test_an_axis_that_nobody_knows_names_the_nearest_key(mmfuse):
    result = mmfuse("sweep", "fusemix", "--dataset", "latent_world", "--over", "dropuot=0.1", "--dry-run")

    assert result.exit_code == 2
    assert "did you mean 'dropout'" in result.stderr


def test_a_key_given_with_and_without_its_prefix_is_given_twice(mmfuse):
    over = ["--over", "fraction=0.1", "--over", "data.fraction=0.2"]

    result = mmfuse("sweep", "fusemix", "--dataset", "latent_world", *over, "--dry-run")

    assert result.exit_code == 2 and "twice" in result.stderr


def test_a_search_can_be_swept_over_seeds_alone(mmfuse):
    words = ["sweep", "mixmas", "--search", "--dataset", "avmnist", "--preset", "small", "--seeds", "1,2"]

    specs = specs_of(mmfuse(*words, "--dry-run"))

    assert [(spec["kind"], spec["seed"]) for spec in specs] == [("search", 1), ("search", 2)]


def test_one_bad_value_stops_the_whole_sweep_before_it_starts(mmfuse, store):
    result = mmfuse("sweep", "m2_mixer", "--dataset", "avmnist", "--over", "fit.epochs=2,none")

    assert result.exit_code == 2
    assert "epochs" in result.stderr
    assert store.records() == []


@pytest.mark.parametrize("word", ["=1,2", "fit.epochs", "fit.epochs=", "fit.epochs=1,,2"])
def test_an_axis_without_key_or_values_is_refused(word):
    with pytest.raises(BadSpec):
        combinations([word])


def test_a_key_must_not_be_given_twice():
    with pytest.raises(BadSpec, match="twice"):
        combinations(["a=1", "a=2"])


@pytest.mark.parametrize("seeds", ["", "0,x", "-1", "0,,1"])
def test_seeds_are_whole_numbers(mmfuse, seeds):
    assert mmfuse("sweep", "m2_mixer", "--dataset", "avmnist", "--seeds", seeds, "--dry-run").exit_code == 2


def test_commas_in_lists_and_quotes_belong_to_the_value():
    assert combinations(['a=[1,2],{"x":3,"y":4},"5,6"']) == [("a=[1,2]",), ('a={"x":3,"y":4}',), ('a="5,6"',)]


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=4), max_size=3))
def test_there_are_as_many_combinations_as_the_product_of_the_values(axes):
    words = [f"key{number}={','.join(map(str, values))}" for number, values in enumerate(axes)]

    made = combinations(words)

    count = 1
    for values in axes:
        count *= len(values)
    assert len(made) == count
    assert all(len(chosen) == len(axes) for chosen in made)


def test_runs_of_a_sweep_share_a_tag_and_are_named_after_their_values(mmfuse, launcher, store):
    result = mmfuse("sweep", "m2_mixer", "--dataset", "avmnist", "--over", "fit.epochs=2,4", "--tag", "paper", "--json")

    answer = json.loads(result.stdout)
    records = {record.id: record for record in store.records()}
    assert answer["runs"] == [run_id for run_id, *_ in launcher.started]
    assert [records[run].name for run in answer["runs"]] == ["fit.epochs=2", "fit.epochs=4"]
    assert all(set(record.tags) == {answer["tag"], "paper"} for record in records.values())
