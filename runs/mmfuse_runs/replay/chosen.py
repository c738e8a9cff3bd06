"""From what a person names to the recordings that are meant: one run, or all that have ended in a home."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from mmfuse.errors import BadSpec, MmfuseError
from mmfuse_runs.folder import RunFolder
from mmfuse_runs.replay.recording import Recording
from mmfuse_runs.store import RunStore


def recordings_of(what: str, *, home: Path) -> list[Recording]:
    """What ``what`` names: the folder of a run wherever it lies, a home, or a run of ``home`` as people call it.

    Of a home's runs those are left out that still go on or cannot be read.

    Raises:
        UnknownName: it is no folder, and ``home`` has no such run.
        BadSpec: the folder holds no run; the run still goes on, or none of the home's has ended.
        StoreError: the run cannot be read.
    """
    path = Path(what).expanduser()
    if (path / "state.json").is_file():
        return [Recording(RunFolder(path.absolute()))]
    if (path / "runs").is_dir():
        return _ended(RunStore(path.absolute(), read_only=True))
    if path.is_dir():
        raise BadSpec(f"{path} is neither the folder of a run nor a home of runs", "mmfuse runs ls")
    store = RunStore(home, read_only=True)
    return [Recording(store.folder(store.find(what)))]


def _ended(store: RunStore) -> list[Recording]:
    found = []
    for run_id in store.ids():
        with suppress(MmfuseError):
            found.append(Recording(store.folder(run_id)))
    if not found:
        raise BadSpec(f"no run of {store.home} has ended, and only what has ended can be played", "mmfuse tui")
    return sorted(found, key=lambda recording: (recording.start, recording.id))
