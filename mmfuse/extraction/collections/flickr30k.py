"""Flickr30k in Karpathy's splits: 29,000 / 1,014 / 1,000 images with five captions each.

Young et al., "From image descriptions to visual denotations" (2014, TACL 2). Read are
``flickr30k_{train,val,test}.json`` (a list of {image, caption}) or Karpathy's own ``dataset_flickr30k.json``; images
lie in ``images/``. FuseMix never trains on it; its released code selects on the test split, mmfuse on validation.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmfuse.encoding import CollectionOptions

if TYPE_CHECKING:
    from mmfuse.extraction.collection import Collection

MODALITIES = ("image", "text")
FILES = {"train": "flickr30k_train.json", "val": "flickr30k_val.json", "test": "flickr30k_test.json"}
HINT = "put the annotations there and the images into images/"
KARPATHY = "dataset_flickr30k.json"
"""His own file of all splits, read in place of the others where it is there."""


class Options(CollectionOptions):
    """Where the collection lies, and how much of it is taken."""


def read(root: Path, options: Options) -> Collection:
    """The collection below ``root``, or in the folder that the options name.

    Raises:
        DataMissing, DataInvalid: when annotations are absent, damaged or empty.
    """
    from mmfuse.extraction.captioned_lists import read_lists

    folder = options.folder or root / "flickr30k"
    return read_lists(folder, FILES, name="flickr30k", hint=HINT, limit=options.limit, karpathy=KARPATHY)
