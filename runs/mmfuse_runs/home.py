"""Where runs and data live on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from mmfuse.errors import StoreError

HOME_VARIABLE = "MMFUSE_HOME"
DATA_VARIABLE = "MMFUSE_DATA"


def resolve_home(option: str | None = None) -> Path:
    """The store's folder: ``--home``, else $MMFUSE_HOME, else ./.mmfuse if there, else the user's data folder.

    Never ./runs, which in a checkout is code. The folder need not exist.

    Raises:
        StoreError: a file, or a relative path while the working folder has been removed.
    """
    chosen = option or os.environ.get(HOME_VARIABLE)
    if chosen:
        home = _absolute(chosen)
        if home.is_file():
            raise StoreError(f"{home} is a file, and a run store is a folder", "choose another with --home")
        return home
    local = Path(".mmfuse")
    if local.is_dir():
        return local.absolute()
    import platformdirs  # here, because most calls are answered above and it takes a moment to load

    return Path(platformdirs.user_data_dir("mmfuse", appauthor=False))


def data_root(home: Path, option: str | None = None) -> Path:
    """The folder of datasets: ``option``, else $MMFUSE_DATA, else ``data`` in the home."""
    chosen = option or os.environ.get(DATA_VARIABLE)
    return _absolute(chosen) if chosen else home / "data"


def _absolute(text: str) -> Path:
    path = Path(text).expanduser()
    try:
        return path.absolute()
    except FileNotFoundError:
        raise StoreError(f"the folder you are in is gone, so nobody knows where {text} is", "cd ~") from None
