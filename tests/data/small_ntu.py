"""A whole small NTU RGB+D under the published names: one clip per subject and class, in either spelling of folders."""

from __future__ import annotations

import os
from pathlib import Path

from mmfuse.data.ntu_avi import write_avi
from mmfuse.data.ntu_files import SKELETON_FOLDERS, VIDEO_FOLDERS
from mmfuse.data.ntu_standin import Recipe, ensure, perform, skeleton_text

TINY = Recipe(classes=2, repeats=1, fewest_frames=8, most_frames=10)
MFAS_NAMES = (VIDEO_FOLDERS[0], SKELETON_FOLDERS[0])
OTHER_NAMES = ("nturgb+d_rgb", "nturgb+d_skeletons")


def lay_out(root: Path, made: Path, *, names: tuple[str, str] = MFAS_NAMES) -> Path:
    """``root/ntu`` with links to the clips of ``made``, as somebody's copy of the real data would lie there."""
    for name, known in zip(names, MFAS_NAMES, strict=True):
        (root / "ntu" / name).mkdir(parents=True)
        for path in (made / known).iterdir():
            os.link(path, root / "ntu" / name / path.name)
    return root / "ntu"


def make(place: Path) -> Path:
    """The files, built once for all tests."""
    return ensure(place / "made", TINY)


def video_of(folder: Path, key: str, names: tuple[str, str] = MFAS_NAMES) -> Path:
    return folder / names[0] / f"{key}_rgb.avi"


def skeleton_of(folder: Path, key: str, names: tuple[str, str] = MFAS_NAMES) -> Path:
    return folder / names[1] / f"{key}.skeleton"


def write_clip(folder: Path, key: str, *, seed: int = 5) -> None:
    """Another performance under that key."""
    people, frames = perform(key, Recipe(classes=2, repeats=1, fewest_frames=8, most_frames=10, seed=seed))
    for path in (video_of(folder, key), skeleton_of(folder, key)):
        path.unlink(missing_ok=True)
    skeleton_of(folder, key).write_text(skeleton_text(people))
    write_avi(video_of(folder, key), frames)
