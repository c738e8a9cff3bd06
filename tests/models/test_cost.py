"""Costs: multiply-accumulates against closed formulas."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmfuse.batch import Batch
from mmfuse.models.blocks.mlp import MixerBlock
from mmfuse.models.cost import count_macs, count_parameters, measure_latency


class _OnX(nn.Module):
    """Run a module on the input ``x`` of a batch."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch) -> Tensor:
        return self.module(batch.inputs["x"])


def _batch(*shape: int) -> Batch:
    return Batch({"x": torch.randn(shape)}, torch.zeros(shape[0]), torch.arange(shape[0]))


@pytest.mark.parametrize(("tokens", "dim", "token", "channel"), [(4, 128, 32, 3072), (8, 16, 5, 7), (1, 3, 2, 1)])
def test_a_mixer_block_costs_what_its_formula_says(tokens: int, dim: int, token: int, channel: int) -> None:
    block = MixerBlock(tokens=tokens, dim=dim, token_hidden=token, channel_hidden=channel, dropout=0.1)

    macs = count_macs(_OnX(block), _batch(6, tokens, dim))

    assert macs == 2 * dim * tokens * token + 2 * tokens * dim * channel


def test_a_grouped_convolution_costs_each_group_its_own_inputs() -> None:
    conv = nn.Conv2d(8, 12, 3, padding=1, groups=4)

    assert count_macs(_OnX(conv), _batch(2, 8, 5, 5)) == 5 * 5 * 12 * (8 // 4) * 9


def test_counting_leaves_the_model_as_it_was() -> None:
    model = _OnX(nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)))
    model.module[1].eval()  # type: ignore[index]
    before = {key: value.clone() for key, value in model.state_dict().items()}

    count_macs(model, _batch(8, 4))
    measure_latency(model, _batch(8, 4), repeats=1, warm_up=0)

    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == [True, True, True, False, True]


def test_frozen_parameters_are_not_counted() -> None:
    model: Any = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 1))

    model[0].requires_grad_(False)

    assert count_parameters(model) == 3


def test_latency_is_a_time() -> None:
    seconds = measure_latency(_OnX(nn.Linear(4, 2)), _batch(3, 4), repeats=3)

    assert 0 < seconds < 60
