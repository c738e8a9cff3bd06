"""The inflated ResNet: the published size, a 2-D network inside a 3-D one, and weights from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from mmfuse.architecture import Architecture
from mmfuse.backbones import BackboneChoice, tap_widths
from mmfuse.errors import BadSpec, CheckpointMismatch, DataInvalid, DataMissing
from mmfuse.models import inflated_resnet
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_parameters
from mmfuse.models.inflated_resnet import InflatedResnet, inflate, load_imagenet
from mmfuse.task import Modality, Task

SMALL = {"width": 4, "depths": [1, 2, 1, 1]}


def task_of(frames: int = 4, side: int = 32) -> Task:
    return Task("ntu", "multiclass", (Modality("video", "video", (3, frames, side, side)),), 60, "accuracy")


def resnet(**params: Any) -> InflatedResnet:
    torch.manual_seed(0)
    return cast(InflatedResnet, build_model(Architecture("inflated_resnet", SMALL | params), task_of()))


def flat_weights(model: InflatedResnet) -> dict[str, Tensor]:
    """A 2-D network of the model's size under torchvision's names, its values drawn anew."""
    generator = torch.Generator().manual_seed(1)
    names = {"stem.0": "conv1", "stem.1": "bn1"} | {f"stages.{stage}": f"layer{stage + 1}" for stage in range(4)}
    state = {"fc.weight": torch.zeros(1000, 128), "fc.bias": torch.zeros(1000)}
    for name, value in model.state_dict().items():
        if name.startswith("head."):
            continue
        ours = next(prefix for prefix in names if name.startswith(prefix))
        shape = (*value.shape[:2], *value.shape[3:]) if value.dim() == 5 else value.shape
        drawn = torch.rand(shape, generator=generator) * 0.3 + 0.1
        state[names[ours] + name.removeprefix(ours)] = drawn if value.is_floating_point() else torch.tensor(7)
    return state


def test_the_published_size_and_widths() -> None:
    choice = BackboneChoice(family="inflated_resnet")

    assert count_parameters(build_model(choice.architecture, task_of())) == 46_265_468
    assert tap_widths(choice, task_of()) == (512, 1024, 2048, 2048)


@pytest.mark.parametrize("side", [7, 16, 33, 64])
def test_frames_of_any_size_go_through(side: int) -> None:
    taps = resnet().eval().taps(torch.randn(2, 3, 4, side, side))

    assert [tap.shape[1] for tap in taps] == [32, 64, 128, 128]
    assert all(bool(tap.isfinite().all()) for tap in taps)


def test_time_is_never_shortened_and_space_halved_by_every_stage_but_the_first() -> None:
    model, shapes = resnet(), []
    for stage in model.stages:
        stage.register_forward_hook(lambda _, __, maps: shapes.append(tuple(maps.shape[1:])))

    model.taps(torch.randn(1, 3, 6, 64, 64))

    assert shapes == [(16, 6, 16, 16), (32, 6, 8, 8), (64, 6, 4, 4), (128, 6, 2, 2)]


def test_the_fourth_tap_is_the_third() -> None:
    taps = resnet().eval().taps(torch.randn(2, 3, 4, 32, 32))

    assert torch.equal(taps[2], taps[3])


def test_an_inflated_network_sees_a_still_picture_in_each_frame_as_the_flat_one_does(tmp_path: Path) -> None:
    model = resnet().eval()
    state = flat_weights(model)
    torch.save(state, tmp_path / "resnet.pth")

    load_imagenet(model, tmp_path / "resnet.pth")

    clip = torch.randn(2, 3, 4, 32, 32)
    moving = model.taps(clip)
    for number in range(4):
        still = model.taps(clip[:, :, number : number + 1].expand(-1, -1, 4, -1, -1))
        alone = flat_taps(state, clip[:, :, number])
        for tap, wanted in zip(still, alone, strict=True):
            torch.testing.assert_close(tap, wanted, rtol=1e-4, atol=1e-4)
    average = [flat_taps(state, clip[:, :, number]) for number in range(4)]
    for tap, frames in zip(moving, zip(*average, strict=True), strict=True):
        torch.testing.assert_close(tap, torch.stack(frames).mean(0), rtol=1e-4, atol=1e-4)


def flat_taps(state: dict[str, Tensor], picture: Tensor) -> list[Tensor]:
    """A plain 2-D ResNet of the small size, written with the functions of torch alone."""

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return nn.functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return nn.functional.batch_norm(x, mean, var, weight, bias)

    x = nn.functional.max_pool2d(norm(conv(picture, "conv1", 2), "bn1").relu(), 3, 2, 1)
    taps = []
    for stage, depth in enumerate(SMALL["depths"], start=1):  # type: ignore[arg-type]
        for block in range(depth):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            inside = norm(conv(x, f"{name}.conv1"), f"{name}.bn1").relu()
            inside = norm(conv(inside, f"{name}.conv2", stride), f"{name}.bn2").relu()
            inside = norm(conv(inside, f"{name}.conv3"), f"{name}.bn3")
            if block == 0:
                x = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            x = (inside + x).relu()
        if stage > 1:
            taps.append(x.mean((2, 3)))
    return [*taps, taps[-1]]


def test_a_kernel_is_inflated_into_the_middle_among_zeros() -> None:
    kernel = torch.randn(5, 4, 3, 3)

    inflated = inflate(kernel, like=torch.empty(5, 4, 3, 3, 3))

    assert torch.equal(inflated[:, :, 1], kernel)
    assert not inflated[:, :, [0, 2]].any()
    assert torch.equal(inflate(kernel, like=torch.empty(5, 4, 3, 3)), kernel)


def test_the_weights_file_is_read_when_a_training_begins_and_not_when_the_model_is_built(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    model = resnet(imagenet=str(path))
    head = model.head.weight.clone()  # type: ignore[union-attr,operator]
    torch.save(flat_weights(model), path)

    model.load_initial_weights()

    assert torch.equal(model.stem[0].weight, torch.load(path)["conv1.weight"])
    assert torch.equal(model.head.weight, head)  # type: ignore[union-attr,arg-type]
    resnet().load_initial_weights()


def test_files_of_before_the_batch_counter_are_read(tmp_path: Path) -> None:
    model = resnet()
    state = {name: value for name, value in flat_weights(model).items() if "num_batches" not in name}
    torch.save(state, tmp_path / "old.pth")

    load_imagenet(model, tmp_path / "old.pth")

    assert torch.equal(model.stem[0].weight, state["conv1.weight"])


def test_a_weights_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    with pytest.raises(DataMissing, match="no file of ImageNet weights"):
        load_imagenet(resnet(), path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataInvalid, match=r"is no state dict that can be read"):
        load_imagenet(resnet(), path)
    torch.save([1, 2], path)
    with pytest.raises(DataInvalid, match=r"is no state dict that can be read"):
        load_imagenet(resnet(), path)
    torch.save(flat_weights(resnet(width=8)), path)
    with pytest.raises(CheckpointMismatch, match=r"does not fit a ResNet of this width and depth: \d+ tensors differ"):
        load_imagenet(resnet(), path)
    torch.save(flat_weights(resnet(depths=[2, 2, 1, 1])), path)
    with pytest.raises(CheckpointMismatch, match=r"stages.0.1"):
        load_imagenet(resnet(), path)


def test_many_clips_are_passed_in_parts_where_no_gradient_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    model, clips = resnet().eval(), torch.randn(5, 3, 4, 16, 16)
    whole, sizes = model.taps(clips), []
    monkeypatch.setattr(inflated_resnet, "AT_ONCE", 2)
    model.stem.register_forward_hook(lambda _, given, __: sizes.append(len(given[0]) // 4))

    with torch.no_grad():
        parts = model.taps(clips)

    assert sizes == [2, 2, 1]
    for one, other in zip(parts, whole, strict=True):
        torch.testing.assert_close(one, other)


def test_frames_are_chosen_evenly_and_never_beyond_the_clip() -> None:
    numbers = torch.arange(24.0).reshape(1, 1, 24, 1, 1).expand(300, 3, 24, 2, 2)
    model = resnet(frames=8, crop=True)

    evenly = model.eval()._timed(numbers)[0, 0, :, 0, 0]
    seen = model.train()._timed(numbers)[:, 0, :, 0, 0]

    assert evenly.tolist() == [0, 3, 6, 9, 13, 16, 19, 23]
    spans = seen[:, -1] - seen[:, 0]
    assert float(spans.min()) >= 11 and float(spans.max()) <= 23
    assert float(spans.min()) < 14 and float(spans.max()) > 20
    assert bool((seen[:, 0] + seen[:, -1] - 23).abs().max() <= 1)


def test_what_it_cannot_read_is_refused_in_a_sentence() -> None:
    grid = Task("toy", "multiclass", (Modality("video", "grid", (3, 8, 8)),), 2, "accuracy")
    with pytest.raises(BadSpec, match=r"reads videos \(C, T, H, W\), and video of toy is a grid"):
        build_model(Architecture("inflated_resnet", {}), grid)
    with pytest.raises(BadSpec, match="ntu has no modality 'rgb'"):
        build_model(Architecture("inflated_resnet", {"modality": "rgb"}), task_of())
