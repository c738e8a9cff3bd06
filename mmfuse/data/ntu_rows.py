"""Skeletons and videos of NTU RGB+D as two arrays whose rows are the same clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmfuse.data import ntu_files as files
from mmfuse.data.ntu_convert import Converted, Plan, convert, open_converted
from mmfuse.data.ntu_skeleton import JOINTS, PERSONS, centred, filled, read_skeleton, resampled
from mmfuse.data.ntu_video import Fit, clip_of
from mmfuse.data.progress import Progress, silent
from mmfuse.errors import DataInvalid, DataMissing

CONVERTED = "converted"
"""The folder of conversions beside the files. Once it is there the files may go."""


@dataclass(frozen=True)
class Making:
    """What is made of a clip; see `mmfuse.data.ntu.Options`."""

    frames: int
    size: int
    fit: Fit
    length: int
    centre: bool
    compat: bool

    def skeleton_row(self, path: Path) -> NDArray[np.float32]:
        """(3, length, 25, 2)."""
        skeleton = read_skeleton(path)
        places = centred(skeleton, compat=self.compat) if self.centre else filled(skeleton.places)
        return resampled(places, self.length)

    def video_row(self, path: Path) -> NDArray[np.uint8]:
        """(3, frames, size, size)."""
        return clip_of(path, frames=self.frames, size=self.size, fit=self.fit, compat=self.compat)

    def plans(self, clips: Sequence[files.Clip]) -> tuple[Plan, Plan]:
        """How the skeletons and the videos of ``clips`` are converted."""
        skeletons = Plan(
            name=f"skeletons-{self.length}",
            recipe={"length": self.length, "centre": self.centre, "compat": self.compat and self.centre},
            files={clip.key: clip.skeleton for clip in clips},
            shape=(3, self.length, JOINTS, PERSONS),
            kind="f4",
            make=self.skeleton_row,
        )
        videos = Plan(
            name=f"videos-{self.frames}x{self.size}",
            recipe={"frames": self.frames, "size": self.size, "fit": self.fit, "compat": self.compat},
            files={clip.key: clip.video for clip in clips},
            shape=(3, self.frames, self.size, self.size),
            kind="u1",
            make=self.video_row,
        )
        return skeletons, videos


@dataclass(frozen=True)
class Pair:
    """Row n of both is the clip ``keys[n]``."""

    skeletons: Converted
    videos: Converted

    @property
    def parts(self) -> tuple[Converted, Converted]:
        """Both."""
        return self.skeletons, self.videos

    @property
    def keys(self) -> tuple[str, ...]:
        """The clips, in order."""
        return self.skeletons.keys


def obtain(folder: Path, making: Making, *, progress: Progress = silent) -> Pair:
    """The rows of all paired clips in ``folder``, converted first where they are not.

    Raises:
        DataMissing: when there is nothing to convert, or PyAV is needed for it and not installed.
        DataInvalid: when a conversion is damaged.
    """
    if _outlived(folder):
        return _kept(folder, making)
    clips = files.survey(folder).clips
    skeletons, videos = (convert(folder / CONVERTED, plan, progress=progress) for plan in making.plans(clips))
    return Pair(skeletons, videos)


def kept_keys(folder: Path, making: Making) -> tuple[str, ...]:
    """The keys that `obtain` would give, without converting anything.

    Raises:
        DataMissing, DataInvalid: as `obtain`.
    """
    if _outlived(folder):
        return _kept(folder, making).keys
    return tuple(clip.key for clip in files.survey(folder).clips)


def _outlived(folder: Path) -> bool:
    """Whether conversions are all that is left of the files."""
    return len(files.missing(folder)) == 2 and (folder / CONVERTED).is_dir()


def _kept(folder: Path, making: Making) -> Pair:
    plans = making.plans(())
    absent = [plan.folder for plan in plans if not (folder / CONVERTED / plan.folder).is_dir()]
    if absent:
        raise DataMissing(
            f"{folder / CONVERTED} has no {absent[0]}, and the files that would be made of are gone",
            "bring the files back, or use the options of a conversion that is there",
        )
    skeletons, videos = (open_converted(folder / CONVERTED / plan.folder, plan.shape, plan.kind) for plan in plans)
    if skeletons.keys != videos.keys:
        raise DataInvalid(
            f"skeletons and videos in {folder / CONVERTED} are of different clips", "bring the files back"
        )
    return Pair(skeletons, videos)
