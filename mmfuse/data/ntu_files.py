"""The files of NTU RGB+D on disk: found by their names, paired by key, cut into splits by subject.

A clip's key says all about it: ``S001C002P003R002A013`` is setup 1, camera 2, subject 3, second repetition, action 13.
The key of a video and of a skeleton file is the beginning of its name, whatever follows. Folders are known by the names
that MFAS's code, BM-NAS's code (arXiv 2104.09379) and the dataset's own archives give them. Published code pairs the
n-th video with the n-th skeleton file, so that one missing file shifts all that follow; here only equal keys are pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmfuse.errors import BadSpec, DataInvalid, DataMissing

VIDEO_FOLDERS = ("nturgbd_rgb/avi_256x256_30", "nturgb+d_rgb_256x256_30", "nturgbd_rgb", "nturgb+d_rgb")
SKELETON_FOLDERS = ("nturgbd_skeletons", "nturgb+d_skeletons")
CLASSES = 60
_KINDS = ((VIDEO_FOLDERS, ".avi"), (SKELETON_FOLDERS, ".skeleton"))
_KEY = re.compile(r"S\d{3}C\d{3}P(\d{3})R\d{3}A(\d{3})")
_SHOWN = 5

TRAIN = (1, 4, 8, 13, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
VAL = (2, 5, 9, 14)
TEST = tuple(subject for subject in range(1, 41) if subject not in TRAIN + VAL)
TRAIN_SUBJECTS: Mapping[str, tuple[int, ...]] = {
    "all": TRAIN,
    "search": (1, 4, 8, 13, 15, 17, 19),
    "bm-nas": (1, 8, 15, 17, 19, 27, 31, 35),
}
"""MFAS trains found networks on all, searches on 7 of them; BM-NAS searches on 8 others."""


@dataclass(frozen=True)
class Clip:
    """One performance, as video and as skeletons."""

    key: str
    video: Path
    skeleton: Path


@dataclass(frozen=True)
class Survey:
    """What a folder holds: clips in order of their keys, keys of which only one half is there, and other files."""

    folder: Path
    clips: tuple[Clip, ...]
    without_video: tuple[str, ...]
    without_skeleton: tuple[str, ...]
    odd: tuple[str, ...]

    def report(self) -> tuple[str, ...]:
        """What is missing or odd, a remark each, with the number and the first few names."""
        remarks = (
            ("skeletons without video", self.without_video),
            ("videos without skeleton", self.without_skeleton),
            ("files named like no clip of the 60 classes and 40 subjects", self.odd),
        )
        return tuple(f"{what}: {len(names):,} ({_some(names)})" for what, names in remarks if names)


def subject_of(key: str) -> int:
    """Who performs."""
    return int(key[9:12])


def label_of(key: str) -> int:
    """The class, from 0."""
    return int(key[17:20]) - 1


def folders(folder: Path) -> tuple[Path | None, Path | None]:
    """The folders of videos and of skeletons below ``folder``; None where no folder of that name has any."""
    videos, skeletons = (
        next((folder / name for name in names if _holds_any(folder / name, ending)), None) for names, ending in _KINDS
    )
    return videos, skeletons


def missing(folder: Path) -> tuple[str, ...]:
    """Those of the two folders that are not there, under the name that MFAS's code gives them."""
    return tuple(names[0] for (names, _), found in zip(_KINDS, folders(folder), strict=True) if found is None)


def survey(folder: Path) -> Survey:
    """Look at the names of all files; none is opened.

    Raises:
        DataMissing: when a folder is not there, or no video has a skeleton.
        DataInvalid: when two files of one folder have the same key.
    """
    videos, skeletons = folders(folder)
    if videos is None or skeletons is None:
        raise DataMissing(
            f"NTU RGB+D in {folder} lacks {' and '.join(missing(folder))}",
            "request the dataset from the ROSE lab (rose1.ntu.edu.sg), or --set data.source=stand-in",
        )
    seen, odd_videos = _by_key(videos, ".avi")
    sensed, odd_skeletons = _by_key(skeletons, ".skeleton")
    paired = sorted(seen.keys() & sensed.keys())
    if not paired:
        raise DataMissing(
            f"of the {len(seen):,} videos and {len(sensed):,} skeleton files in {folder} no two have the same key",
            "names begin like S001C001P001R001A001",
        )
    return Survey(
        folder,
        tuple(Clip(key, seen[key], sensed[key]) for key in paired),
        without_video=tuple(sorted(sensed.keys() - seen.keys())),
        without_skeleton=tuple(sorted(seen.keys() - sensed.keys())),
        odd=(*odd_videos, *odd_skeletons),
    )


def report(folder: Path) -> tuple[str, ...]:
    """What is missing or odd among the files; nothing where they are gone.

    Raises:
        DataMissing, DataInvalid: as `survey`.
    """
    return survey(folder).report() if len(missing(folder)) < 2 else ()


def read_exclusions(path: Path) -> frozenset[str]:
    """The keys named in a list, one a line; lines that hold none (a heading) say nothing.

    Raises:
        BadSpec: when there is no such list, or it names no clip.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise BadSpec(f"the list of clips to leave out, {path}, cannot be read: {error.strerror}") from error
    keys = frozenset(match.group() for line in lines if (match := _KEY.match(line.strip())))
    if not keys:
        raise BadSpec(f"{path} names no clip to leave out", "one name a line, such as S001C002P005R002A008")
    return keys


def split_rows(keys: Sequence[str], *, train: str, without: Iterable[str] = ()) -> dict[str, list[int]]:
    """The numbers of the clips of each split, in their order; ``train`` is a key of `TRAIN_SUBJECTS`.

    Raises:
        DataMissing: when a split would be empty.
    """
    subjects = {"train": TRAIN_SUBJECTS[train], "val": VAL, "test": TEST}
    home = {subject: split for split, members in subjects.items() for subject in members}
    left_out = frozenset(without)
    rows: dict[str, list[int]] = {split: [] for split in subjects}
    for number, key in enumerate(keys):
        split = home.get(subject_of(key))
        if split is not None and key not in left_out:
            rows[split].append(number)
    for split, members in subjects.items():
        if not rows[split]:
            raise DataMissing(
                f"NTU RGB+D has no clip for {split}: none of subjects {', '.join(map(str, members))} is there",
                "the cross-subject split needs clips of all 40 subjects",
            )
    return rows


def _by_key(place: Path, ending: str) -> tuple[dict[str, Path], list[str]]:
    """The clips of one folder by key, and its other files' names after the folder's."""
    found: dict[str, Path] = {}
    others = []
    for path in sorted(place.iterdir()):
        if path.is_dir() or path.name.startswith("."):
            continue
        match = _KEY.match(path.name) if path.suffix.lower() == ending else None
        if match is None or not _known(match):
            others.append(f"{place.name}/{path.name}")
        elif (other := found.setdefault(match.group(), path)) != path:
            raise DataInvalid(f"{place} holds {match.group()} twice: {other.name} and {path.name}", "remove one")
    return found, others


def _holds_any(place: Path, ending: str) -> bool:
    return place.is_dir() and any(path.suffix.lower() == ending for path in place.iterdir())


def _known(match: re.Match[str]) -> bool:
    """Whether it is a clip of NTU RGB+D's 60 classes (NTU RGB+D 120 has more of both)."""
    return 1 <= int(match[1]) <= 40 and 1 <= int(match[2]) <= CLASSES


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
