"""Visual Genome: about 108,000 images and 770,000 to 820,000 region captions, all for training.

Krishna et al., "Visual Genome" (2016, arXiv 1602.07332). Read is ``vg_caption.json``, a list of {image, caption};
images lie in ``images/``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmfuse.encoding import CollectionOptions

if TYPE_CHECKING:
    from mmfuse.extraction.collection import Collection

MODALITIES = ("image", "text")
FILES = {"train": "vg_caption.json"}
HINT = "put vg_caption.json there and the images into images/"


class Options(CollectionOptions):
    """Where the collection lies, and how much of it is taken."""


def read(root: Path, options: Options) -> Collection:
    """The collection below ``root``, or in the folder that the options name.

    Raises:
        DataMissing, DataInvalid: when annotations are absent, damaged or empty.
    """
    from mmfuse.extraction.captioned_lists import read_lists

    folder = options.folder or root / "visual_genome"
    return read_lists(folder, FILES, name="visual_genome", hint=HINT, limit=options.limit)
