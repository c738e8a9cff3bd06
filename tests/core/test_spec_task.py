"""The task a spec is checked against is the one its data options make."""

from __future__ import annotations

import pytest

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
