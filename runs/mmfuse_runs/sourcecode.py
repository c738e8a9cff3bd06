"""The code that a run was asked for with, kept in ``<home>/code/<digest>``: one folder for every state of the code.

A run may wait for days, and be resumed after weeks; whoever edits a dataset or a search meanwhile changes neither. What
is kept is what a worker imports of ours, and what lies beside it; libraries are told by their versions
(`mmfuse_runs.surroundings`). A snapshot is named after its content, so a thousand runs of the same code share one, with
the bytecode that the first of them compiles; it is written beside its place and renamed, so there is a whole one or
none. Its manifest tells what a power cut or a careless hand did to it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("mmfuse", "mmfuse_runs")
"""What of ours a worker imports. Command line and dashboard compute nothing."""
LARGEST = 1 << 20
"""Bytes. A larger file beside the code (weights, a table) is linked to, not kept."""
MOST = 64 << 20
"""Bytes of all files. Whoever keeps data in the folders of the code must not wait for them at each start."""
UNUSED_S = 3600.0
"""A snapshot that no run names is left alone for so long: its run may be about to be written down."""
_BLOCK = 4096
"""Bytes that a file takes at least, on disk and of a start's time."""
_MANIFEST = "manifest.json"
_DRAFT, _DOOMED = ".new-", ".removed-"
_DIGITS = 16
_LINK = "-> "
"""In the manifest, before the target of what is linked to."""

Sources = Mapping[str, "bytes | Path"]
"""Content by path, as ``mmfuse/data/toy.py``; of what is linked to, the place where it lies."""


class NotKept(Exception):
    """There is no snapshot to work with; the message is for people."""


def keep(home: Path) -> str:
    """Keep the code as it is on disk now; the digest by which `folder_of` finds it.

    Raises:
        NotKept: the home is full or cannot be written, or the code cannot be read or is too much.
    """
    try:
        sources = _sources()
        manifest = _manifest(sources)
        digest = _digest(manifest)
        target = folder_of(home, digest)
        if os.pathsep in str(target):
            raise NotKept(f"the code was not kept: Python cannot import from {target}, for it holds a '{os.pathsep}'")
        if _is_there(target, sources):
            os.utime(target)  # it is in use again
        else:
            _write(target, sources, manifest)
    except OSError as error:
        raise NotKept(f"the code was not kept: {error.strerror or error}") from error
    return digest


def folder_of(home: Path, digest: str) -> Path:
    """Where the snapshot of that name lies: the folder to import from."""
    return home / "code" / digest


def is_whole(home: Path, digest: str) -> bool:
    """Whether a snapshot is there with every file as it was written."""
    folder = folder_of(home, digest)
    manifest = files_of(home, digest)
    try:
        return bool(manifest) and all(
            content.startswith(_LINK) or _hash((folder / path).read_bytes()) == content
            for path, content in manifest.items()
        )
    except OSError:
        return False


def files_of(home: Path, digest: str) -> dict[str, str]:
    """Hash by path of what a snapshot holds; nothing where it is gone, or is not what its name says."""
    try:
        manifest = json.loads((folder_of(home, digest) / _MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) and _digest(manifest) == digest else {}


def changed_since(home: Path, digest: str) -> list[str]:
    """Paths that are not on disk now as they are in a snapshot; none where the code cannot be read."""
    before = files_of(home, digest)
    try:
        now = _manifest(_sources())
    except (OSError, NotKept):
        return []
    return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))


def unused(home: Path) -> list[Path]:
    """Snapshots that no run names, in the trash or out of it, and drafts whose writer died."""
    code = home / "code"
    with suppress(OSError):
        old = [path for path in code.iterdir() if time.time() - path.stat().st_mtime > UNUSED_S]
        named = _named_by_runs(home) if old else b""
        return sorted(path for path in old if path.name.encode() not in named)
    return []


