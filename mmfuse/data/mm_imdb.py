"""MM-IMDB: a film's poster and plot; which of 23 genres is it? (23 labels, weighted F1).

Arevalo et al., "Gated Multimodal Units for Information Fusion" (2017, arXiv 1702.01992): 25,959 films, 15,552 / 2,608 /
7,799, in one file ``multimodal_imdb.hdf5`` and a vocabulary ``metadata.npy``. Each modality comes in several
representations, and papers differ in which they use: MFAS (arXiv 1903.06496) posters and mean word vectors, MultiBench
and DynMM VGG features and mean word vectors, MixMAS (arXiv 2412.18437) posters and BERT's token vectors, M2-Mixer
posters and hashed words. Results on different representations carry different fingerprints.

Where we differ from the published loaders: posters are brought back from mean-subtracted BGR to RGB, reduced once and
mapped into memory (they read the file row by row, or all 12.8 GB of it); a film whose plot has no known word gets a
zero vector, not NaN; a limited number of rows is a seeded random choice, because rows are stored genre by genre.

Without the file a stand-in of the same format is made on first use: see `mmfuse.data.mm_imdb_standin`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mmfuse.data.progress import Progress, silent
from mmfuse.data.status import DataStatus
from mmfuse.options import Options as OptionsBase
from mmfuse.task import Modality, Task

if TYPE_CHECKING:
    from mmfuse.batch import Scale, Split, Splits


class Options(OptionsBase):
    """Which representations, how large, and what counts as a predicted genre."""

    source: Literal["auto", "real", "stand-in"] = "auto"
    """The real file, the built-in stand-in, or the real one where it is there."""
    image: Literal["pixels", "vgg"] = "pixels"
    """The poster, or 4,096 features that a VGG-16 made of it (MultiBench, DynMM)."""
    text: Literal["word2vec", "bert", "pnlp"] = "word2vec"
    """The plot's mean word vector (MFAS, DynMM), BERT's vector of each token (MixMAS), or hashed words (M2-Mixer)."""
    image_height: Annotated[int, Field(ge=8, le=256)] = 64
    """Height posters are reduced to, from 256 (MixMAS: 256); 64 for a CPU."""
    image_width: Annotated[int, Field(ge=8, le=256)] = 64
    """Width posters are reduced to, from 160 (MixMAS: 256, a square; M2-Mixer: 160)."""
    text_length: Annotated[int, Field(ge=1, le=512)] = 64
    """Tokens of a plot with text bert (MixMAS: 512) or pnlp (M2-Mixer: 160); longer plots are cut, shorter filled."""
    hash_features: Annotated[int, Field(ge=16)] = 1024
    """Counters that each word is hashed to with text pnlp (M2-Mixer: 1024)."""
    scaling: Literal["standard", "imagenet", "none"] = "standard"
    """Mean 0 and deviation 1 by training statistics; pixels by ImageNet's, the rest raw (MixMAS); or everything raw."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability above which a genre counts as predicted (DynMM, MixMAS: 0.5; MFAS: 0.3)."""
    limit: Annotated[int, Field(ge=10)] | None = None
    """Use only so many rows of each split, chosen at random; changes the fingerprint."""
    stand_in_size: Annotated[int, Field(ge=60, le=20_000)] = 1200
    """Training films of the stand-in; it has a sixth of them for validation and a third for testing."""
    stand_in_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the stand-in's films."""


GENRES = 23
WORD2VEC, VGG, BERT = 300, 4096, 768
"""Widths of the mean word vectors, of the VGG features and of BERT's token vectors."""


def task(options: Options) -> Task:
    """The task of these options: shapes follow from the chosen representations."""
    image = {
        "pixels": Modality("image", "grid", (3, options.image_height, options.image_width)),
        "vgg": Modality("image", "vector", (VGG,)),
    }
    text = {
        "word2vec": Modality("text", "vector", (WORD2VEC,)),
        "bert": Modality("text", "sequence", (options.text_length, BERT)),
        "pnlp": Modality("text", "sequence", (options.text_length, options.hash_features)),
    }
    return Task(
        name="mm_imdb",
        kind="multilabel",
        modalities=(image[options.image], text[options.text]),
        outputs=GENRES,
        metric="f1_weighted",
        threshold=options.threshold,
    )


