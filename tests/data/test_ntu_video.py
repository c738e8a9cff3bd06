"""Videos of NTU RGB+D: our uncompressed AVI files and PyAV's compressed ones, and which frames are taken."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse.data.ntu_avi import open_raw, write_avi
from mmfuse.data.ntu_video import clip_of, evenly, fitted, published_slots, read_frames
from mmfuse.errors import DataInvalid, DataMissing

NAME = "S001C001P001R001A001_rgb.avi"


def film(count: int = 30, height: int = 16, width: int = 16) -> np.ndarray:
    """Noise in three colours, (T, H, W, 3)."""
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def numbered(count: int) -> np.ndarray:
    """Frames whose grey level is their number; red and blue are told apart by one level."""
    grey = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(grey, (count, 8, 8, 3)) + np.array([0, 0, 100], dtype=np.uint8)


def compressed(path: Path, frames: np.ndarray) -> Path:
    """The frames as motion JPEG, through PyAV."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuvj420p"
        for picture in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))
def test_uncompressed_frames_come_back_as_they_were_written(
    tmp_path_factory: Any, count: int, height: int, width: int
) -> None:
    path, frames = tmp_path_factory.getbasetemp() / NAME, film(count, height, width)

    write_avi(path, frames)
    video = open_raw(path)

    assert video is not None and (len(video), video.promised) == (count, count)
    assert all(np.array_equal(video.frame(number), frames[number]) for number in range(count))


def test_uncompressed_frames_are_found_under_the_name_that_ffmpeg_gives_them(tmp_path: Path) -> None:
    path, frames = tmp_path / NAME, film(3, 4, 5)
    write_avi(path, frames)
    path.write_bytes(path.read_bytes().replace(b"00db", b"00dc"))

    video = open_raw(path)

    assert video is not None and np.array_equal(video.frame(2), frames[2])


def test_pyav_reads_our_uncompressed_files_alike(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    frames = film(5, 10, 14)
    write_avi(tmp_path / NAME, frames)

    with av.open(str(tmp_path / NAME)) as container:
        assert container.streams.video[0].frames == 5
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]

    assert np.array_equal(np.stack(decoded), frames)


def test_compressed_videos_are_read_through_pyav(tmp_path: Path) -> None:
    smooth = np.broadcast_to(np.linspace(20, 220, 30)[:, None, None, None], (30, 16, 16, 3)).astype(np.uint8)

    clip = clip_of(compressed(tmp_path / NAME, smooth), frames=8, size=16, fit="stretch")

    assert clip.shape == (3, 8, 16, 16)
    np.testing.assert_allclose(clip.mean((0, 2, 3)), smooth[evenly(30, 8)].mean((1, 2, 3)), atol=3)


def test_without_pyav_a_compressed_video_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"RIFF\x10\x00\x00\x00AVI whatever follows")
    monkeypatch.setitem(sys.modules, "av", None)

    with pytest.raises(DataMissing, match=f"{NAME} is a compressed video, and PyAV") as caught:
        clip_of(path, frames=8, size=8, fit="stretch")

    assert caught.value.hint == "pip install 'mmfuse[video]'"


def test_frames_lie_evenly_from_the_first_to_the_last(tmp_path: Path) -> None:
    write_avi(tmp_path / NAME, numbered(30))

    clip = clip_of(tmp_path / NAME, frames=8, size=8, fit="stretch")

    assert clip[0, :, 0, 0].tolist() == evenly(30, 8) == [0, 4, 8, 12, 17, 21, 25, 29]
    assert (clip[2] == clip[0] + 100).all()


@given(st.integers(1, 500), st.integers(2, 64))
def test_chosen_frames_exist_and_go_forward(count: int, frames: int) -> None:
    for choose in (evenly, published_slots):
        places = choose(count, frames)
        assert all(0 <= place < count for place in places)
        assert places == sorted(places)
    assert len(evenly(count, frames)) == frames
    assert (evenly(count, frames)[0], evenly(count, frames)[-1]) == (0, count - 1)


def test_the_published_reader_takes_slots_0_3_6_9_13_16_19_and_leaves_the_last_black(tmp_path: Path) -> None:
    write_avi(tmp_path / NAME, numbered(23))

    clip = clip_of(tmp_path / NAME, frames=8, size=8, fit="stretch", compat=True)

    assert published_slots(23, 8) == [0, 3, 6, 9, 13, 16, 19]
    assert clip[2, :7, 0, 0].tolist() == [0, 3, 6, 9, 13, 16, 19]
    assert (clip[0, :7] == clip[2, :7] + 100).all()
    assert not clip[:, 7].any()


def test_frames_become_square_by_stretching_or_by_cutting() -> None:
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 8:16] = 200

    assert fitted(wide, 8, "crop").min() == 200
    assert fitted(wide, 8, "stretch")[:, 0].max() < 100
    assert fitted(wide, 16, "crop").shape == fitted(wide, 16, "stretch").shape == (16, 16, 3)
    picture = film(1, 8, 8)[0]
    assert fitted(picture, 8, "stretch") is picture


def test_a_video_that_is_cut_off_says_how_much_is_left(tmp_path: Path) -> None:
    path = tmp_path / NAME
    write_avi(path, film(30))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(DataInvalid, match=rf"{NAME} holds 1\d of the 30 frames that its header promises"):
        read_frames(path, lambda count: range(count))


def test_a_compressed_video_that_is_cut_off_says_how_much_is_left(tmp_path: Path) -> None:
    path = compressed(tmp_path / NAME, film(30, 32, 32))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(DataInvalid, match=rf"{NAME} (holds 1\d of the 30 frames|is no video that can be read)"):
        read_frames(path, lambda count: range(count))


def test_what_is_no_video_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / NAME
    for content in (b"", b"no video at all", b"RIFF\xff\xff\x00\x00AVI LIST"):
        path.write_bytes(content)
        with pytest.raises(DataInvalid, match=f"{NAME} is no video that can be read"):
            read_frames(path, lambda count: range(count))
    with pytest.raises(DataInvalid, match="cannot be read: No such file"):
        read_frames(tmp_path / "gone.avi", lambda count: range(count))
