"""Runs that were thrown away and can still be put back: whole folders below ``<home>/trash``."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmfuse.errors import StoreError, UnknownName, unknown_name
from mmfuse_runs.folder import RunFolder

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore


class Thrown(NamedTuple):
    """A run in the trash: its id, the name it had, and when it was thrown away (Unix seconds)."""

    id: str
    name: str
    at: float
    path: Path


def throw_away(store: RunStore, run_id: str) -> None:
    """Move a run into the trash.

    Raises:
        UnknownName: there is no such run.
        RunBusy: it is still going on.
        StoreError: the home cannot be written.
    """
    trash = store.home / "trash"
    try:
        trash.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"{trash} cannot be made: {error.strerror}", "mmfuse runs rm --forever") from error
    store.take_away(run_id, trash / run_id)
    os.utime(trash / run_id)  # how long it has lain there


def thrown(store: RunStore) -> list[Thrown]:
    """What is in the trash, newest first."""
    return sorted(_thrown(store), key=lambda each: (each.at, each.id), reverse=True)


def put_back(store: RunStore, word: str) -> str:
    """Make what ``word`` names a run again: an id in the trash, a beginning or end that only one has, or a name.

    Raises:
        UnknownName: nothing in the trash is called so, or several are.
        StoreError: a run of that id is there already, or the home cannot be written.
    """
    here = thrown(store)
    matches = [each for each in here if word in (each.id, each.name)]
    matches = matches or [each for each in here if word and (each.id.startswith(word) or each.id.endswith(word))]
    if not matches:
        raise unknown_name("run in the trash", word, {each.id for each in here} | {each.name for each in here} - {""})
    if len(matches) > 1:
        listing = ", ".join(each.id for each in matches)
        raise UnknownName(f"'{word}' is {len(matches)} runs in the trash", f"one of {listing}")
    store.bring_back(matches[0].path)
    return matches[0].id


def empty(store: RunStore, *, older: float = 0.0) -> list[str]:
    """Delete what has lain in the trash for at least ``older`` seconds; the ids."""
    if store.read_only:
        raise StoreError(f"the run store in {store.home} was opened for reading only")
    gone = [each for each in thrown(store) if time.time() - each.at >= older]
    for each in gone:
        shutil.rmtree(each.path, ignore_errors=True)
    return [each.id for each in gone]


def _thrown(store: RunStore) -> Iterator[Thrown]:
    trash = store.home / "trash"
    for path in trash.iterdir() if trash.is_dir() else ():
        if not path.is_dir():
            continue
        try:
            name = str(RunFolder(path).meta()["name"])
        except StoreError:  # a damaged run can be thrown away and put back like any other
            name = ""
        yield Thrown(path.name, name, path.stat().st_mtime, path)