def leftovers(home: Path) -> list[Path]:
    """What of the `unused` is no snapshot: writing or removing it was cut short."""
    return [path for path in unused(home) if path.name.startswith((_DRAFT, _DOOMED))]


def remove(snapshot: Path) -> None:
    """Delete one of the `unused`; what a worker finds is a whole snapshot until it finds none.

    Raises:
        OSError: the home cannot be written.
    """
    doomed = snapshot.with_name(f"{_DOOMED}{os.urandom(4).hex()}")
    snapshot.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _named_by_runs(home: Path) -> bytes:
    """Everything that was written of launches; read as text, for a damaged launch.json must not cost its run the code.

    Raises:
        OSError: one cannot be read, so that nobody knows what it names.
    """
    written = []
    for folder in (home / "runs", home / "trash"):
        for path in folder.glob("*/launch.json*"):
            with suppress(FileNotFoundError):
                written.append(path.read_bytes())
    return b"\n".join(written)


def _sources() -> Sources:
    found: dict[str, bytes | Path] = {}
    left = MOST
    for package in PACKAGES:
        spec = find_spec(package)
        for location in (spec and spec.submodule_search_locations) or ():
            for path, entry in _files(location, package):
                if entry.is_dir() or entry.stat().st_size > LARGEST:
                    found[path] = Path(entry.path).resolve()
                else:
                    with open(entry.path, "rb", buffering=0) as file:
                        found[path] = content = file.readall()
                    left -= max(len(content), _BLOCK)
                    if left < 0:
                        raise NotKept(f"the code was not kept: more than {MOST >> 20} MiB of files lie in {location}")
    return found


def _files(folder: str, name: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file below a folder, and links to other folders, but for caches and what editors leave."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] == "." or entry.name == "__pycache__" or entry.name.endswith((".pyc", "~")):
                continue
            path = f"{name}/{entry.name}"
            if entry.is_dir() and not entry.is_symlink():
                yield from _files(entry.path, path)
            elif entry.is_dir() or entry.is_file():
                yield path, entry


def _manifest(sources: Sources) -> dict[str, str]:
    return {
        path: f"{_LINK}{content}" if isinstance(content, Path) else _hash(content)
        for path, content in sorted(sources.items())
    }


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _encoded(manifest: Mapping[str, str]) -> bytes:
    return f"{json.dumps(manifest, indent=0)}\n".encode()


def _digest(manifest: Mapping[str, str]) -> str:
    return _hash(_encoded(manifest))[:_DIGITS]


def _is_there(target: Path, sources: Sources) -> bool:
    """Whether every file is there in its length: a power cut leaves empty ones, and a start cannot read them all."""
    with suppress(OSError):
        return (target / _MANIFEST).stat().st_size > 0 and all(
            isinstance(content, Path) or os.stat(f"{target}/{path}").st_size == len(content)  # noqa: PTH116 - 200 of them
            for path, content in sources.items()
        )
    return False


def _write(target: Path, sources: Sources, manifest: Mapping[str, str]) -> None:
    """Write a snapshot beside its place and put it there, unless somebody else has meanwhile."""
    draft = target.with_name(f"{_DRAFT}{os.getpid()}-{os.urandom(4).hex()}")
    try:
        draft.mkdir(parents=True)
        for folder in sorted({path.rpartition("/")[0] for path in sources}):
            (draft / folder).mkdir(parents=True, exist_ok=True)
        for path, content in sources.items():
            if isinstance(content, Path):
                (draft / path).symlink_to(content)
            else:
                _write_file(draft / path, content)
        _write_file(draft / _MANIFEST, _encoded(manifest))
        with suppress(FileNotFoundError):  # what is there is not whole, or nobody would write it
            remove(target)
        draft.rename(target)
    except OSError:
        if not is_whole(target.parent.parent, target.name):
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_file(path: Path, content: bytes) -> None:
    """A file that nobody edits by mistake: it can be read only."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444), "wb") as file:
        file.write(content)
