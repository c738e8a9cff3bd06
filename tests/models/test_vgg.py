"""VGG-19: torchvision's layers and weights, the published taps, and sizes for a CPU."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from mmfuse.architecture import Architecture
from mmfuse.backbones import BackboneChoice, tap_widths
from mmfuse.errors import BadSpec, CheckpointMismatch, DataInvalid, DataMissing
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_parameters
from mmfuse.task import Modality, Task

TASK = Task("films", "multilabel", (Modality("image", "grid", (3, 32, 32)),), 23, "f1_weighted")
SMALL = {"width": 2, "convolutions": [1, 1, 1, 2, 2]}


def vgg(*, seed: int = 0, **params: Any) -> Any:
    torch.manual_seed(seed)
    return build_model(Architecture("vgg", params), TASK)


def begun(**params: Any) -> Any:
    """The model as a training begins with it."""
    model = vgg(seed=2, **params)
    model.load_initial_weights()
    return model


def meta_vgg(**params: Any) -> Any:
    with torch.device("meta"):
        return build_model(Architecture("vgg", params), TASK)


def test_the_published_network_has_torchvisions_convolutions_and_a_small_head() -> None:
    model = meta_vgg()

    assert count_parameters(model.features) == 20_024_384
    assert count_parameters(model.head) == 2 * 512 + 512 * 23 + 23
    assert count_parameters(model) == 20_037_207
    assert count_parameters(meta_vgg(norm=True).features) == 20_024_384 + 2 * 5_504


def test_taps_are_averages_behind_layers_20_26_33_and_36() -> None:
    model = vgg(width=2)
    inputs = torch.randn(2, 3, 64, 64)

    taps = model.taps(inputs)

    for place, tap in zip((20, 26, 33, 36), taps, strict=True):
        torch.testing.assert_close(tap, model.features[: place + 1](inputs).mean((2, 3)))
    kinds = [type(model.features[place]) for place in (20, 26, 33, 36)]
    assert kinds == [nn.ReLU, nn.ReLU, nn.ReLU, nn.MaxPool2d]
    assert tap_widths(BackboneChoice(family="vgg"), TASK) == (512, 512, 512, 512)


def test_the_order_of_layers_is_torchvisions() -> None:
    convolutions = [n for n, layer in enumerate(meta_vgg().features) if isinstance(layer, nn.Conv2d)]
    with_norm = [n for n, layer in enumerate(meta_vgg(norm=True).features) if isinstance(layer, nn.Conv2d)]

    assert convolutions == [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    assert with_norm == [0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49]


def test_smaller_networks_tap_the_same_places() -> None:
    model = vgg(**SMALL)

    assert [tuple(tap.shape) for tap in model.taps(torch.randn(2, 3, 32, 32))] == [(2, 16)] * 4
    assert [type(model.features[place]) for place in model.places] == [nn.ReLU, nn.ReLU, nn.ReLU, nn.MaxPool2d]


@pytest.mark.parametrize("norm", [False, True])
def test_weights_come_from_a_file_as_torchvision_saves_it(tmp_path: Path, norm: bool) -> None:
    donor = vgg(seed=1, norm=norm, **SMALL)
    state = {f"features.{name}": value for name, value in donor.features.state_dict().items()}
    torch.save(state | {"classifier.0.weight": torch.zeros(2, 2)}, tmp_path / "vgg.pth")

    model = begun(norm=norm, weights=str(tmp_path / "vgg.pth"), **SMALL)

    inputs = torch.randn(2, 3, 32, 32)
    assert all(
        torch.equal(one, other) for one, other in zip(model.eval().taps(inputs), donor.eval().taps(inputs), strict=True)
    )


def test_a_file_that_is_gone_does_not_keep_a_trained_model_from_being_built() -> None:
    trained, rebuilt = vgg(**SMALL), vgg(seed=5, weights="/gone/vgg.pth", **SMALL)

    rebuilt.load_state_dict(trained.state_dict())

    assert torch.equal(rebuilt.features[0].weight, trained.features[0].weight)


def test_files_of_other_networks_or_none_are_refused_in_a_sentence(tmp_path: Path) -> None:
    wide = vgg(width=4, convolutions=SMALL["convolutions"])
    torch.save({f"features.{k}": v for k, v in wide.features.state_dict().items()}, tmp_path / "wide.pth")
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 not a file")
    torch.save([1, 2], tmp_path / "list.pth")

    with pytest.raises(CheckpointMismatch, match=r"features\.0\.\w+ is shape .*4.*, the model has .*2"):
        begun(weights=str(tmp_path / "wide.pth"), **SMALL)
    with pytest.raises(DataInvalid, match="not a readable file of weights"):
        begun(weights=str(tmp_path / "broken.pth"), **SMALL)
    with pytest.raises(DataInvalid, match="holds a list, not a state dict"):
        begun(weights=str(tmp_path / "list.pth"), **SMALL)
    with pytest.raises(DataMissing, match="there is no file of weights"):
        begun(weights=str(tmp_path / "absent.pth"), **SMALL)


def test_frozen_convolutions_neither_learn_nor_drift(tmp_path: Path) -> None:
    donor = vgg(norm=True, **SMALL)
    path = tmp_path / "vgg.pth"
    torch.save({f"features.{k}": v for k, v in donor.features.state_dict().items()}, path)
    model = begun(weights=str(path), frozen=True, norm=True, **SMALL).train()
    before = {name: value.clone() for name, value in model.features.state_dict().items()}

    model.predict(model.taps(torch.randn(4, 3, 32, 32))).sum().backward()

    assert all(torch.equal(value, before[name]) for name, value in model.features.state_dict().items())
    assert all(value.grad is None for value in model.features.parameters())
    assert cast(nn.Linear, model.head[1]).weight.grad is not None
    with pytest.raises(BadSpec, match="frozen random weights"):
        vgg(frozen=True, **SMALL)


def test_a_poster_too_small_for_five_halvings_is_refused() -> None:
    small = Task("films", "multilabel", (Modality("image", "grid", (3, 16, 16)),), 23, "f1_weighted")

    with pytest.raises(BadSpec, match="halves its input 5 times") as caught:
        build_model(Architecture("vgg", SMALL), small)
    assert "32 x 32" in caught.value.hint
