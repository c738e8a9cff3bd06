"""AudioCaps: about 50,000 clips of 10 seconds; one caption each in training, five in validation and test.

Kim et al., "AudioCaps" (2019, NAACL, pp. 119-132). Read are ``train.csv``, ``val.csv`` and ``test.csv`` with the
columns youtube_id, start_time and caption; clips are ``audio/<youtube_id>_<start_time>.wav``. Clips that are gone from
the web are skipped, counted and named.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmfuse.encoding import CollectionOptions

if TYPE_CHECKING:
    from mmfuse.extraction.collection import Collection

MODALITIES = ("audio", "text")
FILES = {"train": "train.csv", "val": "val.csv", "test": "test.csv"}
HINT = "put the annotations there and the clips into audio/"


class Options(CollectionOptions):
    """Where the collection lies, and how much of it is taken."""


def read(root: Path, options: Options) -> Collection:
    """The collection below ``root``, or in the folder that the options name.

    Raises:
        DataMissing, DataInvalid: when annotations are absent, damaged or empty.
    """
    from mmfuse.extraction.annotations import find_annotations, first, read_table
    from mmfuse.extraction.collection import CaptionedMedia

    folder = options.folder or root / "audiocaps"
    media = CaptionedMedia("audiocaps", medium="audio", folder=str(folder / "audio"))
    for split, path in find_annotations(folder, FILES, name="audiocaps", hint=HINT).items():
        clips: dict[str | None, list[str]] = {}
        for row in read_table(path, ("youtube_id", "start_time", "caption")):
            known = row["youtube_id"] and row["start_time"]
            clip = f"{row['youtube_id']}_{row['start_time']}.wav" if known else None
            clips.setdefault(clip, []).append(row["caption"])
        for clip in first(list(clips), options.limit):
            media.add(split, clip, clips[clip])
    return media.finish()