TASK = task(Options())

BACKBONES: dict[str, dict[str, Any]] = {
    "image": {"family": "vgg", "params": {"width": 8, "convolutions": [1, 1, 1, 2, 2], "norm": True}},
    "text": {"family": "maxout_text"},
}
"""MFAS's backbones for films; the VGG narrow, shallow and with batch norm, so that a CPU can train it anew."""


import numpy as np
from numpy.typing import NDArray

from mmfuse.data import mm_imdb_files as files
from mmfuse.data import mm_imdb_staged as stages
from mmfuse.data import mm_imdb_standin as standin
from mmfuse.data.download import Remote, fetch
from mmfuse.errors import MmfuseError


def load(root: Path, options: Options, *, progress: Progress = silent) -> Splits:
    """MM-IMDB below the data root; the stand-in is made there first if it is what is asked for.

    Raises:
        DataMissing: when the real file is asked for and absent, or a key of it that the options need.
        DataInvalid: when a file is damaged or a key has another shape.
    """
    from mmfuse.batch import Splits

    surveyed = files.survey(_file(root, options, progress))
    genres = files.read_genres(surveyed)
    image, text = _image(surveyed, options, progress), _text(surveyed, options, progress)
    rows = {split: _rows(surveyed, split, options.limit) for split in files.SPLITS}
    columns = {"image": image, "text": text}
    scales = _scales(columns, options)
    treatment = _treatment(options)

    def cut(split: str) -> Split:
        return _split(columns, genres, rows[split], scales)

    return Splits(
        task=replace(task(options), classes=surveyed.genres),
        train=cut("train"),
        val=cut("val"),
        open_test=lambda: cut("test"),
        fingerprint=files.fingerprint(
            {"genres": files.digest(genres), "image": image.digest, "text": text.digest},
            splits=surveyed.splits,
            treatment=treatment,
        ),
        stand_in=surveyed.made_by != "",
        provenance={"file": str(surveyed.path), "made by": surveyed.made_by or "the file's authors", **treatment},
    )


def prepare(root: Path, *, progress: Progress = silent) -> Path:
    """Download the file and its vocabulary; gives the folder.

    Raises:
        DataMissing: when one cannot be fetched, saying where to put it by hand.
        DataInvalid: when what arrived is not MM-IMDB.
    """
    folder = root / TASK.name
    address = files.address()
    for name in (files.VOCABULARY, files.FILE):
        fetch(Remote(f"{address}/{name}", name), folder, progress=progress)
    files.survey(folder / files.FILE)
    return folder


def status(root: Path, options: Options | None = None) -> DataStatus:
    """What is there, from the file's structure alone."""
    options = options or Options()
    real = root / TASK.name / files.FILE
    absent = tuple(name for name in (files.FILE, files.VOCABULARY) if not real.with_name(name).is_file())
    recipe = _recipe(options)
    try:
        if _wants_real(root, options):
            counts = _counts(files.survey(real).splits, options.limit)
            return DataStatus(TASK.name, "real", real.parent, True, counts, absent)
        folder = _stand_in_folder(root, options)
        counts = _counts(recipe.splits, options.limit)
        return DataStatus(TASK.name, "stand-in", folder, folder.is_dir(), counts, absent)
    except MmfuseError as error:
        return DataStatus(TASK.name, "unusable", real.parent, False, {}, absent, error.message, error.hint)


def check(root: Path, options: Options | None = None, *, progress: Progress = silent) -> DataStatus:
    """Read everything the options need once: shapes, finite values, genres, identities, and what was reduced from it.

    Raises:
        DataMissing, DataInvalid: at the first thing that is wrong.
    """
    options = options or Options()
    surveyed = files.survey(_file(root, options, progress))
    files.check_identities(surveyed)
    load(root, options, progress=progress)
    stages.verify(surveyed, progress=progress)
    return status(root, options)


