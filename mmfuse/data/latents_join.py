"""Files of latents put together: columns of one pair table, tables behind each other, lame pairs dropped; no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfuse.data.latents_file import (
    StoredColumn,
    Survey,
    blocks_of,
    check_block,
    map_rows,
    read_pairs,
    read_unreadable,
    survey,
)
from mmfuse.data.latents_pairs import SPLITS, PairTable
from mmfuse.data.progress import Progress, silent
from mmfuse.errors import BadSpec, DataInvalid
from mmfuse.task import Modality, Task


@dataclass(frozen=True)
class Joined:
    """All files of one pair table: the table, and the file and column of each modality that there is."""

    table: PairTable
    columns: Mapping[str, tuple[Path, StoredColumn]]

    @property
    def bytes(self) -> int:
        """Size of all vectors."""
        return sum(stored.bytes for _, stored in self.columns.values())


def join(files: Sequence[Path]) -> list[Joined]:
    """The files by pair table, in the order given.

    Raises:
        DataMissing, DataInvalid: when one is absent or damaged.
        BadSpec: when two hold the same modality of one table.
    """
    found: dict[str, dict[str, tuple[Path, StoredColumn]]] = {}
    tables: dict[str, list[Survey]] = {}
    for path in files:
        surveyed = survey(path)
        columns = found.setdefault(surveyed.digest, {})
        for modality, stored in surveyed.columns.items():
            if modality in columns:
                raise BadSpec(f"{columns[modality][0]} and {path} both hold {modality} of {surveyed.name}", "name one")
            columns[modality] = (path, stored)
        tables.setdefault(surveyed.digest, []).append(surveyed)
    return [Joined(_table(tables[digest]), columns) for digest, columns in found.items()]


def scan(joined: Iterable[Joined], *, progress: Progress = silent) -> None:
    """Look at every value.

    Raises:
        DataInvalid: naming the file and the row of the first NaN or infinity.
    """
    for each in joined:
        for modality, (path, stored) in each.columns.items():
            rows, scale = map_rows(path, stored)
            for first, block in blocks_of(rows):
                check_block(path, modality, first, block if scale is None else scale[first : first + len(block)])
                progress(first + len(block), len(rows), what=f"reading {path.name}")


def counted(files: Sequence[Path], evaluation_files: Sequence[Path] = ()) -> dict[str, int]:
    """Usable pairs per split, from the pair tables alone."""
    training, evaluation = join(files), join(evaluation_files)
    names = common_modalities([*training, *evaluation])
    pool = PairPool(each_once(training, evaluation), names)
    sources = {"train": digests(training), "val": digests(evaluation or training)}
    return {split: len(pool.rows(split, sources.get(split, sources["val"]))[0]) for split in SPLITS}


class PairPool:
    """Several tables as one: items of the second stand behind those of the first, and so do its pairs."""

    def __init__(self, together: Sequence[Joined], names: tuple[str, ...]) -> None:
        self.together = together
        self.names = names
        self.dropped = 0

    def rows(self, split: str, digests: set[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Pairs (P, M) and labels (P,) of the tables in ``digests``, without those that miss an item."""
        pairs, labels = [np.empty((0, len(self.names)), np.int32)], [np.empty(0, np.int64)]
        offset = np.zeros(len(self.names), dtype=np.int32)
        for joined in self.together:
            if joined.table.digest in digests and split in joined.table.splits:
                chosen, classes = self._usable(joined, split)
                pairs.append(chosen + offset)
                labels.append(classes)
            offset = offset + np.array([joined.columns[name][1].rows for name in self.names], dtype=np.int32)
        return np.concatenate(pairs), np.concatenate(labels)

    def _usable(self, joined: Joined, split: str) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        columns = [joined.table.modalities.index(name) for name in self.names]
        pairs = joined.table.splits[split][:, columns]
        keep = (pairs >= 0).all(axis=1)
        for column, name in enumerate(self.names):
            unreadable = read_unreadable(joined.columns[name][0], name)
            keep &= ~unreadable[np.maximum(pairs[:, column], 0)]
        self.dropped += int((~keep).sum())
        labels = joined.table.labels.get(split, np.zeros(len(pairs), dtype=np.int64))
        return pairs[keep], labels[keep]


