"""Files that are being written: under names that no other process uses, and swept up once their writer is gone.

Several runs on one machine may write the same file of the data root at the same time; each writes a file of its own and
puts it in place when it is whole.
"""

from __future__ import annotations

import logging
import os
import platform
import re
from pathlib import Path

logger = logging.getLogger(__name__)


def partial_path(path: Path) -> Path:
    """Where this process writes what is to become ``path``: beside it, hidden, named after machine and process."""
    return path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.partial")


def sweep_partial(folder: Path) -> None:
    """Remove from ``folder`` what processes of this machine that are no more were writing."""
    for path in folder.glob(f".*.{platform.node()}.*.partial"):
        owner = re.search(r"\.(\d+)\.partial$", path.name)
        if owner is not None and not _lives(int(owner[1])):
            logger.info("removing %s, whose process %s is gone", path, owner[1])
            path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True
