"""SBU captions: up to 859,739 images from the web with one caption each, all for training.

Ordonez et al., "Im2Text" (2011, NeurIPS 24). Read is ``sbu.json``, a list of {image, caption, url}; images lie in
``images/``. Many links are dead: images that are not there are skipped, counted and named.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmfuse.encoding import CollectionOptions

if TYPE_CHECKING:
    from mmfuse.extraction.collection import Collection

MODALITIES = ("image", "text")
FILES = {"train": "sbu.json"}
HINT = "put sbu.json there and the images into images/"


class Options(CollectionOptions):
    """Where the collection lies, and how much of it is taken."""


def read(root: Path, options: Options) -> Collection:
    """The collection below ``root``, or in the folder that the options name.

    Raises:
        DataMissing, DataInvalid: when annotations are absent, damaged or empty.
    """
    from mmfuse.extraction.captioned_lists import read_lists

    folder = options.folder or root / "sbu"
    return read_lists(folder, FILES, name="sbu", hint=HINT, limit=options.limit)
