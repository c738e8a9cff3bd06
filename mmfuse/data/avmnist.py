"""AV-MNIST: a written and a spoken digit, both hard to read alone (10 classes, accuracy).

The dataset of CentralNet (Vielzeuf et al. 2018, arXiv 1808.07275), as MFAS (arXiv 1903.06496), M2-Mixer and MixMAS
(arXiv 2412.18437) use it: MNIST images of reduced energy and 112 x 112 spectrograms of spoken digits, 55,000 / 5,000 /
10,000 pairs. Its authors never published files, and copies in circulation differ widely, so results carry a fingerprint
of the files' content. Where we differ from the papers' code: inputs are standardised with statistics of the training
rows (scaling "none" gives the raw values that M2-Mixer and MixMAS feed), and the test file is opened only for testing.

Without the files a stand-in is built on first use: see `mmfuse.data.avmnist_standin`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mmfuse.data.progress import Progress, silent
from mmfuse.options import Options as OptionsBase
from mmfuse.task import Modality, Task

if TYPE_CHECKING:
    from mmfuse.batch import Scale, Split, Splits

TASK = Task(
    name="avmnist",
    kind="multiclass",
    modalities=(Modality("image", "grid", (1, 28, 28)), Modality("audio", "grid", (1, 112, 112))),
    outputs=10,
    metric="accuracy",
    classes=("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
)

PAIRED_BY = "class"
"""An image and its sound show the same digit and nothing else in common: any other of the class would do."""


class Options(OptionsBase):
    """Which AV-MNIST, and how it is scaled."""

    source: Literal["auto", "real", "stand-in"] = "auto"
    """Real files, the built-in stand-in, or the real ones where there are any."""
    scaling: Literal["standard", "none"] = "standard"
    """Mean 0 and deviation 1 per modality by training statistics, or the stored values (as MixMAS and M2-Mixer)."""
    limit: Annotated[int, Field(ge=10)] | None = None
    """Use only the first rows of each split, for quick experiments; changes the fingerprint."""
    stand_in_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the stand-in's voices, strokes and noise."""
    stand_in_size: Annotated[int, Field(ge=60, le=100_000)] = 6000
    """Training pairs of the stand-in; it has a sixth of them for validation and a third for testing."""


import numpy as np

from mmfuse.data import avmnist_files as files
from mmfuse.data.arrays import mean_and_std
from mmfuse.data.avmnist_standin import Recipe, ensure
from mmfuse.data.status import DataStatus
from mmfuse.errors import MmfuseError


def load(root: Path, options: Options, *, progress: Progress = silent) -> Splits:
    """AV-MNIST below the data root; the stand-in is built there first if it is what is asked for.

    Raises:
        DataMissing: when real files are asked for, or only some of them are there.
        DataInvalid: when a file is damaged, of another shape, or not the one its manifest names.
    """
    from mmfuse.batch import Splits

    surveyed = files.survey(_folder(root, options, progress))
    treatment = {"scaling": options.scaling, "limit": options.limit}
    fingerprint = files.fingerprint(surveyed, treatment, progress=progress)
    train = _arrays(surveyed, "train", options)
    scales = _scales(train) if options.scaling == "standard" else {}
    return Splits(
        task=TASK,
        train=_split(surveyed, "train", train, scales),
        val=_split(surveyed, "val", _arrays(surveyed, "val", options), scales),
        open_test=lambda: _split(surveyed, "test", _arrays(surveyed, "test", options), scales),
        fingerprint=fingerprint,
        stand_in=surveyed.stand_in,
        provenance={
            "folder": str(surveyed.folder),
            "generator": surveyed.manifest.generator if surveyed.manifest else "unknown (no manifest)",
            "scales": {name: [float(scale.mean), float(scale.std)] for name, scale in scales.items()},
            **treatment,
        },
    )


def prepare(root: Path, *, progress: Progress = silent) -> Path:
    """Download MNIST, FSDD and ESC-50 and build AV-MNIST from them; gives the folder.

    Raises:
        DataMissing: when a source cannot be fetched, naming what to fetch by hand and where to put it.
    """
    from mmfuse.data.avmnist_sources import fetch_and_build

    return fetch_and_build(root, progress=progress)


