"""Conceptual Captions: 3.3 million rows, of which FuseMix found 2,759,017 images, all for training.

Sharma et al., "Conceptual Captions" (2018, ACL, pp. 2556-2565). Read is ``cc3m.json``, a list of {image, caption};
images lie in ``images/``. Every row is checked by its own image, not by its place among the distinct ones, as the
released notebook does; images that are not there are skipped, counted and named.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmfuse.encoding import CollectionOptions

if TYPE_CHECKING:
    from mmfuse.extraction.collection import Collection

MODALITIES = ("image", "text")
FILES = {"train": "cc3m.json"}
HINT = "put cc3m.json there and the images into images/"


class Options(CollectionOptions):
    """Where the collection lies, and how much of it is taken."""


def read(root: Path, options: Options) -> Collection:
    """The collection below ``root``, or in the folder that the options name.

    Raises:
        DataMissing, DataInvalid: when annotations are absent, damaged or empty.
    """
    from mmfuse.extraction.captioned_lists import read_lists

    folder = options.folder or root / "cc3m"
    return read_lists(folder, FILES, name="cc3m", hint=HINT, limit=options.limit)
