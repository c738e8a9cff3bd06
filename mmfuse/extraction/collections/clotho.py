"""Clotho: sounds of 15 to 30 seconds with five captions each, 3,839 / 1,045 / 1,045 in version 2.

Drossos et al., "Clotho: An Audio Captioning Dataset" (2019, arXiv 1910.09387; version 1, which FuseMix used, has 2,893
clips for training). Read are ``clotho_captions_{development,validation,evaluation}.csv`` with the columns file_name and
caption_1 to caption_5; clips lie in ``development/``, ``validation/`` and ``evaluation/``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmfuse.encoding import CollectionOptions

if TYPE_CHECKING:
    from mmfuse.extraction.collection import Collection

MODALITIES = ("audio", "text")
FILES = {
    "train": "clotho_captions_development.csv",
    "val": "clotho_captions_validation.csv",
    "test": "clotho_captions_evaluation.csv",
}
HINT = "put the annotations there and the clips into development/, validation/ and evaluation/"


class Options(CollectionOptions):
    """Where the collection lies, and how much of it is taken."""


def read(root: Path, options: Options) -> Collection:
    """The collection below ``root``, or in the folder that the options name.

    Raises:
        DataMissing, DataInvalid: when annotations are absent, damaged or empty.
    """
    from mmfuse.extraction.annotations import find_annotations, first, read_table
    from mmfuse.extraction.collection import CaptionedMedia

    folder = options.folder or root / "clotho"
    media = CaptionedMedia("clotho", medium="audio", folder=str(folder))
    for split, path in find_annotations(folder, FILES, name="clotho", hint=HINT).items():
        clips = path.stem.removeprefix("clotho_captions_")
        columns = [f"caption_{number}" for number in range(1, 6)]
        for row in first(read_table(path, ("file_name", *columns)), options.limit):
            name = row["file_name"]
            media.add(split, f"{clips}/{name}" if name else None, [row[column] for column in columns])
    return media.finish()
