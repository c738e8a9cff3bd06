"""MIMIC-III: five static facts and a day of hourly measurements of a patient in intensive care (accuracy).

The preprocessing of MultiBench (Liang et al. 2021, arXiv 2107.07502), as M2-Mixer and MixMAS use it: a pickle
``im.pk`` with 32,616 stays, ``adm_features_all`` (n, 5), ``ep_tdata`` (n, 24, 12), ``adm_labels_all`` (n, 6+) and
``y_icd9`` (n, 20). Access to it needs an agreement with PhysioNet, so it cannot be fetched here. Where we differ from
the published code: the mean and deviation that scale the data are those of the training rows (theirs are of all rows,
test included); the pickle is opened without running what is in it; and it can be converted to a plain ``.npz`` once.

Without the file a stand-in of the same shapes is made in memory: see `mmfuse.data.mimic_standin`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmfuse.data.progress import Progress, silent
from mmfuse.data.status import DataStatus
from mmfuse.options import Options as OptionsBase
from mmfuse.task import Modality, Task

if TYPE_CHECKING:
    from mmfuse.batch import Scale, Split, Splits

TASK = Task(
    name="mimic_iii",
    kind="multiclass",
    modalities=(Modality("static", "vector", (5,)), Modality("timeseries", "sequence", (24, 12))),
    outputs=6,
    metric="accuracy",
    classes=("beyond a year", "one day", "two days", "three days", "one week", "one year"),
)


class Options(OptionsBase):
    """What is predicted, from which data, split how."""

    source: Literal["auto", "real", "stand-in"] = "auto"
    """The real file, the built-in stand-in, or the real one where it is there."""
    target: Literal["mortality"] | Annotated[int, Field(ge=0, le=19)] = "mortality"
    """When the patient dies (6 classes), or whether a diagnosis of this ICD-9 group is made (2 classes)."""
    split: Literal["seeded", "published"] = "seeded"
    """Order of the rows before the cut in tenths: by numpy's generator, or Python's shuffle as published (seed 10)."""
    scaling: Literal["standard", "none"] = "standard"
    """Mean 0 and deviation 1 per static fact and per measurement by training statistics, or the values as they are."""
    stand_in_size: Annotated[int, Field(ge=60, le=100_000)] = 6000
    """Stays of the stand-in, all splits together."""
    stand_in_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the stand-in's patients."""


def task(options: Options) -> Task:
    """The task of these options: six classes for mortality, two for a group of diagnoses."""
    if options.target == "mortality":
        return TASK
    return replace(TASK, outputs=2, classes=("absent", "present"))


import numpy as np
from numpy.typing import NDArray

from mmfuse.data import mimic_files as files
from mmfuse.data import mimic_standin as standin


def load(root: Path, options: Options, *, progress: Progress = silent) -> Splits:
    """MIMIC-III below the data root, or its stand-in.

    Raises:
        DataMissing: when the real file is asked for and not there.
        DataInvalid: when it is damaged, not arrays, or of other shapes.
    """
    from mmfuse.batch import Splits

    real = _wants_real(root, options)
    stays = files.read(root / TASK.name) if real else standin.make(options.stand_in_size, seed=options.stand_in_seed)
    target = files.target(stays, options.target)
    rows = files.split_rows(len(stays), published=options.split == "published")
    scales = _scales(stays, rows["train"]) if options.scaling == "standard" else {}
    treatment = {"target": options.target, "split": options.split, "scaling": options.scaling}
    return Splits(
        task=task(options),
        train=_split(stays, target, rows["train"], scales),
        val=_split(stays, target, rows["val"], scales),
        open_test=lambda: _split(stays, target, rows["test"], scales),
        fingerprint=files.fingerprint(stays, treatment),
        stand_in=not real,
        provenance={"rows": len(stays), "made by": "" if real else f"stand-in {standin.VERSION}", **treatment},
    )


def prepare(root: Path, *, progress: Progress = silent) -> Path:
    """Convert ``im.pk`` to ``mimic_iii.npz``, which opens without any pickle; gives the converted file.

    Raises:
        DataMissing: when there is no ``im.pk``, saying where it comes from and goes to.
        DataInvalid: when it is damaged, not arrays, or of other shapes.
    """
    return files.convert(root / TASK.name)


def status(root: Path, options: Options | None = None) -> DataStatus:
    """What is there, from file names alone (sizes of real data are known once it is loaded)."""
    options = options or Options()
    folder = root / TASK.name
    if _wants_real(root, options):
        absent = () if files.is_there(folder) else (files.PICKLE,)
        if absent:
            return DataStatus(TASK.name, "unusable", folder, False, {}, absent, *files.not_there(folder))
        return DataStatus(TASK.name, "real", folder, True)
    rows = files.split_rows(options.stand_in_size, published=False)
    samples = {split: len(rows[split]) for split in ("train", "val", "test")}
    return DataStatus(TASK.name, "stand-in", None, True, samples, (files.PICKLE,))


def check(root: Path, options: Options | None = None, *, progress: Progress = silent) -> DataStatus:
    """Read everything once.

    Raises:
        DataMissing, DataInvalid: at the first thing that is wrong.
    """
    options = options or Options()
    load(root, options, progress=progress)
    return status(root, options)


def _wants_real(root: Path, options: Options) -> bool:
    return options.source == "real" or (options.source == "auto" and files.is_there(root / TASK.name))


def _scales(stays: files.Stays, train: NDArray[np.int64]) -> dict[str, Scale]:
    """Statistics per static fact (over stays) and per measurement (over stays and hours)."""
    import torch

    from mmfuse.batch import Scale

    scales = {}
    for name, values, axes in (("static", stays.static, (0,)), ("timeseries", stays.timeseries, (0, 1))):
        rows = values[train].astype(np.float64)
        std = rows.std(axis=axes)
        mean, std = rows.mean(axis=axes), np.where(std > 0, std, 1.0)
        scales[name] = Scale(torch.from_numpy(mean).float(), torch.from_numpy(std).float())
    return scales


def _split(stays: files.Stays, target: NDArray[np.int64], rows: NDArray[np.int64], scales: dict[str, Scale]) -> Split:
    """The rows as tensors; an id is the row's number in the file."""
    import torch

    from mmfuse.batch import Split

    inputs = {"static": stays.static[rows], "timeseries": stays.timeseries[rows]}
    return Split(
        {name: torch.from_numpy(values) for name, values in inputs.items()},
        torch.from_numpy(target[rows]),
        torch.from_numpy(rows),
        scales,
    )
