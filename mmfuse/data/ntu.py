"""NTU RGB+D: people's actions, filmed and as skeletons, on subjects never seen before (60 classes, accuracy).

Shahroudy, Liu, Ng, Wang: "NTU RGB+D: A Large Scale Dataset for 3D Human Activity Analysis" (2016, arXiv 1604.02808),
with the cross-subject split and the inputs of MFAS (arXiv 1903.06496): 8 frames of a video, and skeletons of at most
two people brought to 32 frames. It is had by agreement with its authors only.

Where we differ from MFAS's code, each time because theirs is a slip: files are paired by their keys (theirs: by
position in two listings); the last of the 8 frames is a frame (theirs: always black); colours are scaled in their own
order (theirs: blue, green, red by the statistics of red, green, blue); a second person who is not there stays 0
(theirs: minus the first one's spine). The option ``compat`` brings the last three back.

Files are converted once (see `mmfuse.data.ntu_convert`) and mapped into memory by every run. Without the files a
stand-in of the same formats is built on first use: see `mmfuse.data.ntu_standin`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmfuse.data.progress import Progress, silent
from mmfuse.options import Options as OptionsBase
from mmfuse.task import Modality, Task

if TYPE_CHECKING:
    from mmfuse.batch import Split, Splits

FULL_SIZE = 224

TASK = Task(
    name="ntu",
    kind="multiclass",
    modalities=(
        Modality("skeleton", "skeleton", (3, 32, 25, 2)),
        Modality("video", "video", (3, 8, FULL_SIZE, FULL_SIZE)),
    ),
    outputs=60,
    metric="accuracy",
    classes=(
        *("drink water", "eat", "brush teeth", "brush hair", "drop", "pick up", "throw", "sit down", "stand up"),
        *("clap", "read", "write", "tear up paper", "put on jacket", "take off jacket", "put on shoe", "take off shoe"),
        *("put on glasses", "take off glasses", "put on hat", "take off hat", "cheer up", "wave", "kick something"),
        *("reach into pocket", "hop", "jump up", "phone call", "play with phone", "type", "point to something"),
        *("take selfie", "check time", "rub hands", "bow", "shake head", "wipe face", "salute", "palms together"),
        *("cross hands", "sneeze or cough", "stagger", "fall", "headache", "chest pain", "back pain", "neck pain"),
        *("nausea", "fan self", "punch", "kick", "push", "pat on back", "point finger", "hug", "give object"),
        *("touch pocket", "shake hands", "walk towards", "walk apart"),
    ),
)

BACKBONES = {"skeleton": {"family": "hcn"}, "video": {"family": "inflated_resnet"}}
"""Those of MFAS (section 4), at their published sizes."""


class Options(OptionsBase):
    """Which clips, and what is made of them."""

    source: Literal["auto", "real", "stand-in"] = "auto"
    """Real files, the built-in stand-in, or the real ones where there are any."""
    train_subjects: Literal["all", "search", "bm-nas"] = "all"
    """Whose clips are for training: all 16 subjects, the 7 on which MFAS searches, or the 8 on which BM-NAS does."""
    frames: Annotated[int, Field(ge=2, le=64)] = 8
    """Frames of each video, evenly spread (MFAS: 8; take 24 to crop in time while training)."""
    size: Annotated[int, Field(ge=8, le=512)] | None = None
    """Side of the frames in pixels; null: 224 (ImageNet's) for real videos, 32 for the stand-in's."""
    fit: Literal["stretch", "crop"] = "stretch"
    """How frames become square: stretched (as for the 256 x 256 videos of MFAS's code), or cut to the middle square."""
    length: Annotated[int, Field(ge=8, le=300)] = 32
    """Frames that each skeleton is brought to, by linear interpolation (MFAS: 32)."""
    centre: bool = True
    """Give joints relative to the first person's spine, frame by frame (MFAS does; its --no_norm does not)."""
    compat: bool = False
    """Three slips of MFAS's reader: a black last frame, mixed up colours, absent people at minus the spine."""
    exclude: str | None = None
    """File that lists clips to leave out, such as the 302 with bad skeletons; relative paths begin at the dataset."""
    stand_in_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the stand-in's people, movements and noise."""
    stand_in_classes: Annotated[int, Field(ge=2, le=60)] = 12
    """Classes that the stand-in has clips of; the task keeps its 60 outputs."""
    stand_in_repeats: Annotated[int, Field(ge=1, le=99)] = 2
    """How often each of the stand-in's 40 subjects performs each class."""


def task(options: Options, *, size: int = FULL_SIZE) -> Task:
    """The task of these options; ``size`` is that of the frames where the options leave it open."""
    side = options.size or size
    return replace(
        TASK,
        modalities=(
            Modality("skeleton", "skeleton", (3, options.length, 25, 2)),
            Modality("video", "video", (3, options.frames, side, side)),
        ),
    )


import logging

import numpy as np

from mmfuse.data import ntu_convert as conversion
from mmfuse.data import ntu_files as files
from mmfuse.data.ntu_rows import CONVERTED, Making, Pair, kept_keys, obtain
from mmfuse.data.ntu_standin import SIDE, Recipe, ensure
from mmfuse.data.status import DataStatus
from mmfuse.errors import DataInvalid, MmfuseError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

logger = logging.getLogger(__name__)


def load(root: Path, options: Options, *, progress: Progress = silent) -> Splits:
    """NTU RGB+D below the data root, converted there first; the stand-in is built if it is what is asked for.

    Raises:
        DataMissing: when files that are asked for are not there, or PyAV is needed to read them and not installed.
        DataInvalid: when a clip that is wanted cannot be read.
        BadSpec: when the list of clips to leave out cannot be read.
    """
    from mmfuse.batch import Splits

    folder, real = _folder(root, options, progress)
    report = files.report(folder)
    for sentence in report:
        logger.warning("NTU RGB+D in %s: %s", folder, sentence)
    left_out = _left_out(folder, options)
    pair = obtain(folder, _making(options, real=real), progress=progress)
    rows = files.split_rows(pair.keys, train=options.train_subjects, without=left_out)
    used = [row for split in rows.values() for row in split]
    _check_readable(pair, used)
    treatment = options.model_dump(include={"train_subjects", "frames", "size", "fit", "length", "centre", "compat"})
    settled = task(options, size=FULL_SIZE if real else SIDE)
    return Splits(
        task=settled if real else replace(settled, classes=()),
        train=_split(pair, rows["train"]),
        val=_split(pair, rows["val"]),
        open_test=lambda: _split(pair, rows["test"]),
        fingerprint=conversion.fingerprint(pair.parts, used, {"dataset": TASK.name, **treatment}),
        stand_in=not real,
        provenance={
            "folder": str(folder),
            "clips": len(pair.keys),
            "left out": len(left_out.intersection(pair.keys)),
            "remarks": list(report),
            **treatment,
        },
    )


def prepare(root: Path, *, progress: Progress = silent) -> Path:
    """Convert the real files with the default options; gives the folder of conversions.

    Raises:
        DataMissing: when the files are not there: they cannot be downloaded by a program.
        DataInvalid: when a conversion is damaged.
    """
    folder = root / TASK.name
    obtain(folder, _making(Options(), real=True), progress=progress)
    return folder / CONVERTED


def status(root: Path, options: Options | None = None) -> DataStatus:
    """What is there, from file names alone."""
    options = options or Options()
    folder = root / TASK.name
    absent = files.missing(folder)
    try:
        if _wants_real(folder, options):
            keys = kept_keys(folder, _making(options, real=True))
            report = files.report(folder)
            hint = "clips of which one half is missing are left out" if report else ""
            return DataStatus(
                TASK.name, "real", folder, True, _samples(keys, folder, options), (), "; ".join(report), hint
            )
        made, recipe = _stand_in_folder(root, options), _recipe(options)
        samples = _samples(recipe.keys(), made, options)
        return DataStatus(TASK.name, "stand-in", made, made.is_dir(), samples, absent)
    except MmfuseError as error:
        return DataStatus(TASK.name, "unusable", folder, False, {}, absent, error.message, error.hint)


def check(root: Path, options: Options | None = None, *, progress: Progress = silent) -> DataStatus:
    """Convert what is not converted, then read every row of it again and compare it with its digest.

    Raises:
        DataMissing, DataInvalid, BadSpec: at the first thing that is wrong.
    """
    options = options or Options()
    load(root, options, progress=progress)
    folder, real = _folder(root, options, progress)
    for part in obtain(folder, _making(options, real=real), progress=progress).parts:
        conversion.verify(part, progress=progress)
    return status(root, options)


def _wants_real(folder: Path, options: Options) -> bool:
    some_are_there = len(files.missing(folder)) < 2 or (folder / CONVERTED).is_dir()
    return options.source == "real" or (options.source == "auto" and some_are_there)


def _folder(root: Path, options: Options, progress: Progress) -> tuple[Path, bool]:
    """Where the files are, and whether they are real."""
    real = root / TASK.name
    if _wants_real(real, options):
        return real, True
    return ensure(_stand_in_folder(root, options), _recipe(options), progress=progress), False


def _stand_in_folder(root: Path, options: Options) -> Path:
    return root / "ntu-stand-in" / _recipe(options).folder


def _recipe(options: Options) -> Recipe:
    return Recipe(classes=options.stand_in_classes, repeats=options.stand_in_repeats, seed=options.stand_in_seed)


def _making(options: Options, *, real: bool) -> Making:
    return Making(
        frames=options.frames,
        size=options.size or (FULL_SIZE if real else SIDE),
        fit=options.fit,
        length=options.length,
        centre=options.centre,
        compat=options.compat,
    )


def _left_out(folder: Path, options: Options) -> frozenset[str]:
    if options.exclude is None:
        return frozenset()
    return files.read_exclusions(folder / Path(options.exclude).expanduser())


def _samples(keys: Sequence[str], folder: Path, options: Options) -> dict[str, int]:
    rows = files.split_rows(keys, train=options.train_subjects, without=_left_out(folder, options))
    return {split: len(members) for split, members in rows.items()}


def _check_readable(pair: Pair, used: Sequence[int]) -> None:
    """Refuse data of which a clip that is wanted could not be read when it was converted."""
    reasons = {key: reason for part in pair.parts for key, reason in part.unreadable.items()}
    bad = [key for key in (pair.keys[row] for row in used) if key in reasons] if reasons else []
    if bad:
        raise DataInvalid(
            f"{len(bad):,} of {len(used):,} clips cannot be read; the first: {reasons[bad[0]]}",
            "fetch them again, or name them in a list of clips to leave out: --set data.exclude=FILE",
        )


def _split(pair: Pair, rows: Sequence[int]) -> Split:
    """The rows as tensors that share memory with the mapped files; an id is the row's number there."""
    import torch

    from mmfuse.batch import Scale, Split

    places = torch.tensor(rows)
    mean, std = (255 * torch.tensor(values).reshape(3, 1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    labels = np.array([files.label_of(pair.keys[row]) for row in rows], dtype=np.int64)
    inputs = {"skeleton": torch.from_numpy(pair.skeletons.rows), "video": torch.from_numpy(pair.videos.rows)}
    return Split(inputs, torch.from_numpy(labels), places, {"video": Scale(mean, std)}, rows=places)
