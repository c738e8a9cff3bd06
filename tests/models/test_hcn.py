"""HCN: the published sizes and shapes, and the layers that a hand-made forward pass through them checks."""

from __future__ import annotations

import warnings
from typing import Any, cast

import pytest
import torch
from torch.nn import functional as F

from mmfuse.architecture import Architecture
from mmfuse.backbones import BackboneChoice, tap_widths
from mmfuse.errors import BadSpec
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_parameters
from mmfuse.models.hcn import Hcn
from mmfuse.task import Modality, Task


def task_of(frames: int) -> Task:
    return Task("ntu", "multiclass", (Modality("skeleton", "skeleton", (3, frames, 25, 2)),), 60, "accuracy")


def hcn(given: int = 32, **params: Any) -> Hcn:
    torch.manual_seed(0)
    return cast(Hcn, build_model(Architecture("hcn", params), task_of(given)))


def test_the_published_size_at_32_frames() -> None:
    assert count_parameters(hcn()) == 1_062_652


@pytest.mark.parametrize(
    ("frames", "widths"),
    [
        (8, (128, 256, 256, 512)),
        (16, (128, 256, 256, 512)),
        (32, (128, 256, 1024, 512)),
        (64, (128, 256, 4096, 512)),
    ],
)
def test_the_width_of_the_third_tap_follows_the_number_of_frames(frames: int, widths: tuple[int, ...]) -> None:
    assert tap_widths(BackboneChoice(family="hcn"), task_of(frames)) == widths


@pytest.mark.parametrize("frames", [8, 12, 15, 16, 23, 31, 33, 48])
def test_declared_widths_are_those_of_the_taps_at_any_number_of_frames(frames: int) -> None:
    model = hcn(frames, width=4).eval()

    taps = model.taps(torch.randn(2, 3, frames, 25, 2))

    choice = BackboneChoice(family="hcn", params={"width": 4})
    assert tuple(tap.shape[1] for tap in taps) == tap_widths(choice, task_of(frames))


def test_maps_have_the_published_shapes() -> None:
    model, shapes = hcn().eval(), []
    watched = [model.position.over_time[0], model.position.over_time, model.position.over_joints[1]]
    for module in [*watched, model.position, model.fifth, model.sixth, model.hidden]:
        module.register_forward_hook(lambda _, __, made: shapes.append(tuple(made.shape[1:])))

    model.taps(torch.randn(1, 3, 32, 25, 2))

    published = [(64, 32, 25), (32, 32, 25), (32, 16, 16), (64, 8, 8), (128, 4, 4), (256, 2, 2), (512,)]
    assert shapes == published


def test_taps_are_those_of_the_layers_spelled_out() -> None:
    model = hcn(16, width=4).eval()
    skeletons = torch.randn(2, 3, 16, 25, 2)

    def branch(name: str, person: torch.Tensor) -> torch.Tensor:
        weights = {key.removeprefix(f"{name}."): value for key, value in model.state_dict().items()}
        get = lambda layer: (weights[f"{layer}.weight"], weights[f"{layer}.bias"])  # noqa: E731
        hidden = F.conv2d(person, *get("over_time.0")).relu()
        hidden = F.conv2d(hidden, *get("over_time.2"), padding=(1, 0)).permute(0, 3, 2, 1)
        hidden = F.max_pool2d(F.conv2d(hidden, *get("over_joints.0"), padding=1), 2)
        return F.max_pool2d(F.conv2d(hidden, *get("over_joints.2"), padding=1), 2)

    fifths, sixths = [], []
    for number in range(2):
        person = skeletons[..., number]
        steps = person[:, :, 1:] - person[:, :, :-1]
        motion = F.interpolate(steps, size=(16, 25), mode="bilinear", align_corners=False)
        both = torch.cat([branch("position", person), branch("motion", motion)], dim=1)
        fifths.append(F.max_pool2d(model.fifth[0](both).relu(), 2))
        sixths.append(F.max_pool2d(model.sixth[0](fifths[-1]).relu(), 2))
    fifth, sixth = torch.maximum(*fifths), torch.maximum(*sixths)
    flat = sixth.flatten(1)
    wanted = [fifth.mean((2, 3)), sixth.mean((2, 3)), flat, model.hidden[0](flat).relu()]

    for tap, by_hand in zip(model.taps(skeletons), wanted, strict=True):
        torch.testing.assert_close(tap, by_hand)


def test_persons_may_change_places() -> None:
    model = hcn(16, width=4).eval()
    skeletons = torch.randn(2, 3, 16, 25, 2)

    for one, other in zip(model.taps(skeletons), model.taps(skeletons.flip(4)), strict=True):
        torch.testing.assert_close(one, other)


def test_training_says_nothing_about_dropout_on_vectors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hcn(16, width=4).train().taps(torch.randn(4, 3, 16, 25, 2))


def test_weights_begin_by_xaviers_rule_and_biases_at_zero() -> None:
    model = hcn()
    linear = model.hidden[0]

    assert float(linear.weight.detach().abs().max()) <= (6 / (1024 + 512)) ** 0.5
    assert all(not value.any() for name, value in model.named_parameters() if name.endswith("bias"))


def test_resampling_is_linear_interpolation_over_time() -> None:
    model = hcn(given=48, width=4, frames=16).eval()
    skeletons = torch.randn(2, 3, 48, 25, 2)
    flat = skeletons.permute(0, 1, 4, 2, 3).flatten(1, 2)
    halved = F.interpolate(flat, size=(16, 25), mode="bilinear", align_corners=False)
    resampled = halved.unflatten(1, (3, 2)).permute(0, 1, 3, 4, 2)

    taps = model.taps(skeletons)

    assert tuple(tap.shape[1] for tap in taps) == (8, 16, 16, 32)
    for one, other in zip(taps, model.taps(resampled), strict=True):
        torch.testing.assert_close(one, other)


def test_cropping_shows_other_stretches_in_training_only() -> None:
    model = hcn(16, width=4, crop=True, dropout=0.0)
    time = torch.arange(16.0).reshape(1, 1, 16, 1, 1).expand(200, 3, 16, 25, 2)

    seen = model.train()._timed(time)[:, 0, :, 0, 0]

    spans = (seen[:, -1] - seen[:, 0]) / 15
    assert seen.min() >= 0 and seen.max() <= 15
    assert 0.45 < float(spans.min()) < 0.6 and 0.9 < float(spans.max()) <= 1.0
    assert model.eval()._timed(time) is time


def test_what_it_cannot_read_is_refused_in_a_sentence() -> None:
    with pytest.raises(BadSpec, match="needs at least 8 frames, and skeleton has 6"):
        hcn(6)
    grid = Task("toy", "multiclass", (Modality("skeleton", "grid", (3, 8, 8)),), 2, "accuracy")
    with pytest.raises(BadSpec, match=r"reads skeletons \(C, T, V, M\), and skeleton of toy is a grid"):
        build_model(Architecture("hcn", {}), grid)
    with pytest.raises(BadSpec, match="ntu has no modality 'pose'") as caught:
        build_model(Architecture("hcn", {"modality": "pose"}), task_of(32))
    assert "--set modality=skeleton" in caught.value.hint
