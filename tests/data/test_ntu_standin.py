"""The stand-in of NTU RGB+D: the real file formats, the same bytes each time, and worth fusing."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_ntu import TINY
from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.batch import Split
from mmfuse.data import ntu
from mmfuse.data.ntu_avi import open_raw
from mmfuse.data.ntu_files import label_of, split_rows, subject_of, survey
from mmfuse.data.ntu_skeleton import read_skeleton
from mmfuse.data.ntu_standin import Recipe, ensure, perform


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = ensure(tmp_path / "first", TINY), ensure(tmp_path / "second", TINY)

    assert content(first) == content(second)
    assert len(content(first)) == 2 * 80


def test_it_is_made_once_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = ntu.Options(stand_in_classes=2, stand_in_repeats=1)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert ntu.load(tmp_path, options).label == "ntu (stand-in)"

    assert caplog.text.count("building the stand-in of NTU RGB+D") == 1
    assert "mmfuse data info ntu" in caplog.text


def test_other_recipes_lie_in_other_folders_and_give_other_data(tmp_path: Path) -> None:
    one, two = (ntu.Options(stand_in_classes=2, stand_in_repeats=1, stand_in_seed=seed) for seed in (0, 1))

    assert ntu.load(tmp_path, one).fingerprint != ntu.load(tmp_path, two).fingerprint
    assert len(list((tmp_path / "ntu-stand-in").glob("2-classes-*"))) == 2


def test_its_files_are_those_of_the_real_dataset(tmp_path: Path) -> None:
    surveyed = survey(ensure(tmp_path / "made", TINY))

    assert surveyed.report() == ()
    assert [clip.key for clip in surveyed.clips] == sorted(TINY.keys())
    clip = surveyed.clips[0]
    skeleton, video = read_skeleton(clip.skeleton), open_raw(clip.video)
    assert video is not None and (video.height, video.width) == (32, 32)
    assert skeleton.places.shape[1] == len(video)
    people, frames = perform(clip.key, TINY)
    np.testing.assert_allclose(skeleton.places[..., 0], people[0].transpose(2, 0, 1), atol=1e-4)
    assert all(np.array_equal(video.frame(number), frames[number]) for number in range(len(frames)))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 9))
def test_every_class_can_be_performed_by_everybody(subject: int, action: int, repeat: int) -> None:
    recipe = Recipe(classes=60)

    people, frames = perform(f"S001C001P{subject:03d}R{repeat:03d}A{action:03d}", recipe)

    assert len(people) in (1, 2)
    assert all(body.shape == (len(frames), 25, 3) and np.isfinite(body).all() for body in people)
    assert recipe.fewest_frames <= len(frames) <= recipe.most_frames
    assert frames.shape[1:] == (32, 32, 3) and frames.std() > 10


def test_classes_with_one_movement_have_one_skeleton_and_three_colours() -> None:
    calm = Recipe(classes=60, joint_noise=0.0, pixel_noise=0.0, bystanders=0.0)
    spread = [np.ptp(perform(f"S001C001P001R001A{action:03d}", calm)[0][0], axis=0).max(1) for action in (1, 2, 3, 4)]

    moving = [set(np.flatnonzero(each > 0.15).tolist()) for each in spread]

    assert moving[0] == moving[1] == moving[2] == {9, 10, 11, 23, 24}
    assert moving[3] == {5, 6, 7, 21, 22}


def test_all_60_classes_and_40_subjects_are_dealt_evenly() -> None:
    keys = Recipe(classes=60, repeats=1).keys()
    rows = split_rows(keys, train="all")

    assert {subject_of(key) for key in keys} == set(range(1, 41))
    for members in rows.values():
        assert set(np.bincount([label_of(keys[row]) for row in members])) in ({16}, {4}, {20})


def limbs(split: Split) -> Tensor:
    """How far each joint of the first person moves: (N, 25), which tells movements and nothing of objects."""
    skeletons = split.all().inputs["skeleton"][..., 0]
    return skeletons.std(dim=2).norm(dim=1)


class Watcher(nn.Module):
    """A small convolution network on frames that lie side by side as channels."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(24, 32, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(32),
            nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(), nn.BatchNorm2d(32), nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
        )  # fmt: skip
        self.feel = nn.Sequential(nn.Linear(25, 64), nn.ReLU())
        self.heads = nn.ModuleDict(
            {"video": nn.Linear(128, 12), "skeleton": nn.Linear(64, 12), "both": nn.Linear(192, 12)}
        )

    def forward(self, video: Tensor, moves: Tensor) -> dict[str, Tensor]:
        seen, felt = self.see(video.flatten(1, 2)), self.feel(moves)
        fused = self.heads["both"](torch.cat([seen, felt], dim=1))
        return {"video": self.heads["video"](seen), "skeleton": self.heads["skeleton"](felt), "both": fused}


@pytest.mark.slow
def test_fusion_beats_each_modality_clearly(tmp_path: Path) -> None:
    splits = ntu.load(tmp_path, ntu.Options())
    train, test = splits.train.materialise(), splits.open_test().materialise()
    video, moves = train.inputs["video"], limbs(train)
    mean, std = moves.mean(0), moves.std(0) + 1e-3  # the spine moves nowhere
    torch.manual_seed(0)
    model = Watcher()
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05)
    for _ in range(10):
        for index in torch.randperm(len(train)).split(32):
            outputs = model(video[index], (moves[index] - mean) / std)
            optimiser.zero_grad()
            torch.stack([F.cross_entropy(each, train.target[index]) for each in outputs.values()]).sum().backward()
            optimiser.step()
    model.eval()
    with torch.no_grad():
        outputs = model(test.inputs["video"], (limbs(test) - mean) / std)

    right = {name: float((each.argmax(1) == test.target).float().mean()) for name, each in outputs.items()}

    assert 0.25 < right["skeleton"] < 0.45  # the movement, and a guess at which of three objects
    assert 0.2 < right["video"] < 0.6  # the object, and mostly a guess at which of four movements
    assert right["both"] > max(right["skeleton"], right["video"]) + 0.2
