"""Collections of captioned images whose annotations are JSON lists of {image, caption}."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmfuse.extraction.annotations import captions_of, find_annotations, first_media, read_karpathy, read_list
from mmfuse.extraction.collection import CaptionedMedia, Collection


def read_lists(
    folder: Path, files: Mapping[str, str], *, name: str, hint: str, limit: int | None, karpathy: str = ""
) -> Collection:
    """The collection whose annotations are ``files`` by split, or the one file ``karpathy`` where that is there.

    Images are looked for in ``folder/images``. With ``limit``, only the first so many images of each split.

    Raises:
        DataMissing: when no annotation file is there.
        DataInvalid: when one is damaged, or there is no caption in any.
    """
    media = CaptionedMedia(name, medium="image", folder=str(folder / "images"))
    if karpathy and (folder / karpathy).is_file():
        seen: dict[str, int] = {}
        for split, place, captions in read_karpathy(folder / karpathy):
            seen[split] = seen.get(split, 0) + 1
            if limit is None or seen[split] <= limit:
                media.add(split, place, captions)
        return media.finish()
    for split, path in find_annotations(folder, files, name=name, hint=hint).items():
        for entry in first_media(read_list(path), limit, key="image"):
            media.add(split, entry.get("image"), captions_of(entry))
    return media.finish()
