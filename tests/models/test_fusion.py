"""Fusion functions: any number of modalities, of any widths and lengths, against sums written out token by token."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmfuse.models.fusion import FUSIONS, BimodalGate, MultimodalGate, build_fusion
from mmfuse.models.shapes import TokenShape, fused_shape

ALIKE = ("concat", "sum", "mean", "max")
SHAPES = st.lists(st.builds(TokenShape, st.integers(1, 5), st.integers(1, 6)), min_size=1, max_size=5)


def _inputs(shapes: list[TokenShape], batch: int = 2) -> list[Tensor]:
    return [torch.randn(batch, *shape) for shape in shapes]


@pytest.mark.parametrize("name", FUSIONS)
@settings(max_examples=30, deadline=None)
@given(shapes=SHAPES, width=st.none() | st.integers(1, 8), align=st.sampled_from(["project", "pad"]))
def test_the_declared_shape_is_that_of_the_result(name: Any, shapes: list[TokenShape], width: Any, align: Any) -> None:
    fusion = build_fusion(name, shapes, width=width, align=align)

    fused = fusion(_inputs(shapes))

    assert tuple(fused.shape) == (2, *fused_shape(name, shapes, width=width, align=align))
    assert bool(fused.isfinite().all())


@pytest.mark.parametrize("modalities", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("sum", lambda present: present.sum(0)),
        ("mean", lambda present: present.mean(0)),
        ("max", lambda present: present.max(0).values),
    ],
)
def test_at_each_position_only_the_modalities_that_have_the_token_count(name: Any, rule: Any, modalities: int) -> None:
    shapes = [TokenShape(tokens, 4) for tokens in (3, 1, 4, 2, 4)[:modalities]]
    inputs = [x - 5 for x in _inputs(shapes)]  # all negative: a padded zero would win a maximum

    fused = build_fusion(name, shapes)(inputs)

    assert fused.shape[1] == max(shape.tokens for shape in shapes)
    for n in range(fused.shape[1]):
        present = torch.stack([x[:, n] for x in inputs if n < x.shape[1]])
        torch.testing.assert_close(fused[:, n], rule(present))


@pytest.mark.parametrize("modalities", [1, 2, 3, 5])
def test_concatenation_keeps_every_token_in_order(modalities: int) -> None:
    shapes = [TokenShape(tokens, 4) for tokens in (3, 1, 4, 2, 4)[:modalities]]
    inputs = _inputs(shapes)

    fused = build_fusion("concat", shapes)(inputs)

    assert [token.tolist() for token in fused[0]] == [token.tolist() for x in inputs for token in x[0]]


@pytest.mark.parametrize("name", ALIKE)
def test_equal_widths_need_no_projection(name: Any) -> None:
    shapes = [TokenShape(3, 4), TokenShape(2, 4), TokenShape(3, 4)]

    assert list(build_fusion(name, shapes).parameters()) == []


@pytest.mark.parametrize("name", ALIKE)
def test_other_widths_are_projected_by_a_layer_of_their_own(name: Any) -> None:
    shapes = [TokenShape(2, 4), TokenShape(2, 6), TokenShape(2, 3)]

    fusion = build_fusion(name, shapes)

    assert sum(p.numel() for p in fusion.parameters()) == (4 * 6 + 6) + (3 * 6 + 6)
    assert sum(p.numel() for p in build_fusion(name, shapes, width=5).parameters()) == 5 * (4 + 6 + 3) + 15


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("sum", lambda filled: filled.sum(0)),
        ("mean", lambda filled: filled.mean(0)),
        ("max", lambda filled: filled.max(0).values),
    ],
)
def test_padding_counts_filled_zeros_as_the_released_code_does(name: Any, rule: Any) -> None:
    shapes = [TokenShape(3, 2), TokenShape(1, 4)]
    first, second = (x - 5 for x in _inputs(shapes))

    fusion = build_fusion(name, shapes, align="pad")

    filled = torch.zeros(2, 2, 3, 4)
    filled[0, :, :, :2] = first
    filled[1, :, :1] = second
    torch.testing.assert_close(fusion([first, second]), rule(filled))
    assert list(fusion.parameters()) == []


def test_padding_before_concatenation_fills_channels_only() -> None:
    shapes = [TokenShape(3, 2), TokenShape(1, 4)]
    first, second = _inputs(shapes)

    fused = build_fusion("concat", shapes, align="pad")([first, second])

    assert fused.shape == (2, 4, 4)
    assert torch.equal(fused[:, :3, :2], first)
    assert not fused[:, :3, 2:].any()
    assert torch.equal(fused[:, 3:], second)


@pytest.mark.parametrize("name", FUSIONS)
@settings(max_examples=15, deadline=None)
@given(shapes=SHAPES)
def test_gradient_reaches_every_input_and_parameter(name: Any, shapes: list[TokenShape]) -> None:
    fusion = build_fusion(name, shapes, width=7)
    inputs = [x.requires_grad_() for x in _inputs(shapes)]

    fused = fusion(inputs)
    (fused * torch.randn_like(fused)).sum().backward()

    assert all(x.grad is not None for x in inputs)
    assert all(p.grad is not None for p in fusion.parameters())
    if name != "max":  # where a modality never wins the maximum, its gradient is zero
        assert all(bool(p.grad.abs().sum() > 0) for p in fusion.parameters() if p.grad is not None)


@settings(max_examples=15, deadline=None)
@given(tokens=st.integers(1, 4), dim=st.integers(1, 5), modalities=st.integers(1, 5), seed=st.integers(0, 99))
def test_sum_mean_and_max_do_not_depend_on_the_order(tokens: int, dim: int, modalities: int, seed: int) -> None:
    torch.manual_seed(seed)
    shapes = [TokenShape(tokens, dim)] * modalities
    inputs = _inputs(shapes)

    for name in ("sum", "mean", "max"):
        fusion = build_fusion(name, shapes)  # type: ignore[arg-type]
        torch.testing.assert_close(fusion(inputs), fusion(inputs[::-1]))


def _linear(x: Tensor, layer: Any) -> Tensor:
    return layer.weight @ x + layer.bias


@torch.no_grad()
def test_the_bimodal_gate_weighs_two_modalities_against_each_other() -> None:
    a, b, width = 3, 4, 5
    gate = BimodalGate([TokenShape(2, a), TokenShape(1, b)], width=width)
    first, second = torch.randn(1, 2, a), torch.randn(1, 1, b)

    fused = gate([first, second])[0]

    z = torch.sigmoid(_linear(torch.cat([first[0, 0], second[0, 0]]), gate.gate))
    both = z * torch.tanh(_linear(first[0, 0], gate.values[0])) + (1 - z) * torch.tanh(
        _linear(second[0, 0], gate.values[1])
    )
    torch.testing.assert_close(fused[0], both)
    alone = torch.sigmoid(_linear(torch.cat([first[0, 1], torch.zeros(b)]), gate.gate))
    torch.testing.assert_close(fused[1], alone * torch.tanh(_linear(first[0, 1], gate.values[0])))
    size = a * width + width + b * width + width + (a + b) * width + width
    assert sum(p.numel() for p in gate.parameters()) == size


@torch.no_grad()
@pytest.mark.parametrize("modalities", [1, 3, 5])
def test_the_multimodal_gate_opens_or_closes_each_modality(modalities: int) -> None:
    shapes = [TokenShape(2, 3 + m) for m in range(modalities)]
    gate = build_fusion("gated", shapes, width=4)
    assert isinstance(gate, MultimodalGate)
    inputs = _inputs(shapes, batch=1)

    fused = gate(inputs)[0]

    for n in range(2):
        joint = torch.cat([x[0, n] for x in inputs])
        expected = torch.zeros(4)
        for m, x in enumerate(inputs):
            expected += torch.sigmoid(_linear(joint, gate.gates[m])) * torch.tanh(_linear(x[0, n], gate.values[m]))
        torch.testing.assert_close(fused[n], expected)


def test_two_modalities_are_gated_against_each_other() -> None:
    assert isinstance(build_fusion("gated", [TokenShape(2, 3)] * 2), BimodalGate)


def test_fusions_move_with_their_tables_to_another_device() -> None:
    shapes = [TokenShape(1, 3), TokenShape(2, 3)]

    for name in FUSIONS:
        fused = build_fusion(name, shapes).to("meta")([x.to("meta") for x in _inputs(shapes)])
        assert fused.device.type == "meta"
