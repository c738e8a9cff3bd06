"""Fetch files over HTTP: resumed where the server can, checked where a checksum is known, there whole or not at all.

The standard library is enough for this; ready-made downloaders start a broken transfer of hundreds of megabytes again.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mmfuse.data.progress import Progress, silent
from mmfuse.data.staging import staged
from mmfuse.errors import DataInvalid, DataMissing

_BLOCK = 1 << 18
_TRIES = 3
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Remote:
    """A file to fetch: address, the name it gets here, and its checksum (``md5:...`` or ``sha256:...``) if known."""

    url: str
    name: str
    checksum: str = ""


def fetch(remote: Remote, folder: Path, *, progress: Progress = silent) -> Path:
    """The file below ``folder``, downloaded unless it is there already.

    A transfer that broke off stays as ``<name>.part`` and is continued by the next try, here or in a later call, if the
    server can do that and still has the same file. Two processes may ask at once: one downloads, the other waits.

    Raises:
        DataMissing: when the file cannot be had, saying where to put it by hand.
        DataInvalid: when what arrived does not have the checksum.
    """
    path = folder / remote.name
    by_hand = f"fetch {remote.url} by hand and put it at {path}"
    if path.is_file():
        _check(path, remote, f"remove {path}, then {by_hand}")
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(exist_ok=True)
        part = path.with_name(f"{path.name}.part").open("ab+")
    except OSError as error:
        raise DataMissing(
            f"{folder} cannot be written: {error.strerror}", "choose another place with --data-root"
        ) from error
    with part:
        fcntl.flock(part, fcntl.LOCK_EX)
        if not path.is_file():
            _download(remote, part, by_hand, progress)
            try:
                _check(Path(part.name), remote, f"try again, or {by_hand}")
            except DataInvalid:
                Path(part.name).unlink()
                raise
            finally:
                _tag_path(part).unlink(missing_ok=True)
            Path(part.name).replace(path)
    return path


def unpack(archive: Path, folder: Path) -> Path:
    """The archive's files (zip or tar) below ``folder``, whole or not at all; nothing is written outside of it.

    Raises:
        DataInvalid: when the archive is damaged or not an archive.
    """
    if folder.is_dir():
        return folder
    with staged(folder) as work:
        if work is None:
            return folder
        try:
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as bundle:
                    bundle.extractall(work)
            else:
                with tarfile.open(archive) as bundle:
                    bundle.extractall(work, filter="data")
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise DataInvalid(
                f"{archive} is not a complete archive ({error})", f"remove {archive}, it is fetched again"
            ) from error
    return folder


def _download(remote: Remote, part: BinaryIO, by_hand: str, progress: Progress) -> None:
    for last in [False] * (_TRIES - 1) + [True]:
        try:
            _transfer(remote, part, progress)
            return
        except urllib.error.HTTPError as error:
            raise DataMissing(f"the server of {remote.url} answers {error.code} {error.reason}", by_hand) from error
        except (http.client.HTTPException, OSError, ValueError) as error:
            if last:
                reason = getattr(error, "reason", error)
                raise DataMissing(f"{remote.url} cannot be fetched: {reason}", f"try again, or {by_hand}") from error


def _transfer(remote: Remote, part: BinaryIO, progress: Progress) -> None:
    """Bring ``part`` from the length it has to the file's whole; OSError when the line breaks before."""
    done = part.seek(0, os.SEEK_END)
    tag = _read_tag(part)
    headers = {"Range": f"bytes={done}-", "If-Range": tag} if done and tag else {}
    with _open(remote.url, headers) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT or _range_start(response.headers) != done:
            part.truncate(0)
            done = 0
        _write_tag(part, response.headers)
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        while block := response.read(_BLOCK):
            part.write(block)
            done += len(block)
            progress(done, total or done, what=f"fetching {remote.name}")
        part.flush()
    if total is not None and done < total:
        raise OSError(f"{done:,} of {total:,} bytes arrived")


def _open(url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(
            urllib.request.Request(url, headers=dict(headers)), timeout=_TIMEOUT_S
        )
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and headers:
            return _open(url, {})
        raise
    return response


def _range_start(headers: http.client.HTTPMessage) -> int:
    """First byte of a partial answer; -1 where the header is no range."""
    start = headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else -1


def _tag_path(part: BinaryIO) -> Path:
    """Where the server's mark of the file's version is kept, so that two versions are never joined."""
    return Path(f"{part.name}.tag")


def _read_tag(part: BinaryIO) -> str:
    path = _tag_path(part)
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _write_tag(part: BinaryIO, headers: http.client.HTTPMessage) -> None:
    etag = headers.get("ETag", "")
    strong = etag if not etag.startswith("W/") else ""
    _tag_path(part).write_text(strong or headers.get("Last-Modified", ""), encoding="utf-8")


def _check(path: Path, remote: Remote, hint: str) -> None:
    if not remote.checksum:
        return
    kind, _, expected = remote.checksum.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    if found != expected:
        raise DataInvalid(f"{remote.name} has {kind} {found}, expected {expected}", hint)
