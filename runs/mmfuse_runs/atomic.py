"""Replace a small JSON file so that a reader sees the old content or the new one, never a part.

Standard library only: the supervisor imports this without site-packages.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Put ``record`` at ``path``: written beside it, then renamed over it. Text that is no UTF-8 is escaped.

    Raises:
        OSError: the disk is full, read-only or gone; the old content stands.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(_encode(record))
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _encode(record: Mapping[str, Any]) -> bytes:
    try:
        return f"{json.dumps(record, indent=1, ensure_ascii=False)}\n".encode()
    except UnicodeEncodeError:
        return f"{json.dumps(record, indent=1)}\n".encode()  # a path may hold bytes that only escapes can carry
