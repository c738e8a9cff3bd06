"""`mmfuse doctor`: what is wrong here, and what to type about it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmfuse import __version__
from mmfuse.errors import MmfuseError
from mmfuse_cli.access import data_folder, open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import DataRoot, Home, Json
from mmfuse_cli.render import out_json, out_painted, say
from mmfuse_cli.table import Column, draw

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore

Verdict = Literal["ok", "look", "bad"]

PACKAGES = ("torch", "lightning", "torchmetrics", "numpy", "h5py", "scikit-learn", "textual", "rich", "typer", "tinydb")
"""Their versions are read from metadata; importing torch would take seconds."""
LITTLE_SPACE = 2e9
"""Bytes of free disk below which checkpoints may soon not fit."""

COLUMNS = (
    Column("verdict", "", colours={"ok": "green", "look": "yellow", "bad": "red"}),
    Column("subject", "checked"),
    Column("finding", "found"),
    Column("hint", "to do", leaves=1),
)


@dataclass(frozen=True)
class Finding:
    """What one check found: all well, worth a look, or wrong; and what to type about it."""

    subject: str
    verdict: Verdict
    finding: str
    hint: str = ""


@examples("mmfuse doctor", "mmfuse doctor --rebuild", "mmfuse doctor --json")
def doctor(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the store's index anew from the run folders first.")
    ] = False,
    json: Json = False,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Check the installation, the devices and the store.

    The exit code is 1 if something is wrong.
    """
    store = open_store(home)
    if rebuild:
        say(f"index rebuilt from {store.rebuild()} run folders")
    findings = list(examine(store, data_folder(store.home, data_root)))
    if json:
        out_json({"findings": [asdict(finding) for finding in findings]})
    else:
        out_painted(draw(COLUMNS, [asdict(finding) for finding in findings]))
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(1)


def examine(store: RunStore, data: Path) -> Iterator[Finding]:
    """Everything there is to check, in order."""
    yield Finding("mmfuse", "ok", f"{__version__}, Python {platform.python_version()} ({sys.executable})")
    yield from _packages()
    yield _gpus()
    yield _folder("home", store.home)
    yield _folder("data", data)
    yield from _keys()
    yield from _runs(store)


def _packages() -> Iterator[Finding]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            yield Finding(package, "bad", "not installed", f"pip install {package}")
    yield Finding("packages", "ok", ", ".join(f"{name} {version}" for name, version in versions.items()))


def _gpus() -> Finding:
    """NVIDIA GPUs as their driver lists them; whether torch can use them is torch's matter."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total,memory.used", "--format=csv,noheader"]
    if shutil.which(command[0]) is None:
        return Finding("GPUs", "ok", "none found; runs use the CPU")
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("GPUs", "look", f"nvidia-smi failed: {error}", "nvidia-smi")
    return Finding("GPUs", "ok", "; ".join(answer.stdout.strip().splitlines()) or "none")


def _folder(what: str, path: Path) -> Finding:
    """Whether a folder can be written (or made) and has room."""
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        option = "--home DIR" if what == "home" else "--data-root DIR"
        return Finding(what, "bad", f"{path} cannot be written", f"choose another with {option}")
    free = shutil.disk_usage(nearest).free
    if free < LITTLE_SPACE:
        return Finding(what, "look", f"{path}, only {free / 1e9:.1f} GB free", "mmfuse runs gc --older 30d --dry-run")
    return Finding(what, "ok", f"{path}{'' if path.exists() else ' (not made yet)'}, {free / 1e9:.0f} GB free")


def _keys() -> Iterator[Finding]:
    """What is wrong with the user's own keys of the dashboard; nothing where there are none."""
    from mmfuse_tui.key_map import key_file, load_key_map

    path = key_file()
    key_map = load_key_map(path)
    for problem in key_map.problems:
        yield Finding("keys", "look", problem, f"mmfuse tui --keys, then change {path}")
    if key_map.own:
        own = len(key_map.own)
        yield Finding("keys", "ok", f"{own} action{'s have' if own > 1 else ' has'} keys of yours ({path})")


def _runs(store: RunStore) -> Iterator[Finding]:
    try:
        records = store.records()
    except MmfuseError as error:
        yield Finding("store", "bad", error.message, error.hint or "mmfuse doctor --rebuild")
        return
    live = sum(record.live for record in records)
    yield Finding("store", "ok", f"{len(records)} runs, {live} live")
    for record in records:
        finding = _run(record)
        if finding is not None:
            yield finding


def _run(record: RunRecord) -> Finding | None:
    """What is odd about a run, if anything."""
    if record.damaged:
        return Finding(record.id, "bad", record.reason or "a file cannot be read", f"mmfuse runs rm {record.id}")
    if record.orphan:
        return Finding(record.id, "look", "works without a supervisor", f"mmfuse runs adopt {record.id}")
    if record.state == "lost":
        return Finding(record.id, "look", "lost: its processes are gone", f"mmfuse runs resume {record.id}")
    return None
