"""COCO latents: images and captions of COCO by frozen encoders, as `mmfuse extract coco` leaves them (retrieval).

FuseMix (arXiv 2312.10144) trains on such pairs and looks for each of the 5,000 test images among 25,010 captions, and
the other way round. Its best encoders are DINOv2 (giant) and BGE (large). Having trained on COCO's training captions,
a model is not "zero-shot" on COCO's test.

Without files a stand-in is made: drawn scenes with five captions each, by encoders that are trained on them here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mmfuse.data.progress import Progress, silent
from mmfuse.data.status import DataStatus
from mmfuse.data.subset_options import SubsetOptions
from mmfuse.task import Modality, Task

if TYPE_CHECKING:
    from mmfuse.latents import LatentSplits

TASK = Task(
    name="coco_latents",
    kind="retrieval",
    modalities=(Modality("image", "vector", (64,)), Modality("text", "vector", (64,))),
    outputs=0,
    metric="r_mean",
)
"""Of the stand-in; real latents are as long as their encoders make them."""


class Options(SubsetOptions):
    """Which encoders' latents."""

    source: Literal["auto", "real", "stand-in"] = "auto"
    """COCO's own latents, the built-in stand-in, or the real ones where there are any."""
    image: str | None = None
    """Image encoder, such as dinov2-giant; null: the one that was extracted."""
    text: str | None = None
    """Text encoder, such as bge-large; null: the one that was extracted."""
    stand_in_pictures: Annotated[int, Field(ge=8)] = 1600
    """Training pictures of the stand-in, with five captions each."""
    stand_in_epochs: Annotated[int, Field(ge=1)] = 8
    """Passes over them with which the stand-in's encoders are trained."""
    stand_in_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the stand-in's scenes and encoders."""


def load(root: Path, options: Options, *, progress: Progress = silent) -> LatentSplits:
    """COCO's latents below the data root, or the stand-in, made there first if need be.

    Raises:
        DataMissing: when real latents are asked for and not there, or only one modality is.
        DataInvalid: when a file is damaged or the two do not fit together.
        BadSpec: when several encoders were extracted and none is chosen.
    """
    from mmfuse.data import latents_trained as trained
    from mmfuse.data.latents_load import load_latents

    if _wants_real(root, options):
        return load_latents(TASK.name, _real(root, options), options, progress=progress)
    made = trained.ensure(root, "scenes", _scenes(options), _recipe(options), progress=progress)
    return load_latents(TASK.name, made, options, stand_in=True, progress=progress)


def prepare(root: Path, *, progress: Progress = silent) -> Path:
    """Say how to come by the real latents, which need COCO's images; gives their folder where they are there.

    Raises:
        DataMissing: when they are not.
    """
    return _real(root, Options())[0].parent


def status(root: Path, options: Options | None = None) -> DataStatus:
    """What is there, from the files' structure alone."""
    from mmfuse.data import latents_trained as trained
    from mmfuse.data.latents_join import counted
    from mmfuse.errors import MmfuseError

    options = options or Options()
    absent = tuple(f"{modality}.ENCODER.h5" for modality in ("image", "text") if not _extracted(root, modality))
    try:
        if _wants_real(root, options):
            return DataStatus(TASK.name, "real", _folder(root), True, counted(_real(root, options)), absent)
        made = trained.status(TASK.name, root, "scenes", _scenes(options), _recipe(options), fraction=options.fraction)
        return DataStatus(TASK.name, "stand-in", made.folder, made.built, made.samples, absent)
    except MmfuseError as error:
        return DataStatus(TASK.name, "unusable", _folder(root), False, {}, absent, error.message, error.hint)


def check(root: Path, options: Options | None = None, *, progress: Progress = silent) -> DataStatus:
    """Read every value once.

    Raises:
        DataMissing, DataInvalid: at the first thing that is wrong.
    """
    from mmfuse.data.latents_join import join, scan

    options = options or Options()
    load(root, options, progress=progress)
    if _wants_real(root, options):
        scan(join(_real(root, options)), progress=progress)
    return status(root, options)


def _wants_real(root: Path, options: Options) -> bool:
    some_are_there = any(_extracted(root, modality) for modality in ("image", "text"))
    return options.source == "real" or (options.source == "auto" and some_are_there)


def _folder(root: Path) -> Path:
    return root / "latents" / "coco"


def _extracted(root: Path, modality: str) -> list[Path]:
    return sorted(_folder(root).glob(f"{modality}.*h5"))


def _real(root: Path, options: Options) -> list[Path]:
    return [_chosen(root, "image", options.image), _chosen(root, "text", options.text)]


def _chosen(root: Path, modality: str, encoder: str | None) -> Path:
    """The file of ``modality`` by ``encoder``, or the only one there is."""
    from mmfuse.errors import BadSpec, DataMissing

    there = _extracted(root, modality)
    if encoder is not None:
        there = [path for path in there if path.name == f"{modality}.{encoder}.h5"]
    if not there:
        which = f"{modality} latents of COCO" + (f" by {encoder}" if encoder else "")
        usual = {"image": "dinov2-giant", "text": "bge-large"}[modality]
        raise DataMissing(
            f"there are no {which} in {_folder(root)}",
            f"mmfuse extract coco --modality {modality} --encoder {encoder or usual},"
            " or --set data.source=stand-in for the built-in data",
        )
    if len(there) > 1:
        names = ", ".join(path.name.removeprefix(f"{modality}.").removesuffix(".h5") for path in there)
        raise BadSpec(
            f"COCO's {modality} latents are there by several encoders: {names}", f"--set data.{modality}=NAME"
        )
    return there[0]


def _scenes(options: Options) -> dict[str, Any]:
    return {"pictures": options.stand_in_pictures, "seed": options.stand_in_seed}


def _recipe(options: Options) -> dict[str, int]:
    return {"epochs": options.stand_in_epochs, "dim": 64, "seed": options.stand_in_seed}
