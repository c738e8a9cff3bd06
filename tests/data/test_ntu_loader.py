"""`ntu` below a data root: what is loaded, what is said about it, and how malformed files are told."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_ntu import MFAS_NAMES, OTHER_NAMES, lay_out, make, skeleton_of, video_of, write_clip

from mmfuse.data import ntu
from mmfuse.errors import BadSpec, DataInvalid, DataMissing
from mmfuse.registry import DATASETS

SMALL = {"size": 16, "length": 8}
FIRST = "S001C001P001R001A001"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("ntu"))


@pytest.fixture
def root(tmp_path: Path, made: Path) -> Iterator[Path]:
    lay_out(tmp_path, made)
    yield tmp_path


def options(**changes: object) -> ntu.Options:
    return ntu.Options(**(SMALL | changes))


def shown(splits: ntu.Splits, split: str = "train") -> dict[str, torch.Tensor]:
    chosen = {"train": splits.train, "val": splits.val}[split]
    return dict(chosen.batch(torch.arange(len(chosen))).inputs)


def test_real_files_are_found_split_by_subject_and_labelled(root: Path) -> None:
    splits = ntu.load(root, options())

    assert (splits.label, splits.stand_in) == ("ntu", False)
    assert (len(splits.train), len(splits.val), len(splits.open_test())) == (32, 8, 40)
    assert splits.task.modality("video").shape == (3, 8, 16, 16)
    assert splits.task.modality("skeleton").shape == (3, 8, 25, 2)
    assert splits.train.target.tolist() == [0, 1] * 16
    assert (splits.task.outputs, len(splits.task.classes), splits.task.classes[22]) == (60, 60, "wave")


def test_both_conventions_of_names_give_the_same_data(root: Path, made: Path, tmp_path: Path) -> None:
    lay_out(tmp_path / "other", made, names=OTHER_NAMES)

    one, other = ntu.load(root, options()), ntu.load(tmp_path / "other", options())

    assert one.fingerprint == other.fingerprint


def test_frames_stay_bytes_until_a_batch_is_cut_and_are_then_scaled_by_imagenets_statistics(root: Path) -> None:
    splits = ntu.load(root, options())
    stored = splits.train.inputs["video"]

    batch = splits.train.batch(torch.tensor([3]))

    assert stored.dtype == torch.uint8
    row = stored[splits.train.rows[3]].float() / 255  # type: ignore[index]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    wanted = (row - mean[:, None, None, None]) / std[:, None, None, None]
    torch.testing.assert_close(batch.inputs["video"][0], wanted)


def test_inputs_are_mapped_from_the_conversion_and_cut_without_being_read(root: Path) -> None:
    splits = ntu.load(root, options())

    half = splits.train.take(torch.arange(0, 32, 2))

    assert half.inputs["video"].data_ptr() == splits.val.inputs["video"].data_ptr()
    assert half.target.tolist() == [0] * 16


def test_a_searchs_subjects_are_some_of_all(root: Path) -> None:
    every, few = ntu.load(root, options()), ntu.load(root, options(train_subjects="search"))

    assert len(few.train) == 14 and len(few.val) == len(every.val)
    assert set(few.train.ids.tolist()) < set(every.train.ids.tolist())
    assert few.fingerprint != every.fingerprint


def test_compat_brings_back_the_black_frame_the_mixed_colours_and_minus_the_spine(root: Path) -> None:
    ours, theirs = ntu.load(root, options()), ntu.load(root, options(compat=True))

    video, published = ours.train.inputs["video"], theirs.train.inputs["video"]
    assert not published[:, :, 7].any() and bool(video[:, :, 7].any())
    assert torch.equal(published[:, :, 0], video[:, :, 0].flip(1))
    alone = (ours.train.inputs["skeleton"][..., 1] == 0).all(dim=3).all(dim=2).all(dim=1)
    assert 0 < int(alone.sum()) < len(alone)
    assert bool((theirs.train.inputs["skeleton"][alone][..., 1] != 0).any(dim=3).all())
    assert ours.fingerprint != theirs.fingerprint


def test_uncentred_skeletons_are_where_the_camera_saw_them(root: Path) -> None:
    centred, seen = ntu.load(root, options()), ntu.load(root, options(centre=False))

    assert not centred.train.inputs["skeleton"][:, :, :, 1, 0].any()
    assert float(seen.train.inputs["skeleton"][:, 2, :, 1, 0].mean()) == pytest.approx(3.0, abs=0.2)


def test_one_missing_half_leaves_that_clip_out_and_shifts_nothing(
    root: Path, tmp_path: Path, made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = ntu.load(root, options())
    lay_out(tmp_path / "holes", made)
    folder = tmp_path / "holes" / "ntu"
    video_of(folder, FIRST).unlink()
    skeleton_of(folder, "S001C001P002R001A001").unlink()

    with caplog.at_level(logging.WARNING):
        splits = ntu.load(tmp_path / "holes", options())

    assert (len(splits.train), len(splits.val)) == (31, 7)
    for name, values in shown(splits).items():
        assert torch.equal(values, shown(whole)[name][1:])
    assert "skeletons without video: 1 (S001C001P001R001A001)" in caplog.text
    assert "videos without skeleton: 1 (S001C001P002R001A001)" in caplog.text
    status = ntu.status(tmp_path / "holes", options())
    assert (status.source, dict(status.samples)) == ("real", {"train": 31, "val": 7, "test": 40})
    assert status.problem == "; ".join(splits.provenance["remarks"])
    assert "skeletons without video: 1" in status.problem


def test_a_list_of_bad_clips_is_left_out_wherever_it_lies(root: Path, tmp_path: Path) -> None:
    (root / "ntu" / "bad_skel.txt").write_text(f"{FIRST}\nS001C001P003R001A002\n")
    shutil.copy(root / "ntu" / "bad_skel.txt", tmp_path / "elsewhere.txt")

    beside = ntu.load(root, options(exclude="bad_skel.txt"))
    elsewhere = ntu.load(root, options(exclude=str(tmp_path / "elsewhere.txt")))

    assert (len(beside.train), len(beside.open_test()), beside.provenance["left out"]) == (31, 39, 2)
    assert beside.fingerprint == elsewhere.fingerprint != ntu.load(root, options()).fingerprint
    assert dict(ntu.status(root, options(exclude="bad_skel.txt")).samples)["train"] == 31
    with pytest.raises(BadSpec, match="cannot be read"):
        ntu.load(root, options(exclude="nowhere.txt"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: skeleton_of(folder, FIRST).write_text(""), "ends at line 0, where frames should follow"),
        (lambda folder: skeleton_of(folder, FIRST).write_text("1\n1\nfacts\n20\n"), "a body of 20 joints in frame 1"),
        (
            lambda folder: video_of(folder, FIRST).write_bytes(video_of(folder, FIRST).read_bytes()[:9000]),
            "frames that",
        ),
    ],
    ids=["empty skeleton", "wrong joints", "cut video"],
)
def test_a_clip_that_cannot_be_read_is_named_and_can_be_left_out(  # type: ignore[no-untyped-def]
    root: Path, damage, message: str
) -> None:
    for path in (skeleton_of(root / "ntu", FIRST), video_of(root / "ntu", FIRST)):
        content = path.read_bytes()
        path.unlink()  # a link to what other tests read
        path.write_bytes(content)
    damage(root / "ntu")

    with pytest.raises(DataInvalid, match=f"1 of 80 clips cannot be read; the first: .*{FIRST}.*{message}"):
        ntu.load(root, options())

    (root / "ntu" / "bad.txt").write_text(FIRST)
    assert len(ntu.load(root, options(exclude="bad.txt")).train) == 31
    write_clip(root / "ntu", FIRST)
    assert len(ntu.load(root, options()).train) == 32


def test_files_that_changed_are_converted_again_and_change_the_fingerprint(root: Path) -> None:
    before = ntu.load(root, options())
    kept = shown(before)["skeleton"]
    write_clip(root / "ntu", FIRST)

    after = ntu.load(root, options())

    assert after.fingerprint != before.fingerprint
    assert not torch.equal(shown(after)["skeleton"][0], kept[0])
    assert torch.equal(shown(after)["skeleton"][1:], kept[1:])


def test_conversions_outlive_the_files_they_were_made_of(root: Path) -> None:
    before = ntu.load(root, options())
    for name in MFAS_NAMES:
        shutil.rmtree(root / "ntu" / name)

    after = ntu.load(root, options())

    assert after.fingerprint == before.fingerprint
    assert dict(ntu.status(root, options()).samples) == {"train": 32, "val": 8, "test": 40}
    assert ntu.check(root, options()).problem == ""
    with pytest.raises(DataMissing, match=r"has no videos-8x24-.*, and the files that would be made of are gone"):
        ntu.load(root, options(size=24))


def test_check_reads_every_row_again(root: Path) -> None:
    assert ntu.check(root, options()).source == "real"
    (rows,) = (root / "ntu" / "converted").glob("videos-8x16-*/rows.npy")
    content = bytearray(rows.read_bytes())
    content[-1] ^= 255
    rows.write_bytes(content)

    with pytest.raises(DataInvalid, match=r"the row of S001C001P040R001A002 in .* is not what was written"):
        ntu.check(root, options())


def test_real_files_that_are_asked_for_and_absent_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="lacks nturgbd_rgb/avi_256x256_30 and nturgbd_skeletons") as caught:
        ntu.load(tmp_path, options(source="real"))
    assert "ROSE lab" in caught.value.hint
    with pytest.raises(DataMissing):
        ntu.prepare(tmp_path)

    status = ntu.status(tmp_path, options(source="real"))
    assert (status.source, status.missing) == ("unusable", ("nturgbd_rgb/avi_256x256_30", "nturgbd_skeletons"))


def test_half_a_dataset_is_an_error_and_never_replaced_by_the_stand_in(root: Path) -> None:
    shutil.rmtree(root / "ntu" / MFAS_NAMES[1])

    with pytest.raises(DataMissing, match="lacks nturgbd_skeletons"):
        ntu.load(root, options())
    assert ntu.status(root, options()).source == "unusable"


def test_preparing_converts_with_the_defaults(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ntu, "FULL_SIZE", 16)  # 224 pixels would make a large folder

    place = ntu.prepare(root)

    names = sorted(path.name for path in place.iterdir() if not path.name.startswith("."))
    assert [name.rsplit("-", 1)[0] for name in names] == ["skeletons-32", "videos-8x16"]
    assert np.load(place / names[1] / "rows.npy", mmap_mode="r").shape == (80, 3, 8, 16, 16)


def test_the_declaration_names_the_backbones_in_the_columns_of_the_published_arrays() -> None:
    declaration = DATASETS.declaration("ntu")

    assert list(declaration.BACKBONES) == [modality.name for modality in declaration.TASK.modalities]
    assert list(declaration.BACKBONES) == ["skeleton", "video"]
