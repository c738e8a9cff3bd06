"""Scores of predictions, named as tasks name them; higher is better unless it is a loss or an error.

- multiclass, logits (N, K), target (N,): accuracy, f1_micro, f1_macro, f1_weighted, and loss (cross-entropy)
- multilabel, logits (N, K), target (N, K) of 0 and 1: f1_micro, f1_macro, f1_weighted, f1_samples at the task's
  threshold; average_precision and auroc (macro) from the probabilities themselves; loss (binary cross-entropy)
- regression, predictions and target (N,) or (N, K): mae, rmse, corr (Pearson), and loss (mean squared error)

F1 follows scikit-learn with ``zero_division=0``. In multilabel tasks a label that is neither predicted nor present
counts as 0 in ``f1_macro``, and a sample with neither true nor predicted labels as 0 in ``f1_samples``; in multiclass
tasks such a class is left out. Average precision and AUROC run over the labels for which they are defined. The MixMAS
and M2-Mixer releases feed AUROC with hard decisions and add metrics up over all epochs; here they are computed afresh,
from probabilities.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torchmetrics.functional import classification as scores
from torchmetrics.functional.regression import pearson_corrcoef

from mmfuse.errors import BadSpec
from mmfuse.task import Task

AVERAGES = ("micro", "macro", "weighted")


def compute_metrics(task: Task, logits: Tensor, target: Tensor) -> dict[str, float]:
    """Every metric of the task's kind by its bare name; the primary one is always among them.

    Raises:
        BadSpec: when the task's primary metric is none of its kind's.
    """
    computed = METRICS[task.kind](logits.float(), target, task) if task.kind in METRICS else {}
    if task.metric not in computed:
        known = ", ".join(sorted(computed)) or "none"
        raise BadSpec(f"{task.kind} task {task.name} has no metric '{task.metric}'", f"known: {known}")
    return computed


def _multiclass(logits: Tensor, target: Tensor, task: Task) -> dict[str, float]:
    prediction, classes = logits.argmax(dim=1), logits.shape[1]
    f1 = {
        f"f1_{average}": float(_f1_multiclass(prediction, target, classes=classes, average=average))
        for average in AVERAGES
    }
    return {
        "accuracy": float((prediction == target).double().mean()),
        **f1,
        "loss": float(cross_entropy(logits, target)),
    }


def _f1_multiclass(prediction: Tensor, target: Tensor, *, classes: int, average: Any) -> Tensor:
    return scores.multiclass_f1_score(prediction, target, classes, average=average, validate_args=False)


def _multilabel(logits: Tensor, target: Tensor, task: Task) -> dict[str, float]:
    probability, truth, labels = logits.sigmoid(), target.long(), logits.shape[1]
    prediction = (probability > task.threshold).long()
    f1 = {
        f"f1_{average}": float(_f1_multilabel(prediction, truth, labels=labels, average=average))
        for average in AVERAGES
    }
    return {
        **f1,
        "f1_samples": float(_f1_samples(prediction, truth)),
        **_ranking(probability, truth),
        "loss": float(binary_cross_entropy_with_logits(logits, target.float())),
    }


def _f1_multilabel(prediction: Tensor, target: Tensor, *, labels: int, average: Any) -> Tensor:
    return scores.multilabel_f1_score(prediction, target, labels, average=average, validate_args=False)


def _f1_samples(prediction: Tensor, target: Tensor) -> Tensor:
    """F1 of each sample's set of labels, averaged; 0 where both sets are empty (as in scikit-learn)."""
    hits = (prediction * target).sum(dim=1)
    sizes = prediction.sum(dim=1) + target.sum(dim=1)
    return (2 * hits / sizes.clamp(min=1)).mean()


def _ranking(probability: Tensor, target: Tensor) -> dict[str, float]:
    """Average precision and AUROC over the labels that some samples have and some have not; NaN where there is none."""
    positives = target.sum(dim=0)
    defined = (positives > 0) & (positives < len(target))
    labels = int(defined.sum())
    if labels == 0:
        return {"average_precision": math.nan, "auroc": math.nan}
    probability, target = probability[:, defined], target[:, defined]
    return {
        "average_precision": float(
            scores.multilabel_average_precision(probability, target, labels, validate_args=False)
        ),
        "auroc": float(scores.multilabel_auroc(probability, target, labels, validate_args=False)),
    }


def _regression(prediction: Tensor, target: Tensor, task: Task) -> dict[str, float]:
    prediction, target = prediction.reshape(len(target), -1), target.reshape(len(target), -1).float()
    error = prediction - target
    squared = error.square().mean()
    return {
        "mae": float(error.abs().mean()),
        "rmse": float(squared.sqrt()),
        "corr": float(pearson_corrcoef(prediction.squeeze(1), target.squeeze(1)).mean()),
        "loss": float(squared),
    }


METRICS = {"multiclass": _multiclass, "multilabel": _multilabel, "regression": _regression}
