"""A folder that appears whole or not at all, however many processes make it and however they die."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmfuse.errors import DataMissing


@contextmanager
def staged(folder: Path) -> Iterator[Path | None]:
    """An empty folder to fill; when the block ends well it is renamed to ``folder``, else it is removed.

    Gives None when another process has made ``folder`` meanwhile. What a killed process left behind is removed first.

    Raises:
        DataMissing: when the place cannot be written.
    """
    work = folder.with_name(f".{folder.name}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f".{folder.name}.lock").open("a")
    except OSError as error:
        raise DataMissing(
            f"{folder} does not exist and cannot be made: {error.strerror}", "choose another place with --data-root"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            yield None
            return
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            yield work
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
