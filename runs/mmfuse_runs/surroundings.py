"""What a run's numbers depend on beside its spec: the versions of all installed libraries, and our commit in git."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import mmfuse

PATCH_LIMIT = 1 << 20
"""Bytes of a patch that are kept."""
_GIT_S = 2.0
_SAME, _DIFFERENT = 0, 1
"""Exit codes of ``git diff --exit-code``."""
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv")
_INSTALLED = re.compile(r"(.+?)-([^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info")


def packages() -> dict[str, str]:
    """Version by name of every distribution that can be imported from here.

    Read off the names of the folders that installers leave: `importlib.metadata` opens each, a hundred times slower.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        with suppress(OSError):
            for name in os.listdir(folder):  # noqa: PTH208 - names are all that is wanted
                if installed := _INSTALLED.fullmatch(name):
                    found.setdefault(re.sub(r"[-_.]+", "-", installed[1]).lower(), installed[2])
    return dict(sorted(found.items()))


def git_state(patch: Path) -> dict[str, Any] | None:
    """Commit of the checkout that this code runs from; None where it was installed from a package.

    What has changed since the commit is written to ``patch`` (at most `PATCH_LIMIT`); ``dirty`` is None where git could
    not say in time.
    """
    source = Path(mmfuse.__file__).parent
    if not any((folder / ".git").exists() for folder in source.parents):
        return None
    git = ["git", "--no-optional-locks", "-C", str(source)]
    try:
        sha = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=_GIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return {"sha": sha.stdout.strip(), "dirty": _write_patch([*git, "diff", "--exit-code", *_PLAIN, "HEAD"], patch)}


def _write_patch(diff: list[str], patch: Path) -> bool | None:
    """Whether there are changes, which then lie in ``patch``; None where git failed or took too long."""
    try:
        patch.parent.mkdir(exist_ok=True)
        with open(patch, "wb") as file:
            ended = subprocess.run(diff, stdout=file, stderr=subprocess.DEVNULL, timeout=_GIT_S)
        if ended.returncode == _DIFFERENT:
            _shorten(patch)
            return True
    except (OSError, subprocess.SubprocessError):
        ended = None
    with suppress(OSError):
        patch.unlink()
        patch.parent.rmdir()
    return False if ended is not None and ended.returncode == _SAME else None


def _shorten(patch: Path) -> None:
    size = patch.stat().st_size
    if size > PATCH_LIMIT:
        os.truncate(patch, PATCH_LIMIT)
        with open(patch, "a") as file:
            file.write(f"\n[cut off after {PATCH_LIMIT} of {size} bytes]\n")
