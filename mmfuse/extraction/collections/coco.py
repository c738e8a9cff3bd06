"""COCO captions in Karpathy's splits: 113,287 / 5,000 / 5,000 images, five captions each or a few more.

Chen et al., "Microsoft COCO Captions" (2015, arXiv 1504.00325); splits of Karpathy and Fei-Fei (2015, arXiv 1412.2306).
Read are ``coco_karpathy_{train,val,test}.json`` (a list of {image, caption}; 566,747 training pairs, 25,010 test
captions) or Karpathy's own ``dataset_coco.json``; images lie in ``images/``, as ``val2014/COCO_val2014_....jpg``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmfuse.encoding import CollectionOptions

if TYPE_CHECKING:
    from mmfuse.extraction.collection import Collection

MODALITIES = ("image", "text")
FILES = {
    "train": "coco_karpathy_train.json",
    "val": "coco_karpathy_val.json",
    "test": "coco_karpathy_test.json",
}
HINT = "put the annotations there, and the images of train2014 and val2014 into images/"
KARPATHY = "dataset_coco.json"
"""His own file of all splits, read in place of the others where it is there."""


class Options(CollectionOptions):
    """Where the collection lies, and how much of it is taken."""


def read(root: Path, options: Options) -> Collection:
    """The collection below ``root``, or in the folder that the options name.

    Raises:
        DataMissing, DataInvalid: when annotations are absent, damaged or empty.
    """
    from mmfuse.extraction.captioned_lists import read_lists

    folder = options.folder or root / "coco"
    return read_lists(folder, FILES, name="coco", hint=HINT, limit=options.limit, karpathy=KARPATHY)
