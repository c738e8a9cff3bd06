"""A temporary home in which recorded runs stand as they stood at any moment."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmfuse_runs.records import RunRecord
from mmfuse_runs.replay.recording import Recording, Scene
from mmfuse_runs.store import RunStore

HEARTBEAT_S = 1.0
"""A run that goes on shows that somebody is behind it, as its supervisor did."""
CHUNK_BYTES = 1 << 22


class Stage:
    """Writes scenes of recordings below a folder of its own, which goes when the stage is closed.

    Journals grow by appending and, when time is turned back, are cut: at every moment they are a beginning of the files
    they were read from, so a reader that was not told of a step back holds nothing wrong but what is to come.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self.recordings = tuple(recordings)
        self._folder = tempfile.TemporaryDirectory(prefix="mmfuse-replay-", ignore_cleanup_errors=True)
        self.home = Path(self._folder.name)
        self._runs = self.home / "runs"
        self._runs.mkdir()
        self.turns = 0
        """How often a run changed its state so far."""
        self._written: dict[str, dict[str, bytes]] = {}
        self._grown: dict[str, set[str]] = {}
        self._over: set[str] = set()
        self._beat_due = 0.0

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything that was written."""
        self._folder.cleanup()

    def show(self, moment: float) -> None:
        """Let every run be as it was at ``moment``; those that were not created yet are not there.

        Raises:
            OSError: there is no room for the copies.
        """
        beats = time.monotonic() >= self._beat_due
        if beats:
            self._beat_due = time.monotonic() + HEARTBEAT_S
        for recording in self.recordings:
            if moment < recording.start:
                self._remove(recording.id)
            elif moment >= recording.end and recording.id in self._over:
                continue
            else:
                self._put(recording, moment)
                if beats and moment < recording.end:
                    os.utime(self._runs / recording.id / "state.json")

    def _put(self, recording: Recording, moment: float) -> None:
        scene = recording.at(moment)
        folder = self._runs / recording.id
        is_new = recording.id not in self._written
        if is_new:
            folder = self._runs / f".{recording.id}"
            folder.mkdir()
        grown = self._grown.setdefault(recording.id, set())
        for name in grown - scene.lengths.keys():
            (folder / name).unlink()
        for name, length in scene.lengths.items():
            _resize(recording, folder / name, length)
        self._grown[recording.id] = set(scene.lengths)
        self._replace(recording.id, folder, _files_of(scene, ahead=time.time() - moment))
        if moment >= recording.end:
            os.utime(folder / "state.json", ns=(recording.changed_ns, recording.changed_ns))
            self._over.add(recording.id)
        else:
            self._over.discard(recording.id)
        if is_new:
            folder.rename(self._runs / recording.id)

    def _replace(self, run_id: str, folder: Path, files: dict[str, bytes]) -> None:
        """Write the small files that changed, state.json last: it says what the others mean."""
        before = self._written.setdefault(run_id, {})
        for name in before.keys() - files.keys():
            (folder / name).unlink()
            del before[name]
        for name in sorted(files, key=lambda name: name == "state.json"):
            if before.get(name) != files[name]:
                draft = folder / f".{name}"
                draft.write_bytes(files[name])
                draft.replace(folder / name)
                self.turns += name == "state.json"
                before[name] = files[name]

    def _remove(self, run_id: str) -> None:
        if self._written.pop(run_id, None) is not None:
            self._over.discard(run_id)
            del self._grown[run_id]
            gone = self._runs / f".{run_id}"
            (self._runs / run_id).rename(gone)
            shutil.rmtree(gone)


class StageStore:
    """The runs of a stage as the dashboard lists them.

    There is no index here that would tell of a run that was resumed: whenever one changed its state, all are looked at.
    """

    def __init__(self, stage: Stage) -> None:
        self.home = stage.home
        self._stage = stage
        self._store = RunStore(stage.home, read_only=True)
        self._turns = -1

    def records(self, *, recheck: bool = True) -> list[RunRecord]:
        """Every run that was created so far, newest first."""
        before, self._turns = self._turns, self._stage.turns
        return self._store.records(recheck=recheck or self._turns != before)


def _files_of(scene: Scene, *, ahead: float) -> dict[str, bytes]:
    """The small files; the times of a report, from which the time left is told, are moved to today by ``ahead``."""
    files = dict(scene.files)
    if scene.progress is not None:
        report: dict[str, Any] = {**scene.progress}
        report |= {name: report[name] + ahead for name in ("at", "started")}
        files["progress.json"] = json.dumps(report).encode()
    return files


def _resize(recording: Recording, target: Path, length: int) -> None:
    """Let ``target`` be the first ``length`` bytes of what it became."""
    with target.open("ab") as file:
        there = file.tell()
        if there > length:
            file.truncate(length)
        while there < length:
            data = recording.content(target.name, there, min(length, there + CHUNK_BYTES))
            if not data:
                break
            there += file.write(data)
