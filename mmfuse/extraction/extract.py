"""The extraction: every item of one modality through a frozen encoder, into a file that survives being killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmfuse.data.latents_file import read_unreadable, survey
from mmfuse.data.latents_layout import Column, Storage
from mmfuse.data.latents_writer import LatentWriter
from mmfuse.data.progress import Progress, silent
from mmfuse.errors import BadSpec, DataMissing, Stopped
from mmfuse.extraction.collection import Collection, shortlist
from mmfuse.extraction.encoder import Encoder, UnreadableItem


@dataclass(frozen=True)
class Extracted:
    """A complete file: how many items it holds, the length of a vector, and the ids of items that were skipped."""

    path: Path
    items: int
    dim: int
    encoder: str
    encoder_sha: str
    skipped: tuple[str, ...]
    found_again: bool = False

    @property
    def sentence(self) -> str:
        """What became of the items that could not be read; empty where all could."""
        if not self.skipped:
            return ""
        return f"{len(self.skipped):,} of {self.items:,} items could not be read: {shortlist(self.skipped)}"


def extract(
    collection: Collection,
    modality: str,
    encoder: Encoder,
    path: Path,
    *,
    storage: Storage = "float16",
    batch_size: int,
    workers: int = 1,
    progress: Progress = silent,
    should_stop: Callable[[], bool] = lambda: False,
) -> Extracted:
    """Encode every item of ``modality`` into ``path``; what an earlier attempt has encoded is not encoded again.

    Raises:
        Stopped: between two batches, once ``should_stop()`` is true; calling again goes on from there.
        BadSpec: when ``path`` holds something else.
        DataMissing: when not one item of the first batch can be read.
        DataInvalid: when a half-written file there belongs to something else, or a vector is not finite.
    """
    column = Column(modality, encoder.identity, encoder.dim, storage, batch_size)
    if path.exists():
        return _found_again(path, collection, column)
    items = collection.items[modality]
    with LatentWriter(path, collection.table, column) as writer, ThreadPoolExecutor(max(1, workers)) as pool:
        batches = writer.pending()
        done = len(items) - sum(len(rows) for rows in batches)
        for rows, prepared in _prepared(batches, lambda rows: _prepare(encoder, items[rows.start : rows.stop], pool)):
            if should_stop():
                raise Stopped
            unreadable = [place for place, item in enumerate(prepared) if isinstance(item, UnreadableItem)]
            if rows.start == 0 and len(unreadable) == len(rows):
                raise DataMissing(
                    f"none of the first {len(rows)} items of {modality} can be read, such as {prepared[0]}",
                    f"is it where {collection.table.name} is looked for? --set data.folder=DIR",
                )
            vectors = np.zeros((len(rows), encoder.dim), dtype=np.float32)
            readable = [place for place in range(len(rows)) if not isinstance(prepared[place], UnreadableItem)]
            vectors[readable] = encoder.encode([prepared[place] for place in readable]).numpy()
            writer.write(rows.start, vectors, unreadable=unreadable)
            done += len(rows)
            progress(done, len(items), what=f"{modality} by {encoder.identity.name}")
        skipped = writer.publish()
    return Extracted(path, len(items), encoder.dim, encoder.identity.name, encoder.identity.sha, skipped)


def default_path(data_root: Path, source: str, modality: str, encoder: str) -> Path:
    """Where the latents of ``modality`` of ``source`` by ``encoder`` lie unless told otherwise."""
    return data_root / "latents" / source / f"{modality}.{encoder}.h5"


def _found_again(path: Path, collection: Collection, column: Column) -> Extracted:
    """What ``path`` holds already, if it is the same."""
    held = survey(path)
    stored = held.columns.get(column.modality)
    if held.digest != collection.table.digest or stored is None or stored.column != column:
        what = (
            "other items or pairs" if held.digest != collection.table.digest else "another encoder, or other settings"
        )
        raise BadSpec(f"{path} is there already, of {what}", "remove it, or choose another file with --output")
    unreadable = np.flatnonzero(read_unreadable(path, column.modality))
    ids = collection.table.ids[column.modality]
    return Extracted(
        path,
        stored.rows,
        column.dim,
        column.encoder.name,
        column.encoder.sha,
        tuple(ids[row] for row in unreadable),
        found_again=True,
    )


def _prepared(batches: list[range], prepare: Callable[[range], list[Any]]) -> Iterator[tuple[range, list[Any]]]:
    """Each batch with its prepared items, one batch ahead of the encoder."""
    if not batches:
        return
    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(prepare, batches[0])
        for number, rows in enumerate(batches):
            prepared = following.result()
            if number + 1 < len(batches):
                following = ahead.submit(prepare, batches[number + 1])
            yield rows, prepared


def _prepare(encoder: Encoder, items: Any, pool: ThreadPoolExecutor) -> list[Any]:
    """Each item as the encoder is fed it, or why it cannot be read."""

    def one(item: Any) -> Any:
        try:
            return encoder.prepare(item)
        except UnreadableItem as unreadable:
            return unreadable

    return list(pool.map(one, items))