def build(
    root: Path,
    *,
    mnist: Path,
    fsdd: Path,
    esc50: Path,
    seed: int = 0,
    snr_db: float = 10.0,
    split_by: Literal["take", "speaker"] = "take",
    workers: int = 1,
    progress: Progress = silent,
) -> Path:
    """Build AV-MNIST from folders that hold the three public sources; gives the folder.

    ``snr_db`` is the speech's signal-to-noise ratio; ``split_by`` keeps takes or speakers apart between splits.

    Raises:
        BadSpec: when AV-MNIST is there already.
        DataMissing, DataInvalid: when a source is absent or damaged.
    """
    from mmfuse.data.avmnist_build import Plan
    from mmfuse.data.avmnist_build import build as build_files

    plan = Plan(seed=seed, snr_db=snr_db, split_by=split_by)
    return build_files(
        root / TASK.name, mnist=mnist, fsdd=fsdd, esc50=esc50, plan=plan, workers=workers, progress=progress
    )


def status(root: Path, options: Options | None = None) -> DataStatus:
    """What is there, from file names and headers alone."""
    options = options or Options()
    real = root / TASK.name
    absent = files.missing(real)
    try:
        if _wants_real(real, options):
            return DataStatus(TASK.name, "real", real, True, files.survey(real).splits)
        folder = _stand_in_folder(root, options)
        recipe = _recipe(options)
        samples = {"train": recipe.train, "val": recipe.val, "test": recipe.test}
        return DataStatus(TASK.name, "stand-in", folder, folder.is_dir(), samples, absent)
    except MmfuseError as error:
        return DataStatus(TASK.name, "unusable", real, False, {}, absent, error.message, error.hint)


def check(root: Path, options: Options | None = None, *, progress: Progress = silent) -> DataStatus:
    """Read everything once: hashes against the manifest, shapes, finite values, labels, all splits.

    Raises:
        DataMissing, DataInvalid: at the first thing that is wrong.
    """
    options = options or Options()
    surveyed = files.survey(_folder(root, options, progress))
    files.verified_hashes(surveyed, progress=progress, fresh=True)
    for part in files.PARTS:
        files.open_part(surveyed.folder, part)
    return status(root, options)


def _wants_real(real: Path, options: Options) -> bool:
    some_are_there = len(files.missing(real)) < len(files.names(real))
    return options.source == "real" or (options.source == "auto" and some_are_there)


def _folder(root: Path, options: Options, progress: Progress) -> Path:
    real = root / TASK.name
    if _wants_real(real, options):
        return real
    return ensure(_stand_in_folder(root, options), _recipe(options), progress=progress)


def _stand_in_folder(root: Path, options: Options) -> Path:
    return root / "avmnist-stand-in" / _recipe(options).folder


def _recipe(options: Options) -> Recipe:
    size = options.stand_in_size
    return Recipe(train=size, val=size // 6, test=size // 3, seed=options.stand_in_seed)


def _arrays(surveyed: files.Survey, split: str, options: Options) -> files.Arrays:
    first = surveyed.splits["train"] if split == "val" else 0
    count = min(surveyed.splits[split], options.limit or surveyed.splits[split])
    part: files.Part = "test" if split == "test" else "train"
    return files.open_part(surveyed.folder, part, rows=slice(first, first + count))


def _scales(train: files.Arrays) -> dict[str, Scale]:
    import torch

    from mmfuse.batch import Scale

    statistics = {"image": mean_and_std(train.images), "audio": mean_and_std(train.audio)}
    return {name: Scale(torch.tensor(mean), torch.tensor(std)) for name, (mean, std) in statistics.items()}


def _split(surveyed: files.Survey, split: str, arrays: files.Arrays, scales: dict[str, Scale]) -> Split:
    """Rows as tensors that share memory with the mapped files; ids count through train, val and test."""
    import torch

    from mmfuse.batch import Split

    sizes = surveyed.splits
    first = {"train": 0, "val": sizes["train"], "test": sizes["train"] + sizes["val"]}[split]
    inputs = {"image": arrays.images, "audio": arrays.audio}
    return Split(
        {name: torch.from_numpy(_plain(array)).view(-1, *TASK.modality(name).shape) for name, array in inputs.items()},
        torch.from_numpy(arrays.labels.astype(np.int64)),
        torch.arange(first, first + len(arrays.labels)),
        scales,
    )


def _plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A type that torch selects from: bytes and native floats stay as they are, the rest becomes float32."""
    keep = array.dtype in (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64))
    return np.ascontiguousarray(array) if keep else array.astype(np.float32)
