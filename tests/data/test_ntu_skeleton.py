"""Skeletons of NTU RGB+D: read as they are written, centred, resampled; damaged files refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse.data.ntu_skeleton import centred, filled, read_skeleton, resampled
from mmfuse.data.ntu_standin import skeleton_text
from mmfuse.errors import DataInvalid


def people(count: int, *, frames: int = 4, seed: int = 0) -> list[np.ndarray]:
    """Joints (T, 25, 3) with four decimals, as files hold them."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(-2, 2, (frames, 25, 3)).round(4) for _ in range(count)]


def write(folder: Path, text: str) -> Path:
    path = folder / "S001C001P001R001A001.skeleton"
    path.write_text(text)
    return path


def test_places_are_read_as_coordinates_frames_joints_persons(tmp_path: Path) -> None:
    one, two = people(2)

    skeleton = read_skeleton(write(tmp_path, skeleton_text([one, two])))

    assert skeleton.places.shape == (3, 4, 25, 2)
    np.testing.assert_allclose(skeleton.places[..., 0], one.transpose(2, 0, 1), atol=1e-6)
    np.testing.assert_allclose(skeleton.places[..., 1], two.transpose(2, 0, 1), atol=1e-6)
    assert skeleton.present.all() and skeleton.most == 2


def test_a_third_person_is_counted_and_left_out(tmp_path: Path) -> None:
    three = people(3)

    skeleton = read_skeleton(write(tmp_path, skeleton_text(three)))

    assert skeleton.most == 3
    both = read_skeleton(write(tmp_path, skeleton_text(three[:2])))
    assert np.array_equal(skeleton.places, both.places)


def test_people_come_and_go(tmp_path: Path) -> None:
    (one,) = people(1, frames=1)
    block = skeleton_text([one]).split("\n", 1)[1]

    skeleton = read_skeleton(write(tmp_path, "3\n0\n" + block + "0\n"))

    assert skeleton.present.tolist() == [[False, False], [True, False], [False, False]]
    assert not skeleton.places[:, [0, 2]].any()


def test_everybody_is_placed_relative_to_the_first_ones_spine_and_who_is_absent_stays_zero(tmp_path: Path) -> None:
    one, two = people(2)
    both = read_skeleton(write(tmp_path, skeleton_text([one, two])))
    alone = read_skeleton(write(tmp_path, skeleton_text([one])))
    spine = one[:, 1:2]

    np.testing.assert_allclose(centred(both)[..., 0], (one - spine).transpose(2, 0, 1), atol=1e-5)
    np.testing.assert_allclose(centred(both)[..., 1], (two - spine).transpose(2, 0, 1), atol=1e-5)
    assert not centred(alone)[..., 1].any()
    minus_spine = np.broadcast_to(-spine, one.shape).transpose(2, 0, 1)
    np.testing.assert_allclose(centred(alone, compat=True)[..., 1], minus_spine, atol=1e-5)


def test_a_joint_without_a_number_comes_to_lie_on_the_spine(tmp_path: Path) -> None:
    (one,) = people(1)
    gap = one.copy()
    gap[2, 7, 0] = np.nan
    skeleton = read_skeleton(write(tmp_path, skeleton_text([gap])))

    moved = centred(skeleton)

    assert np.isfinite(moved).all() and moved[0, 2, 7, 0] == 0.0
    assert centred(skeleton, compat=True)[0, 2, 7, 0] == pytest.approx(-one[2, 1, 0], abs=1e-5)
    assert np.isfinite(filled(skeleton.places)).all()


@settings(deadline=None)
@given(st.integers(1, 120), st.integers(1, 64))
def test_resampling_is_torchs_linear_interpolation(frames: int, length: int) -> None:
    places = np.random.default_rng(frames).standard_normal((3, frames, 2, 2)).astype(np.float32)
    rows = torch.from_numpy(places).permute(0, 2, 3, 1).reshape(1, 12, frames)
    wanted = torch.nn.functional.interpolate(rows, size=length, mode="linear", align_corners=False)

    made = resampled(places, length)

    assert made.shape == (3, length, 2, 2) and made.dtype == np.float32
    np.testing.assert_allclose(made, wanted.reshape(3, 2, 2, length).permute(0, 3, 1, 2).numpy(), atol=1e-4)


def test_a_damaged_file_is_refused_in_one_sentence_that_names_it(tmp_path: Path) -> None:
    good = skeleton_text(people(1))
    lines = good.split("\n")
    cases = {
        "": "ends at line 0, where frames should follow",
        "0\n": "shows nobody in its 0 frames",
        "2\n0\n0\n": "shows nobody in its 2 frames",
        "\n".join(lines[:40]): "ends at line 40, where joints should follow",
        "\n".join(lines[:29]): "ends at line 29, where bodies should follow",
        good.replace("\n25\n", "\n20\n"): r"a body of 20 joints in frame 1, expected 25 \(line 4\)",
        good + "1\n": "more than the frames that the first line promises",
        "sixty\n" + "\n".join(lines[1:]): r"'sixty' instead of a number of frames \(line 1\)",
        good.replace(lines[8], "0.1 here 0.3 0"): "something else than three numbers",
        good.replace(lines[8], "0.1 0.2"): "something else than three numbers",
        "\x00\x01\x02PNG": r"'\\x00\\x01\\x02PNG' instead of a number of frames",
        "99999999999\n1\n": r"a promise of 99,999,999,999 frames and 1 further lines \(line 1\)",
    }

    for text, message in cases.items():
        with pytest.raises(DataInvalid, match=message) as caught:
            read_skeleton(write(tmp_path, text))
        assert "S001C001P001R001A001.skeleton" in caught.value.message
        assert "data.exclude" in caught.value.hint
