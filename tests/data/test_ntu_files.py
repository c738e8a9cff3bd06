"""Files of NTU RGB+D: paired by key and by nothing else, reported when halves are missing, split by subject."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse.data import ntu_files as files
from mmfuse.errors import BadSpec, DataInvalid, DataMissing

KEY = "S{:03d}C001P{:03d}R001A{:03d}"


def key(subject: int = 1, action: int = 1, setup: int = 1) -> str:
    return KEY.format(setup, subject, action)


def touch(folder: Path, videos: list[str], skeletons: list[str]) -> Path:
    for name, entries in ((files.VIDEO_FOLDERS[0], videos), (files.SKELETON_FOLDERS[0], skeletons)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for entry in entries:
            (folder / name / entry).touch()
    return folder


def test_a_key_tells_subject_and_class() -> None:
    assert (files.subject_of("S002C003P014R002A060"), files.label_of("S002C003P014R002A060")) == (14, 59)


def test_clips_are_paired_by_key_whatever_is_missing_between_them(tmp_path: Path) -> None:
    names = [key(subject) for subject in range(1, 6)]
    videos = [f"{name}_rgb.avi" for name in names if name != names[1]]
    skeletons = [f"{name}.skeleton" for name in names if name != names[3]]

    surveyed = files.survey(touch(tmp_path, videos, skeletons))

    assert [clip.key for clip in surveyed.clips] == [names[0], names[2], names[4]]
    assert all(clip.video.name.startswith(clip.key) and clip.skeleton.stem == clip.key for clip in surveyed.clips)
    assert (surveyed.without_video, surveyed.without_skeleton) == ((names[1],), (names[3],))


def test_the_report_counts_and_names_the_first_few(tmp_path: Path) -> None:
    lonely = [key(subject) for subject in range(2, 10)]
    videos = [f"{key()}.avi", *(f"{name}_rgb.avi" for name in lonely), "notes.txt", "S001C001P106R001A001_rgb.avi"]
    surveyed = files.survey(touch(tmp_path, videos, [f"{key()}.skeleton", f"{key(action=61)}.skeleton"]))

    without, odd = surveyed.report()

    shown = ", ".join(lonely[:5])
    assert without == f"videos without skeleton: 8 ({shown}, ...)"
    assert odd.startswith("files named like no clip of the 60 classes and 40 subjects: 3 (avi_256x256_30/S001C001P106")


@pytest.mark.parametrize("videos", files.VIDEO_FOLDERS)
@pytest.mark.parametrize("skeletons", files.SKELETON_FOLDERS)
def test_folders_of_every_convention_are_found(tmp_path: Path, videos: str, skeletons: str) -> None:
    for folder, name in ((videos, f"{key()}_rgb.avi"), (skeletons, f"{key()}.skeleton")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).touch()

    assert files.folders(tmp_path) == (tmp_path / videos, tmp_path / skeletons)
    assert files.missing(tmp_path) == ()


def test_nothing_there_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"lacks nturgbd_rgb/avi_256x256_30 and nturgbd_skeletons") as caught:
        files.survey(tmp_path)
    assert "ROSE lab" in caught.value.hint

    touch(tmp_path, [f"{key(1)}_rgb.avi"], [f"{key(2)}.skeleton"])
    with pytest.raises(DataMissing, match=r"of the 1 videos and 1 skeleton files .* no two have the same key"):
        files.survey(tmp_path)


def test_two_files_of_one_clip_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, [f"{key()}.avi", f"{key()}_rgb.avi"], [f"{key()}.skeleton"])

    with pytest.raises(DataInvalid, match=f"{key()} twice: {key()}.avi and {key()}_rgb.avi"):
        files.survey(tmp_path)


def test_the_published_split_of_subjects() -> None:
    assert (len(files.TRAIN), len(files.VAL)) == (16, 4)
    assert files.TEST == (3, 6, 7, 10, 11, 12, 20, 21, 22, 23, 24, 26, 29, 30, 32, 33, 36, 37, 39, 40)
    assert set(files.TRAIN) | set(files.VAL) | set(files.TEST) == set(range(1, 41))
    assert {name: len(subjects) for name, subjects in files.TRAIN_SUBJECTS.items()} == {
        "all": 16,
        "search": 7,
        "bm-nas": 8,
    }
    assert all(set(subjects) <= set(files.TRAIN) for subjects in files.TRAIN_SUBJECTS.values())


@settings(deadline=None)
@given(st.sampled_from(sorted(files.TRAIN_SUBJECTS)), st.randoms(use_true_random=False))
def test_no_subject_is_in_two_splits_and_left_out_clips_are_in_none(train: str, random) -> None:  # type: ignore[no-untyped-def]
    keys = [key(subject, action) for subject in range(1, 41) for action in (1, 2)]
    left_out = set(random.sample(keys, 10))
    left_out -= {key(subject, 1) for subject in (1, 2, 3)}

    rows = files.split_rows(keys, train=train, without=left_out)

    subjects = {split: {files.subject_of(keys[row]) for row in members} for split, members in rows.items()}
    assert subjects["train"] <= set(files.TRAIN_SUBJECTS[train])
    assert not (subjects["train"] & subjects["val"] or subjects["val"] & subjects["test"])
    assert not subjects["train"] & subjects["test"]
    assert not left_out & {keys[row] for members in rows.values() for row in members}


def test_a_split_without_clips_says_whose_are_missing() -> None:
    with pytest.raises(DataMissing, match="no clip for val: none of subjects 2, 5, 9, 14 is there"):
        files.split_rows([key(1), key(3)], train="all")


def test_a_list_of_clips_to_leave_out_may_have_a_heading(tmp_path: Path) -> None:
    path = tmp_path / "bad_skel.txt"
    path.write_text(
        "The following 2 samples lack skeletons:\n\nS001C002P005R002A008\n  S001C002P006R001A008.skeleton\n"
    )

    assert files.read_exclusions(path) == {"S001C002P005R002A008", "S001C002P006R001A008"}


def test_a_list_that_names_nothing_or_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("nothing\n")

    with pytest.raises(BadSpec, match=r"empty\.txt names no clip to leave out"):
        files.read_exclusions(tmp_path / "empty.txt")
    with pytest.raises(BadSpec, match=r"gone\.txt, cannot be read: No such file"):
        files.read_exclusions(tmp_path / "gone.txt")
