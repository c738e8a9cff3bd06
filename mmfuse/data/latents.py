"""Latents: pairs of vectors by frozen encoders, from files that `mmfuse extract` wrote (retrieval).

Without files, small encoders are trained on a dataset here, in about a minute, and their latents kept: by default on
AV-MNIST, whose pairs share nothing but their digit, so that the nearest partner should be of the right class. Where
that dataset is a stand-in, so are the latents.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from mmfuse.data.progress import Progress, silent
from mmfuse.data.status import DataStatus
from mmfuse.data.subset_options import SubsetOptions
from mmfuse.encoding import Given
from mmfuse.task import Modality, Task

if TYPE_CHECKING:
    from mmfuse.latents import LatentSplits

TASK = Task(
    name="latents",
    kind="retrieval",
    modalities=(Modality("image", "vector", (64,)), Modality("audio", "vector", (64,))),
    outputs=0,
    metric="p1_mean",
)
"""Of the latents that are made here by default; those of files have their own modalities and sizes."""


class Options(SubsetOptions):
    """Which latents."""

    files: tuple[Given, ...] = ()
    """Files of latents: at least two modalities of one collection; more collections are put behind each other."""
    evaluation_files: tuple[Given, ...] = ()
    """Files that alone give validation and test, such as those of flickr30k; the others then only train."""
    of: str = "avmnist"
    """Without files: the dataset that encoders are trained on here."""
    of_options: dict[str, Any] = {}
    """That dataset's own options."""
    encoder_epochs: Annotated[int, Field(ge=1)] = 8
    """Passes over that dataset's training rows per encoder."""
    encoder_dim: Annotated[int, Field(ge=1)] = 64
    """Length of those encoders' latents."""
    encoder_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of those encoders' weights and batches."""


def task(options: Options) -> Task:
    """The task of these options: modalities and lengths are those of the files, or of the encoders trained here.

    Raises:
        DataMissing, DataInvalid: when a file is absent or damaged.
    """
    from mmfuse.data import latents_trained as trained
    from mmfuse.data.latents_join import common_modalities, each_once, join, joined_task

    if not options.files:
        return trained.task(TASK.name, options.of, dim=options.encoder_dim)
    training, evaluation = join(options.files), join(options.evaluation_files)
    together = each_once(training, evaluation)
    return joined_task(TASK.name, together, common_modalities(together))


def load(root: Path, options: Options, *, progress: Progress = silent) -> LatentSplits:
    """The latents of the files that are named, else those of encoders trained here.

    Raises:
        DataMissing, DataInvalid: when a file is absent, damaged or does not fit the others.
    """
    from mmfuse.data.latents_load import load_latents

    files = _files(root, options, progress)
    return load_latents(TASK.name, files, options, evaluation_files=options.evaluation_files, progress=progress)


def prepare(root: Path, *, progress: Progress = silent) -> Path:
    """Train the default encoders and keep their latents; gives the folder."""
    return _files(root, Options(), progress)[0].parent


def build(
    root: Path,
    *,
    name: str,
    image_encoder: str,
    text_encoder: str,
    train_image: Path,
    train_text: Path,
    val_image: Path | None = None,
    val_text: Path | None = None,
    test_image: Path | None = None,
    test_text: Path | None = None,
    progress: Progress = silent,
) -> Path:
    """Import latents in FuseMix's published layout, a ``.dpt`` file per split and modality; gives the folder.

    Raises:
        BadSpec: for a name that is taken, or half a split.
        DataMissing, DataInvalid: when a file is absent, holds anything but vectors, or does not fit its partner.
    """
    from mmfuse.data.latents_import import DptSplit, import_dpt
    from mmfuse.errors import BadSpec

    given = {"train": (train_image, train_text), "val": (val_image, val_text), "test": (test_image, test_text)}
    splits = {}
    for split, (image, text) in given.items():
        if image is not None and text is not None:
            splits[split] = DptSplit(image, text)
        elif image is not None or text is not None:
            raise BadSpec(f"{split} needs both --{split}-image and --{split}-text")
    folder = root / "latents" / name
    import_dpt(folder, splits, name=name, encoders={"image": image_encoder, "text": text_encoder}, progress=progress)
    return folder


def status(root: Path, options: Options | None = None) -> DataStatus:
    """What is there, from the files' structure alone."""
    from mmfuse.data import latents_trained as trained
    from mmfuse.data.latents_join import counted, join
    from mmfuse.errors import MmfuseError

    options = options or Options()
    try:
        if options.files:
            samples = counted(options.files, options.evaluation_files)
            stand_in = any(joined.table.stand_in for joined in join(options.files))
            return DataStatus(TASK.name, "stand-in" if stand_in else "real", options.files[0].parent, True, samples)
        return trained.status(
            TASK.name, root, options.of, options.of_options, _recipe(options), fraction=options.fraction
        )
    except MmfuseError as error:
        return DataStatus(TASK.name, "unusable", None, False, {}, (), error.message, error.hint)


def check(root: Path, options: Options | None = None, *, progress: Progress = silent) -> DataStatus:
    """Read every value once.

    Raises:
        DataMissing, DataInvalid: at the first thing that is wrong.
    """
    from mmfuse.data.latents_join import join, scan

    options = options or Options()
    files = _files(root, options, progress)
    load(root, options, progress=progress)
    scan(join([*files, *options.evaluation_files]), progress=progress)
    return status(root, options)


def _files(root: Path, options: Options, progress: Progress) -> list[Path]:
    if options.files:
        return list(options.files)
    from mmfuse.data import latents_trained as trained

    return trained.ensure(root, options.of, options.of_options, _recipe(options), progress=progress)


def _recipe(options: Options) -> dict[str, int]:
    return {"epochs": options.encoder_epochs, "dim": options.encoder_dim, "seed": options.encoder_seed}
