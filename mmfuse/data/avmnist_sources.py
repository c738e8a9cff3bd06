"""Where the three sources of AV-MNIST are on the network, and how they get here.

MNIST's files have had the same MD5 sums for decades. FSDD is taken at a release; ESC-50 has none, so its present state
is taken. An archive that a forge packs anew may change its bytes without changing its content, so the hash of what
arrived is recorded in the manifest of what is built instead of being demanded. ESC-50 is licensed for non-commercial
use (CC BY-NC), FSDD under CC BY-SA; neither is redistributed here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mmfuse.data import avmnist_build, avmnist_files
from mmfuse.data.download import Remote, fetch, unpack
from mmfuse.data.hashes import content_hashes
from mmfuse.data.progress import Progress, silent
from mmfuse.errors import DataMissing

ADDRESSES = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist",
    "fsdd": "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags",
    "esc50": "https://github.com/karolpiczak/ESC-50/archive/refs/heads",
}
"""Folder addresses of the sources; each can be replaced by an argument or by ``MMFUSE_AVMNIST_<NAME>_URL``."""

FILES = {
    "mnist": (
        ("train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    "fsdd": (("v1.0.9.tar.gz", ""),),
    "esc50": (("master.zip", ""),),
}


def fetch_and_build(
    root: Path, *, addresses: Mapping[str, str] | None = None, workers: int | None = None, progress: Progress = silent
) -> Path:
    """Download what is not there yet to ``avmnist-sources`` below the data root and build ``avmnist`` from it.

    ``addresses`` replaces entries of `ADDRESSES`; ``workers`` defaults to the processor's cores. Files that are there,
    complete and fit together, are left as they are.

    Raises:
        DataMissing: naming every file that could not be fetched, and where to put it by hand.
        DataInvalid: when a file is damaged or does not have its checksum.
    """
    folder = root / "avmnist"
    if not avmnist_files.missing(folder):
        return avmnist_files.survey(folder).folder
    sources = root / "avmnist-sources"
    archives = _fetch_all(sources, _addresses(addresses), progress)
    for name in ("fsdd", "esc50"):
        progress(0, 1, what=f"unpacking {name}")
        unpack(sources / archives[name][0], sources / name)
    names = [name for group in archives.values() for name in group]
    return avmnist_build.build(
        folder,
        mnist=sources / "mnist",
        fsdd=sources / "fsdd",
        esc50=sources / "esc50",
        workers=workers or os.cpu_count() or 1,
        sources=content_hashes(sources, names, progress=progress),
        progress=progress,
    )


def remotes(name: str, address: str) -> list[Remote]:
    """The files of one source; archives get its name in front, as ``master.zip`` alone would say little."""
    if name == "mnist":
        return [Remote(f"{address}/{file}", f"mnist/{file}", checksum) for file, checksum in FILES[name]]
    return [Remote(f"{address}/{file}", f"{name}-{file}", checksum) for file, checksum in FILES[name]]


def _addresses(replaced: Mapping[str, str] | None) -> dict[str, str]:
    found = {name: os.environ.get(f"MMFUSE_AVMNIST_{name.upper()}_URL", address) for name, address in ADDRESSES.items()}
    return {name: address.rstrip("/") for name, address in (found | dict(replaced or {})).items()}


def _fetch_all(sources: Path, addresses: Mapping[str, str], progress: Progress) -> dict[str, list[str]]:
    """Names of the fetched files below ``sources``, by source; one that cannot be had does not keep the others back."""
    fetched: dict[str, list[str]] = {}
    failures: list[DataMissing] = []
    for name, address in addresses.items():
        for remote in remotes(name, address):
            fetched.setdefault(name, []).append(remote.name)
            try:
                fetch(remote, sources, progress=progress)
            except DataMissing as error:
                failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        hints = "; ".join(failure.hint.removeprefix("try again, or ") for failure in failures)
        raise DataMissing(
            f"{len(failures)} files of AV-MNIST's sources cannot be fetched; the first: {failures[0].message}", hints
        )
    return fetched
