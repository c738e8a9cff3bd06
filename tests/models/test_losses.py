"""Losses: what they are, by hand, and how the weight of the fusion head moves."""

import pytest
import torch
from torch.nn import functional as F

from mmfuse.batch import Batch
from mmfuse.models.losses import MultiHeadLoss, prediction_loss

MODALITIES = ("image", "audio")


def _case() -> tuple[dict[str, torch.Tensor], Batch]:
    torch.manual_seed(0)
    outputs = {name: torch.randn(4, 3) for name in ("logits", "logits/image", "logits/audio")}
    return outputs, Batch({}, torch.tensor([0, 2, 1, 2]), torch.arange(4))


def test_multiclass_predictions_cost_cross_entropy() -> None:
    loss = prediction_loss("multiclass", torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]))

    torch.testing.assert_close(loss, (_cross_entropy(2.0) + _cross_entropy(-1.0)) / 2)


def _cross_entropy(margin: float) -> torch.Tensor:
    return torch.log1p(torch.exp(torch.tensor(-margin)))


def test_multilabel_predictions_cost_binary_cross_entropy_with_weighted_misses() -> None:
    logits, target = torch.tensor([[1.0, -2.0]]), torch.tensor([[1, 1]])

    loss = prediction_loss("multilabel", logits, target, pos_weight=torch.tensor([1.0, 5.0]))

    torch.testing.assert_close(loss, (_cross_entropy(1.0) + 5 * _cross_entropy(-2.0)) / 2)


def test_regression_costs_squared_error_for_flat_targets_too() -> None:
    loss = prediction_loss("regression", torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 1.0]))

    assert float(loss) == pytest.approx((1 + 4) / 2)


def test_a_task_without_predictions_has_no_prediction_loss() -> None:
    with pytest.raises(ValueError, match="retrieval"):
        prediction_loss("retrieval", torch.zeros(1, 2), torch.zeros(1))


def test_at_equal_weights_the_total_is_the_plain_sum_of_all_heads() -> None:
    outputs, batch = _case()

    losses = MultiHeadLoss("multiclass", modalities=MODALITIES)(outputs, batch)

    expected = sum(F.cross_entropy(logits, batch.target) for logits in outputs.values())
    torch.testing.assert_close(losses["total"], expected)
    assert set(losses) == {"total", "prediction", "image", "audio"}


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_weight_divides_the_loss_between_the_fusion_and_the_unimodal_heads(scale: float) -> None:
    outputs, batch = _case()

    losses = MultiHeadLoss("multiclass", modalities=MODALITIES, weight=0.6, scale=scale)(outputs, batch)

    expected = scale * (0.6 * losses["prediction"] + 0.2 * losses["image"] + 0.2 * losses["audio"])
    torch.testing.assert_close(losses["total"], expected)


def test_without_unimodal_heads_the_total_is_the_predictions_loss() -> None:
    outputs, batch = _case()

    losses = MultiHeadLoss("multiclass", modalities=())(outputs, batch)

    torch.testing.assert_close(losses["total"], F.cross_entropy(outputs["logits"], batch.target))


def test_the_linear_change_raises_the_weight_to_one_in_fourteen_epochs() -> None:
    criterion = MultiHeadLoss("multiclass", modalities=MODALITIES, change=0.05)
    weights = [float(criterion.weight)]

    for _ in range(15):
        criterion.epoch_ended()
        weights.append(float(criterion.weight))

    expected = [1 / 3 + 0.05 * epoch for epoch in range(14)] + [1.0, 1.0]
    assert weights == pytest.approx(expected, abs=1e-5)


def test_the_weight_waits_for_its_first_epoch() -> None:
    criterion = MultiHeadLoss("multiclass", modalities=MODALITIES, weight=0.5, change=0.1, change_epoch=2)
    weights = []

    for _ in range(4):
        criterion.epoch_ended()
        weights.append(round(float(criterion.weight), 6))

    assert weights == [0.5, 0.5, 0.6, 0.7]


def test_the_weight_and_its_epoch_are_saved_with_the_model() -> None:
    first = MultiHeadLoss("multiclass", modalities=MODALITIES, weight=0.5, change=0.1, change_epoch=2)
    for _ in range(3):
        first.epoch_ended()
    second = MultiHeadLoss("multiclass", modalities=MODALITIES, weight=0.5, change=0.1, change_epoch=2)

    second.load_state_dict(first.state_dict())
    second.epoch_ended()

    assert float(second.weight) == pytest.approx(0.7)


def test_losses_alone_never_move_the_weight() -> None:
    outputs, batch = _case()
    criterion = MultiHeadLoss("multiclass", modalities=MODALITIES, change=0.05)

    for _ in range(3):
        criterion.eval()(outputs, batch)

    assert float(criterion.weight) == pytest.approx(1 / 3)
