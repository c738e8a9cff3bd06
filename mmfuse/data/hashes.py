"""Content hashes of data files, remembered beside them so that a large file is read for its hash only once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmfuse.data.progress import Progress, silent

CACHE = ".hashes.json"


def sha256_of(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hashes(
    folder: Path, names: Iterable[str], *, progress: Progress = silent, fresh: bool = False
) -> dict[str, str]:
    """SHA-256 of each named file of ``folder``.

    A hash is read from the folder's cache while size and modification time of the file are those it was taken at;
    ``fresh`` reads every file anew. A folder that cannot be written works, only slower.
    """
    known = {} if fresh else _read_cache(folder / CACHE)
    entries, hashes = {}, {}
    wanted = tuple(names)
    for number, name in enumerate(wanted):
        stat = (folder / name).stat()
        mark = [stat.st_size, stat.st_mtime_ns]
        entry = known.get(name)
        if not isinstance(entry, dict) or entry.get("mark") != mark:
            progress(number, len(wanted), what=f"reading {name}")
            entry = {"mark": mark, "sha256": sha256_of(folder / name)}
        entries[name], hashes[name] = entry, entry["sha256"]
    if entries != {name: known.get(name) for name in entries}:
        _write_cache(folder / CACHE, known | entries)
    return hashes


def _read_cache(path: Path) -> dict[str, Any]:
    try:
        cache = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cache if isinstance(cache, dict) else {}


def _write_cache(path: Path, entries: dict[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):  # a cache: a read-only folder does without
        temporary.write_text(json.dumps(entries, indent=1), encoding="utf-8")
        temporary.replace(path)