def _wants_real(root: Path, options: Options) -> bool:
    return options.source == "real" or (options.source == "auto" and (root / TASK.name / files.FILE).is_file())


def _file(root: Path, options: Options, progress: Progress) -> Path:
    if _wants_real(root, options):
        return root / TASK.name / files.FILE
    folder = standin.ensure(_stand_in_folder(root, options), _recipe(options), progress=progress)
    return folder / files.FILE


def _stand_in_folder(root: Path, options: Options) -> Path:
    return root / "mm_imdb-stand-in" / _recipe(options).folder


def _recipe(options: Options) -> standin.Recipe:
    size = options.stand_in_size
    return standin.Recipe(train=size, val=size // 6, test=size // 3, seed=options.stand_in_seed)


def _treatment(options: Options) -> dict[str, Any]:
    """What is done to the stored values; options that do not matter for the chosen representations are left out."""
    used = {"image": options.image, "text": options.text, "scaling": options.scaling, "limit": options.limit}
    if options.image == "pixels":
        used |= {"image_height": options.image_height, "image_width": options.image_width}
    if options.text != "word2vec":
        used["text_length"] = options.text_length
    if options.text == "pnlp":
        used["hash_features"] = options.hash_features
    return used | {"threshold": options.threshold}


def _image(surveyed: files.Survey, options: Options, progress: Progress) -> stages.Column:
    if options.image == "vgg":
        return stages.vectors(surveyed, "vgg_features", width=VGG)
    return stages.posters(surveyed, height=options.image_height, width=options.image_width, progress=progress)


def _text(surveyed: files.Survey, options: Options, progress: Progress) -> stages.Column:
    if options.text == "bert":
        return stages.token_vectors(surveyed, length=options.text_length, width=BERT, progress=progress)
    if options.text == "pnlp":
        return stages.hashed_words(
            surveyed, length=options.text_length, features=options.hash_features, progress=progress
        )
    return stages.vectors(surveyed, "features", width=WORD2VEC, fill_unknown=True)


def _counts(splits: Mapping[str, range], limit: int | None) -> dict[str, int]:
    return {split: min(len(rows), limit or len(rows)) for split, rows in splits.items()}


def _rows(surveyed: files.Survey, split: str, limit: int | None) -> NDArray[np.int64] | slice:
    """A split's rows: all of them as a slice, which copies nothing, or a random choice in stored order."""
    rows = surveyed.splits[split]
    if limit is None or limit >= len(rows):
        return slice(rows.start, rows.stop)
    chosen = np.random.default_rng([0, rows.start]).choice(len(rows), limit, replace=False)
    return np.asarray(np.sort(chosen) + rows.start, dtype=np.int64)


def _scales(columns: Mapping[str, stages.Column], options: Options) -> dict[str, Scale]:
    """How each modality is scaled, if at all. Token vectors and counters are never: they have a scale of their own."""
    import torch

    from mmfuse.batch import Scale

    statistics: dict[str, stages.Statistics] = {}
    if options.scaling == "standard":
        statistics = {name: column.statistics for name, column in columns.items() if column.statistics is not None}
    elif options.scaling == "imagenet" and options.image == "pixels":
        statistics = {"image": stages.IMAGENET}
    return {name: Scale(*(torch.from_numpy(value).float() for value in pair)) for name, pair in statistics.items()}


def _split(
    columns: Mapping[str, stages.Column],
    genres: NDArray[np.uint8],
    rows: NDArray[np.int64] | slice,
    scales: Mapping[str, Scale],
) -> Split:
    """The rows as tensors that share memory with mapped files where they are contiguous; an id is the file's row."""
    import torch

    from mmfuse.batch import Split

    return Split(
        {name: torch.from_numpy(column.values[rows]) for name, column in columns.items()},
        torch.from_numpy(genres[rows].astype(np.float32)),
        torch.from_numpy(np.arange(len(genres))[rows]),
        scales,
        {name: torch.from_numpy(column.table) for name, column in columns.items() if column.table is not None},
    )
