import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from mmfuse.errors import BadSpec
from mmfuse.metrics import compute_metrics
from mmfuse.task import Modality, Task

MODALITY = (Modality("text", "vector", (3,)),)
MULTICLASS = Task("letters", "multiclass", MODALITY, outputs=5, metric="accuracy")
MULTILABEL = Task("genres", "multilabel", MODALITY, outputs=6, metric="f1_weighted")
REGRESSION = Task("mood", "regression", MODALITY, outputs=1, metric="mae", maximize=False)

worlds = given(st.integers(0, 10_000), st.integers(2, 80))


def _normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@worlds
@settings(max_examples=25, deadline=None)
def test_multiclass_metrics_equal_those_of_scikit_learn(seed, samples):
    logits, target = _normal(seed, samples, 5), _normal(seed + 1, samples, 5).argmax(1)

    computed = compute_metrics(MULTICLASS, logits, target)

    prediction = logits.argmax(1)
    assert computed["accuracy"] == pytest.approx(reference.accuracy_score(target, prediction))
    for average in ("micro", "macro", "weighted"):
        expected = reference.f1_score(target, prediction, average=average, zero_division=0)
        assert computed[f"f1_{average}"] == pytest.approx(expected, abs=1e-6)
    expected = reference.log_loss(target, logits.double().softmax(1), labels=range(5))
    assert computed["loss"] == pytest.approx(expected, rel=1e-5)


@worlds
@settings(max_examples=25, deadline=None)
def test_multilabel_metrics_equal_those_of_scikit_learn(seed, samples):
    logits, target = _normal(seed, samples, 6), (_normal(seed + 1, samples, 6) > 0.7).float()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        computed = compute_metrics(MULTILABEL, logits, target)

    truth, score = target.numpy().astype(int), logits.sigmoid().numpy()
    for average in ("micro", "macro", "weighted", "samples"):
        expected = reference.f1_score(truth, score > 0.5, average=average, zero_division=0)
        assert computed[f"f1_{average}"] == pytest.approx(expected, abs=1e-6)
    defined = [label for label in range(6) if 0 < truth[:, label].sum() < samples]
    if defined:
        truth, score = truth[:, defined], score[:, defined]
        assert computed["auroc"] == pytest.approx(reference.roc_auc_score(truth, score), abs=1e-5)
        expected = np.mean([reference.average_precision_score(truth[:, k], score[:, k]) for k in range(len(defined))])
        assert computed["average_precision"] == pytest.approx(expected, abs=1e-5)
    expected = reference.log_loss(target.flatten(), logits.double().sigmoid().flatten(), labels=[0, 1])
    assert computed["loss"] == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 10_000), st.integers(3, 80))
@settings(max_examples=25, deadline=None)
def test_regression_metrics_equal_those_of_scikit_learn(seed, samples):
    prediction, target = _normal(seed, samples, 1), _normal(seed + 1, samples)

    computed = compute_metrics(REGRESSION, prediction, target)

    flat = prediction.flatten()
    assert computed["mae"] == pytest.approx(reference.mean_absolute_error(target, flat), rel=1e-5)
    assert computed["rmse"] == pytest.approx(reference.root_mean_squared_error(target, flat), rel=1e-5)
    assert computed["loss"] == pytest.approx(reference.mean_squared_error(target, flat), rel=1e-5)
    assert computed["corr"] == pytest.approx(np.corrcoef(flat, target)[0, 1], abs=1e-4)


def test_several_regression_outputs_are_averaged():
    task = Task("poses", "regression", MODALITY, outputs=2, metric="corr")
    prediction, target = _normal(1, 50, 2), _normal(2, 50, 2)

    computed = compute_metrics(task, prediction, target)

    each = [np.corrcoef(prediction[:, k], target[:, k])[0, 1] for k in range(2)]
    assert computed["corr"] == pytest.approx(np.mean(each), abs=1e-5)


def test_ranking_metrics_are_undefined_where_no_label_varies():
    computed = compute_metrics(MULTILABEL, _normal(1, 4, 6), torch.ones(4, 6))

    assert math.isnan(computed["auroc"])
    assert math.isnan(computed["average_precision"])


def test_a_primary_metric_of_another_kind_is_refused_by_name():
    task = Task("letters", "multiclass", MODALITY, outputs=5, metric="mae")

    with pytest.raises(BadSpec, match="multiclass task letters has no metric 'mae'"):
        compute_metrics(task, _normal(1, 4, 5), torch.tensor([0, 1, 2, 3]))


def test_a_task_whose_kind_has_no_metrics_is_refused():
    task = Task("pairs", "retrieval", MODALITY, outputs=5, metric="recall")

    with pytest.raises(BadSpec, match="retrieval task pairs"):
        compute_metrics(task, _normal(1, 4, 5), torch.tensor([0, 1, 2, 3]))


def test_f1_of_several_labels_by_hand():
    task = Task("genres", "multilabel", MODALITY, outputs=3, metric="f1_weighted")
    target = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    logits = torch.tensor([[1.0, -1, -1], [-1, 1, 1], [-1, -1, -1]])

    computed = compute_metrics(task, logits, target)

    f1 = {name: value for name, value in computed.items() if name.startswith("f1")}
    assert f1 == pytest.approx(
        {"f1_micro": 0.571429, "f1_macro": 0.555556, "f1_weighted": 0.583333, "f1_samples": 0.444444}, abs=1e-6
    )


@worlds
@settings(max_examples=25, deadline=None)
def test_the_tasks_threshold_decides_which_labels_count(seed, samples):
    logits, target = _normal(seed, samples, 6), (_normal(seed + 1, samples, 6) > 0.7).float()

    computed = compute_metrics(replace(MULTILABEL, threshold=0.3), logits, target)

    expected = reference.f1_score(target, logits.sigmoid() > 0.3, average="weighted", zero_division=0)
    assert computed["f1_weighted"] == pytest.approx(expected, abs=1e-6)
    assert computed["auroc"] == pytest.approx(compute_metrics(MULTILABEL, logits, target)["auroc"], nan_ok=True)


def test_a_label_that_nobody_has_and_nothing_predicts_counts_as_0():
    logits, target = torch.full((4, 6), -5.0), torch.zeros(4, 6)
    logits[:, :5], target[:, :5] = 5.0, 1.0

    computed = compute_metrics(MULTILABEL, logits, target)

    assert computed["f1_macro"] == pytest.approx(5 / 6)
    assert computed["f1_weighted"] == computed["f1_samples"] == pytest.approx(1.0)
