"""``sealed.h5``: the numbers of an ended run as HDF5 columns, a tenth of the time to read.

Derived from ``metrics.jsonl`` and free to be deleted. HDF5 is written here only, in one go, after the run has ended and
under another name until it is whole: a file that is open for writing when its process dies stays locked for good.
h5py is imported inside the functions, because listing runs must not load numpy.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmfuse.errors import RunBusy, StoreError
from mmfuse_runs.folder import FORMAT, RunFolder
from mmfuse_runs.states import LIVE
from mmfuse_runs.tail import Block, MetricsTable

SEALED = "sealed.h5"


def seal(folder: RunFolder) -> Path:
    """Write ``sealed.h5`` from the journal, replacing an older one; returns its path.

    One group per metric, ``run/val/accuracy`` or ``trials/7/val/accuracy``, holds ``steps``, ``times`` (Unix seconds)
    and ``values``, with ``min``, ``max`` and ``last`` as attributes. Rows that a later attempt replaced are left out.

    Raises:
        RunBusy: the run is still going on.
        StoreError: the folder cannot be written.
    """
    import h5py

    state = folder.state()["state"]
    if state in LIVE:
        raise RunBusy(f"run {folder.id} is {state}; only an ended run is sealed", f"mmfuse runs stop {folder.id}")
    table = folder.metrics()
    path = folder.path / SEALED
    temporary = path.with_name(f"{SEALED}.{os.getpid()}.tmp")
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs.update({"format": FORMAT, "run": folder.id, "journal_bytes": table.offset})
            for trial in (None, *table.trials()):
                for name in table.names(trial):
                    _write_series(file.create_group(f"{_owner(trial)}/{name}"), *table.points(name, trial), name=name)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"{path} cannot be written: {error}") from error
    return path


def unseal(folder: RunFolder) -> MetricsTable | None:
    """The numbers from ``sealed.h5``; None where there is none, or the journal has changed since.

    A copy of a run may hold the sealed file alone.

    Raises:
        StoreError: the file is damaged or of a newer format.
    """
    path, journal = folder.path / SEALED, folder.path / "metrics.jsonl"
    if not path.is_file():
        return None
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if int(file.attrs["format"]) > FORMAT:
                raise StoreError(
                    f"{path} was written by a newer mmfuse (format {file.attrs['format']}, this one reads {FORMAT})",
                    "upgrade mmfuse",
                )
            sealed_bytes = int(file.attrs["journal_bytes"])
            if journal.is_file() and journal.stat().st_size != sealed_bytes:
                return None
            return MetricsTable.from_blocks(journal, sealed_bytes, list(_read_blocks(file)))
    except (OSError, KeyError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}", f"delete it; mmfuse reads {journal.name} instead") from error


def _owner(trial: int | None) -> str:
    return "run" if trial is None else f"trials/{trial}"


def _write_series(group: Any, steps: array[int], values: array[float], times: array[float], *, name: str) -> None:
    import numpy

    for key, column in (("steps", steps), ("values", values), ("times", times)):
        numbers = numpy.frombuffer(column, dtype=column.typecode)
        group.create_dataset(key, data=numbers, compression="gzip", compression_opts=1, shuffle=True)
    # Comparisons with NaN are false, so one anywhere would make min and max depend on the order.
    ordered = [value for value in values if value == value]
    rollup = {"min": min(ordered), "max": max(ordered)} if ordered else {}
    group.attrs.update({"name": name, "last": values[-1], **rollup})


def _read_blocks(file: Any) -> Iterator[tuple[int | None, Block]]:
    """The trial and columns of metrics that were measured together, which share their steps again."""
    owners: dict[int | None, Any] = {None: file["run"]} if "run" in file else {}
    owners |= {int(number): group for number, group in file.get("trials", {}).items()}
    for trial, owner in owners.items():
        blocks: dict[tuple[bytes, bytes], Block] = {}
        for group in _series_of(owner):
            steps, times, values = (group[key][:].tobytes() for key in ("steps", "times", "values"))
            block = blocks.setdefault((steps, times), Block(()))
            block.steps, block.times = array("q", steps), array("d", times)
            block.values[group.attrs["name"]] = array("d", values)
        for block in blocks.values():
            yield trial, block


def _series_of(owner: Any) -> list[Any]:
    groups: list[Any] = []
    owner.visititems(lambda _, item: groups.append(item) if "name" in item.attrs else None)
    return groups


if __name__ == "__main__":
    seal(RunFolder(Path(sys.argv[1])))