def _table(surveyed: Sequence[Survey]) -> PairTable:
    """The pair table, with the names of the items of every modality that some file holds."""
    tables = [read_pairs(each.path) for each in surveyed]
    ids = {
        modality: next((t.ids[modality] for t, s in zip(tables, surveyed, strict=True) if modality in s.columns), empty)
        for modality, empty in tables[0].ids.items()
    }
    joined = PairTable(tables[0].name, ids, tables[0].splits, tables[0].labels, tables[0].stand_in)
    complete = all(any(modality in each.columns for each in surveyed) for modality in ids)
    if complete and joined.digest != surveyed[0].digest:
        raise DataInvalid(
            f"{surveyed[0].path}: its pairs or items changed since they were extracted", "extract or import it again"
        )
    return joined


def joined_task(name: str, together: Sequence[Joined], names: tuple[str, ...]) -> Task:
    """Retrieval among the modalities ``names``: of the partner, or where pairs share only a class, of its class."""
    return latent_task(
        name,
        {each: together[0].columns[each][1].column.dim for each in names},
        class_paired=any(joined.table.labels for joined in together),
    )


def latent_task(name: str, dims: Mapping[str, int], *, class_paired: bool) -> Task:
    """Retrieval among latents of the lengths ``dims``."""
    modalities = tuple(Modality(each, "vector", (dim,)) for each, dim in dims.items())
    return Task(name, "retrieval", modalities, outputs=0, metric="p1_mean" if class_paired else "r_mean")


def each_once(training: list[Joined], evaluation: list[Joined]) -> list[Joined]:
    """Every table once."""
    return [*training, *(each for each in evaluation if each.table.digest not in digests(training))]


def common_modalities(together: Sequence[Joined]) -> tuple[str, ...]:
    """The modalities that every table has a file of, in the first table's order.

    Raises:
        BadSpec: when these are fewer than two.
    """
    if not together:
        raise BadSpec("no file of latents is named", '--set data.files=\'["image.h5","text.h5"]\'')
    names = tuple(name for name in together[0].table.modalities if all(name in each.columns for each in together))
    if len(names) < 2:
        held = "; ".join(f"{each.table.name}: {', '.join(each.columns)}" for each in together)
        raise BadSpec(
            f"at least two modalities of the same items and pairs are needed, the files hold {held}",
            "extract both modalities of one collection, with the same options",
        )
    return names


def check_encoders(together: Sequence[Joined], names: tuple[str, ...]) -> None:
    labelled = {bool(each.table.labels): each.table.name for each in together}
    if len(labelled) > 1:
        raise DataInvalid(
            f"pairs of {labelled[True]} share only a class and those of {labelled[False]} belong together",
            "load them apart",
        )
    for name in names:
        path, first = together[0].columns[name]
        for other in together[1:]:
            other_path, stored = other.columns[name]
            if stored.column.encoder.sha != first.column.encoder.sha or stored.column.storage != first.column.storage:
                raise DataInvalid(
                    f"{path} and {other_path} hold {name} by different encoders or in different storage: "
                    f"{encoder_text(together[0], name)} and {encoder_text(other, name)}",
                    "extract them in the same way",
                )


def encoder_text(joined: Joined, modality: str) -> str:
    """What made the latents, as one short text."""
    encoder = joined.columns[modality][1].column.encoder
    return f"{encoder.name}@{encoder.sha}"


def provenance(together: Sequence[Joined], names: tuple[str, ...], dropped: int) -> dict[str, Any]:
    return {
        "files": {str(joined.columns[name][0]): joined.table.name for joined in together for name in names},
        "items": {name: sum(joined.columns[name][1].rows for joined in together) for name in names},
        "storage": {name: together[0].columns[name][1].column.storage for name in names},
        "pairs dropped because an item is missing or could not be read": dropped,
        "encoders": {name: together[0].columns[name][1].column.encoder.to_json() for name in names},
    }


def digests(together: Sequence[Joined]) -> set[str]:
    return {joined.table.digest for joined in together}
