"""Whether the data a spec asks for are there, as far as names and headers of files tell: before a process starts.

Free of torch. What only reading shows (a hash, a NaN, a damaged row) is found by the run that reads it.
"""

from __future__ import annotations

from pathlib import Path

from mmfuse.errors import DataInvalid, DataMissing
from mmfuse.extraction.annotations import find_annotations
from mmfuse.options import parse_options
from mmfuse.registry import COLLECTIONS, DATASETS
from mmfuse.spec import EvalSpec, ExtractSpec, SearchSpec, TrainSpec


def check_data(spec: SearchSpec | TrainSpec | EvalSpec | ExtractSpec, root: Path) -> None:
    """See that the files ``spec`` would read below the data root are there.

    Raises:
        DataMissing: naming the files that are not.
        DataInvalid: when they do not fit together.
    """
    if spec.dataset in COLLECTIONS.names():
        _check_collection(spec.dataset, spec.data, root)
    elif _wants_files(spec.dataset, spec.data, root):
        _check_dataset(spec.dataset, spec.data, root)


def _check_collection(name: str, data: dict[str, object], root: Path) -> None:
    declared = COLLECTIONS.declaration(name)
    files = getattr(declared, "FILES", {})
    folder = parse_options(declared.Options, data, what=f"collection {name}").folder or root / name
    joint = getattr(declared, "KARPATHY", None)
    if files and not (joint and (folder / joint).is_file()):
        find_annotations(folder, files, name=name, hint=declared.HINT)


def _wants_files(name: str, data: dict[str, object], root: Path) -> bool:
    """Whether files that somebody put there would be read; to look closer, the dataset must be imported whole."""
    return data.get("source") == "real" or bool(data.get("files")) or (root / name).is_dir()


def _check_dataset(name: str, data: dict[str, object], root: Path) -> None:
    module = DATASETS.get(name)
    status = getattr(module, "status", None)
    if status is None:
        return
    found = status(root, parse_options(module.Options, data, what=f"dataset {name}"))
    if found.source == "unusable":
        kind = DataMissing if found.missing else DataInvalid
        raise kind(found.problem or f"the files of {name} cannot be used", found.hint or f"mmfuse data info {name}")
