"""MFAS's backbones for AV-MNIST: published sizes, and taps taken where the published code takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import nn

from mmfuse.architecture import Architecture
from mmfuse.backbones import BackboneChoice, check_backbone, choose_backbones, tap_widths, tapped_families
from mmfuse.errors import BadSpec, UnknownName
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_parameters
from mmfuse.models.lenet import LeNet
from mmfuse.registry import DATASETS
from mmfuse.task import Modality, Task

TASK = Task(
    "avmnist",
    "multiclass",
    (Modality("image", "grid", (1, 28, 28)), Modality("audio", "grid", (1, 112, 112))),
    10,
    "accuracy",
)


def lenet(family: str, **params: Any) -> LeNet:
    torch.manual_seed(0)
    return cast(LeNet, build_model(Architecture(family, params), TASK))


@pytest.mark.parametrize(
    ("family", "channels", "count"),
    [
        *[("lenet_image", c, n) for c, n in ((3, 1_057), (6, 3_724), (8, 6_402), (16, 24_314), (24, 53_746))],
        ("lenet_image", 32, 94_698),
        *[("lenet_audio", c, n) for c, n in ((3, 14_521), (6, 56_572), (8, 99_906), (16, 395_642), (24, 887_218))],
        ("lenet_audio", 32, 1_574_634),
    ],
)
def test_a_backbone_has_the_published_size(family: str, channels: int, count: int) -> None:
    assert count_parameters(lenet(family, channels=channels)) == count


@pytest.mark.parametrize(("family", "side", "blocks"), [("lenet_image", 28, 3), ("lenet_audio", 112, 5)])
def test_taps_are_the_averages_of_the_maps_before_their_maximum(family: str, side: int, blocks: int) -> None:
    model = lenet(family).eval()
    maps: list[torch.Tensor] = []
    for block in model.blocks:
        block.register_forward_hook(lambda module, given, features: maps.append(features))

    taps = model.taps(torch.randn(2, 1, side, side))

    assert [features.shape[-1] for features in maps] == [side // 2**k for k in range(blocks)]
    assert [tap.shape[1] for tap in taps] == list(tap_widths(BackboneChoice(family=family), TASK))
    for tap, features in zip(taps, maps, strict=True):
        torch.testing.assert_close(tap, features.mean((2, 3)))


def test_the_published_audio_net_takes_its_first_tap_after_the_maximum_and_only_that_one() -> None:
    plain, pooled = lenet("lenet_audio").eval(), lenet("lenet_audio", first_tap="pooled").eval()
    inputs = torch.randn(2, 1, 112, 112)

    ours, theirs = plain.taps(inputs), pooled.taps(inputs)

    torch.testing.assert_close(theirs[0], nn.MaxPool2d(2)(plain.blocks[0](inputs)).mean((2, 3)))
    assert not torch.allclose(ours[0], theirs[0])
    assert all(torch.equal(one, other) for one, other in zip(ours[1:], theirs[1:], strict=True))


def test_the_head_reads_the_last_tap() -> None:
    model = lenet("lenet_image").eval()
    taps = model.taps(torch.randn(3, 1, 28, 28))
    head = cast(nn.Linear, model.head)

    torch.testing.assert_close(model.predict(taps), taps[-1] @ head.weight.T + head.bias)


def test_a_trimmed_backbone_has_the_same_taps_and_nothing_more() -> None:
    model, inputs = lenet("lenet_audio").eval(), torch.randn(2, 1, 112, 112)
    whole = model.taps(inputs)

    model.trim(2)

    taps = model.taps(inputs)
    assert len(taps) == 3
    assert all(torch.equal(one, other) for one, other in zip(taps, whole, strict=False))
    assert all(name.startswith("blocks.") for name, _ in model.named_parameters())


def test_a_grid_too_small_to_be_halved_is_refused_with_the_size_it_needs() -> None:
    small = Task("toy", "multiclass", (Modality("audio", "grid", (1, 8, 8)),), 4, "accuracy")

    with pytest.raises(BadSpec, match=r"halves its input 4 times.*\(1, 8, 8\)") as caught:
        build_model(Architecture("lenet_audio", {}), small)

    assert "16 x 16" in caught.value.hint


def test_backbones_are_named_after_their_modality_unless_one_is_given() -> None:
    given = {"audio": BackboneChoice(family="lenet_image", params={"modality": "audio"})}

    chosen = choose_backbones(TASK, given)

    assert {name: choice.family for name, choice in chosen.items()} == {"image": "lenet_image", "audio": "lenet_image"}
    assert choose_backbones(TASK, {}, modalities=["audio"])["audio"].family == "lenet_audio"


def test_a_datasets_own_backbones_come_before_the_lenets_and_after_those_given(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = {name: {"family": "lenet_image", "params": {"channels": 7}} for name in ("image", "audio")}
    monkeypatch.setattr(DATASETS.declaration("avmnist"), "BACKBONES", declared, raising=False)
    elsewhere = replace(TASK, name="no registered dataset")

    chosen = choose_backbones(TASK, {"image": BackboneChoice(family="lenet_audio")})

    assert (chosen["image"].family, chosen["image"].params) == ("lenet_audio", {"modality": "image"})
    assert (chosen["audio"].family, chosen["audio"].params) == ("lenet_image", {"channels": 7, "modality": "audio"})
    assert choose_backbones(elsewhere, {})["audio"].family == "lenet_audio"


def test_a_dataset_whose_backbone_is_malformed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        DATASETS.declaration("avmnist"), "BACKBONES", {"image": {"famly": "lenet_image"}}, raising=False
    )

    with pytest.raises(BadSpec, match=r"backbone of image in dataset avmnist: .*unknown option 'famly'"):
        choose_backbones(TASK, {})


def test_a_modality_without_a_backbone_asks_for_one() -> None:
    with pytest.raises(BadSpec, match="no backbone is known for modality 'text'"):
        choose_backbones(TASK, {}, modalities=["image", "text"])
    with pytest.raises(BadSpec, match="'video', which is not fused"):
        choose_backbones(TASK, {"video": BackboneChoice(family="lenet_image")})


def test_only_models_with_taps_can_be_backbones() -> None:
    with pytest.raises(BadSpec, match="mixmas declares no taps") as caught:
        tap_widths(BackboneChoice(family="mixmas"), TASK)
    assert caught.value.hint == f"known: {', '.join(tapped_families())}"
    assert {"lenet_audio", "lenet_image"} <= set(tapped_families())

    with pytest.raises(UnknownName, match="no model named 'lenet'"):
        tap_widths(BackboneChoice(family="lenet"), TASK)


def test_a_backbone_must_read_the_modality_it_is_chosen_for() -> None:
    with pytest.raises(BadSpec, match="lenet_image of audio reads image"):
        check_backbone(BackboneChoice(family="lenet_image"), TASK, "audio")
