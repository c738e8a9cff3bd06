"""``sealed.h5``: the numbers of an ended run as HDF5 columns, a tenth of the time to read.

Derived from ``metrics.jsonl`` and free to be deleted. HDF5 is written here only, in one go, after the run has ended and
under another name until it is whole: a file that is open for writing when its process dies stays locked for good.
h5py is imported inside the functions, because listing runs must not load numpy.
"""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from typing import Any

from mmfuse.errors import RunBusy, StoreError
from mmfuse_runs.folder import FORMAT, RunFolder
from mmfuse_runs.states import LIVE
from mmfuse_runs.tail import Block, MetricsTable

SEALED = "sealed.h5"


def seal(folder: RunFolder) -> Path:
    """Write ``sealed.h5`` from the journal, replacing an older one; returns its path.

    One group for each block of rows with the same metrics (attributes ``trial``, ``attempt``), holding ``steps``,
    ``times`` and one dataset per metric with its ``name``, ``min``, ``max`` and ``last``.

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
            for number, (trial, attempt, block) in enumerate(table.blocks()):
                _write_block(file.create_group(f"blocks/{number}"), trial, attempt, block)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"{path} cannot be written: {error}") from error
    return path


def unseal(folder: RunFolder) -> MetricsTable | None:
    """The numbers from ``sealed.h5``; None where there is none, or the journal has changed since.

    Raises:
        StoreError: the file is damaged or of a newer format.
    """
    path = folder.path / SEALED
    journal = folder.path / "metrics.jsonl"
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
            size = journal.stat().st_size if journal.is_file() else 0
            if int(file.attrs["journal_bytes"]) != size:
                return None
            blocks = [_read_block(group) for group in file.get("blocks", {}).values()]
    except (OSError, KeyError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}", f"delete it; mmfuse reads {journal.name} instead") from error
    return MetricsTable.from_blocks(journal, size, blocks)


def _write_block(group: Any, trial: int | None, attempt: int, block: Block) -> None:
    group.attrs["attempt"] = attempt
    if trial is not None:
        group.attrs["trial"] = trial
    options = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    group.create_dataset("steps", data=_numbers(block.steps), **options)
    group.create_dataset("times", data=_numbers(block.times), **options)
    for number, (name, column) in enumerate(block.values.items()):
        dataset = group.create_dataset(f"values/{number}", data=_numbers(column), **options)
        # Comparisons with NaN are false, so one anywhere would make min and max depend on the order.
        ordered = [value for value in column if value == value]
        rollup = {"min": min(ordered), "max": max(ordered)} if ordered else {}
        dataset.attrs.update({"name": name, "last": column[-1], **rollup})


def _read_block(group: Any) -> tuple[int | None, int, Block]:
    trial = int(group.attrs["trial"]) if "trial" in group.attrs else None
    columns = {dataset.attrs["name"]: array("d", dataset[:].tobytes()) for dataset in group.get("values", {}).values()}
    block = Block(tuple(columns))
    block.steps = array("q", group["steps"][:].tobytes())
    block.times = array("d", group["times"][:].tobytes())
    block.values = columns
    return trial, int(group.attrs["attempt"]), block


def _numbers(column: array[Any]) -> Any:
    import numpy

    return numpy.frombuffer(column, dtype=column.typecode)
