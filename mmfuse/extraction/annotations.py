"""Annotation files as they are published: JSON lists, Karpathy's splits, tables of comma-separated values."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mmfuse.errors import DataInvalid, DataMissing

KARPATHY_SPLITS = {"train": "train", "restval": "train", "val": "val", "test": "test"}
"""Karpathy's "restval", the rest of COCO's validation images, is trained on, as everywhere."""


def find_annotations(folder: Path, wanted: Mapping[str, str], *, name: str, hint: str) -> dict[str, Path]:
    """The annotation file of each split that is there.

    Raises:
        DataMissing: when there is none at all, naming all that were looked for.
    """
    found = {split: folder / file for split, file in wanted.items() if (folder / file).is_file()}
    if not found:
        raise DataMissing(f"{name} is not in {folder}: it needs {', '.join(dict.fromkeys(wanted.values()))}", hint)
    return found


def read_list(path: Path) -> list[Mapping[str, Any]]:
    """A JSON list of objects.

    Raises:
        DataInvalid: when it is damaged or something else.
    """
    value = _json(path)
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise DataInvalid(f"{path} is not a JSON list of objects", "is it the annotation file that is meant?")
    return value


def read_karpathy(path: Path) -> Iterator[tuple[str, str | None, list[Any]]]:
    """Split, file name below the folder of images, and captions of each image in ``dataset_<name>.json``.

    The name is None where an entry has none, a caption where a sentence has no text.

    Raises:
        DataInvalid: when it is damaged or something else.
    """
    value = _json(path)
    images = value.get("images") if isinstance(value, dict) else None
    if not isinstance(images, list) or not all(isinstance(entry, dict) for entry in images):
        raise DataInvalid(f"{path} has no list 'images' of objects", "is it Karpathy's file of splits?")
    for entry in images:
        split = KARPATHY_SPLITS.get(str(entry.get("split")))
        if split is not None:
            parts = [part for part in (entry.get("filepath"), entry.get("filename")) if part]
            named = bool(parts) and all(isinstance(part, str) for part in parts)
            sentences = entry.get("sentences")
            yield split, "/".join(parts) if named else None, _texts(sentences if isinstance(sentences, list) else [])


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file with a header that names at least ``columns``.

    Raises:
        DataInvalid: when a column is missing, or the file is no text.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            absent = [name for name in columns if name not in (reader.fieldnames or ())]
            if absent:
                raise DataInvalid(
                    f"{path} has no column {absent[0]}, it has {', '.join(reader.fieldnames or ()) or 'none'}",
                    "is it the annotation file that is meant?",
                )
            return list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataInvalid(f"{path} is not a table of comma-separated values ({error})", "fetch it again") from error


def first(rows: Sequence[Any] | Iterator[Any], limit: int | None) -> Iterator[Any]:
    """The first ``limit`` rows, or all."""
    return islice(rows, limit)


def first_media(entries: Iterable[Mapping[str, Any]], limit: int | None, *, key: str) -> Iterator[Mapping[str, Any]]:
    """All entries of the first ``limit`` different media, which ``key`` names, or all; a medium may have several."""
    taken: set[str] = set()
    for entry in entries:
        medium = str(entry.get(key))
        if limit is None or medium in taken or len(taken) < limit:
            taken.add(medium)
            yield entry


def captions_of(entry: Mapping[str, Any]) -> list[Any]:
    """The captions of a JSON entry: one text, or a list of them."""
    caption = entry.get("caption")
    return caption if isinstance(caption, list) else [caption]


def _texts(sentences: list[Any]) -> list[Any]:
    return [sentence.get("raw") if isinstance(sentence, dict) else None for sentence in sentences]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise DataInvalid(f"{path} is not complete JSON ({error})", "fetch it again") from error
