"""What a spec is checked against: the task its data options make, and every part of it at once."""

from __future__ import annotations

import pytest

from mmfuse.errors import BadSpec, UnknownName
from mmfuse.registry import MODELS, SEARCHES
from mmfuse.spec import resolve_data, resolve_search, resolve_train, task_of


@pytest.mark.parametrize(("target", "outputs"), [("mortality", 6), (0, 2), (19, 2)])
def test_a_datasets_options_decide_its_task(target, outputs):
    task = task_of("mimic_iii", resolve_data("mimic_iii", {"target": target}))

    assert (task.outputs, len(task.classes)) == (outputs, outputs)


def test_a_model_is_checked_against_the_task_that_will_be_trained(monkeypatch):
    seen = []
    monkeypatch.setattr(MODELS.declaration("m2_mixer"), "check", lambda params, task: seen.append(task))

    resolve_train("m2_mixer", "mimic_iii", preset="mimic_iii_h", settings=["data.target=3"])

    assert [task.outputs for task in seen] == [2]


def test_a_search_is_checked_against_the_task_it_will_be_about(monkeypatch):
    seen = []
    monkeypatch.setattr(SEARCHES.declaration("mixmas"), "check", lambda task, options: seen.append(task))

    resolve_search("mixmas", "mimic_iii", settings=["data.target=3"])

    assert [task.outputs for task in seen] == [2]


def test_mistakes_in_search_data_and_training_are_told_together_with_where_they_belong():
    with pytest.raises(BadSpec) as caught:
        resolve_search("mixmas", "toy", settings=["epochs=3", "data.rul=turn", "fit.epochz=2"])

    for sentence in ("unknown option 'epochs'", "dataset toy: unknown option 'rul'", "fit: unknown option 'epochz'"):
        assert sentence in caught.value.message
    assert "did you mean 'benchmark.epochs' or 'fit.epochs'?" in caught.value.hint


@pytest.mark.parametrize("setting", ['space.encoders.imag=[{"block":"mlp"}]', 'space.network_params.hypr={"depth":2}'])
def test_a_part_of_the_space_under_a_name_that_means_nothing_is_not_ignored(setting):
    with pytest.raises(UnknownName, match=r"'(imag|hypr)'") as caught:
        resolve_search("mixmas", "toy", settings=[setting])

    assert "did you mean" in caught.value.hint


@pytest.mark.parametrize("sample", ["0", "-4", "-0.5", "NaN"])
def test_a_sample_of_no_size_is_refused_before_anything_starts(sample):
    with pytest.raises(BadSpec, match=r"benchmark\.sample"):
        resolve_search("mixmas", "toy", settings=[f"benchmark.sample={sample}"])
