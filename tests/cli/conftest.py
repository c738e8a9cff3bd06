"""A run store full of runs that no process ever made, and a launcher that starts nothing.

`make_run` writes the files of one run as supervisor and worker would; `mmfuse` types a command line; `launcher` is
what stands in for `mmfuse_runs.launch.start` and, where a test asks for it, lets the run end at once.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mmfuse.architecture import Architecture
from mmfuse.report import TrialRecord
from mmfuse.spec import resolve_search, resolve_train
from mmfuse_cli.main import app
from mmfuse_runs import launch
from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.store import RunStore

MmfuseCommand = Callable[..., Result]
MakeRun = Callable[..., str]

RESULT = {
    "score": 0.75,
    "metric": "val/accuracy",
    "maximize": True,
    "metrics": {"val/accuracy": 0.75, "test/accuracy": 0.725},
    "architecture": {"family": "unimodal", "params": {"modality": "image", "encoder": {"block": "mlp"}}},
    "architecture_key": "unimodal-0123456789",
    "parameters": 123_456,
    "macs": 2_500_000,
    "checkpoint": "checkpoints/best.pt",
    "fingerprint": "aaaa",
    "stand_in": True,
    "dataset_label": "avmnist (stand-in)",
    "epochs": 5,
    "steps": 100,
    "seconds": 83.0,
    "trials": None,
    "found": None,
}


@pytest.fixture(autouse=True)
def quiet_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Cut out the developer's own home, data, colours and terminal width."""
    monkeypatch.setenv("MMFUSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("MMFUSE_DATA", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def mmfuse() -> MmfuseCommand:
    """Type a command line: ``mmfuse("runs", "ls")``."""
    runner = CliRunner()

    def type_command(*words: str, answer: str | None = None, env: Mapping[str, str] | None = None) -> Result:
        return runner.invoke(app, list(words), input=answer, env=env, prog_name="mmfuse")

    return type_command


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    """The store at the default home of these tests."""
    store = RunStore(tmp_path / "home")
    yield store
    store.close()


@pytest.fixture
def make_run(store: RunStore) -> MakeRun:
    """Make a run in any state: ``make_run("crashed", error={"message": ...})``; its id."""

    def make(
        state: str = "finished",
        *,
        kind: str = "search",
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
        trials: Sequence[TrialRecord] = (),
        seed: int = 0,
        settings: Sequence[str] = (),
        preset: str | None = None,
        age: float = 0.0,
        log: str = "",
        **label: Any,
    ) -> str:
        if kind == "search":
            spec = resolve_search("mixmas", "avmnist", preset=preset, seed=seed, settings=settings)
        else:
            spec = resolve_train("unimodal", "avmnist", params=IMAGE_ONLY, seed=seed, settings=settings)
        subject = "mixmas" if kind == "search" else "unimodal"
        folder = store.create(spec.model_dump(mode="json"), kind=kind, subject=subject, dataset="avmnist", **label)
        write_outcome(folder.path, state=state, result=result, error=error, created=time.time() - age)
        rows = [{"v": 1, "ev": "trial", "t": 0.0, "attempt": 1, "trial": trial.to_json()} for trial in trials]
        (folder.path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if log:
            (folder.path / "log.1.txt").write_text(log)
        return folder.id

    return make


IMAGE_ONLY = {"modality": "image", "encoder": {"block": "mlp"}}
"""Parameters of a model that only looks at the image."""


def write_outcome(
    path: Path,
    *,
    state: str,
    result: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    created: float | None = None,
) -> None:
    """Write the files that tell how far a run is, as its processes would have."""
    began = time.time() if created is None else created
    live = state in ("queued", "starting", "running", "paused", "stopping")
    record = json.loads((path / "state.json").read_text())
    record |= {
        "state": state,
        "since": began,
        "history": [{"state": "queued", "at": began, "attempt": 1, "reason": ""}],
    }
    if live:
        record["supervisor"] = ProcessIdentity.of(os.getpid()).to_json()
    attempt = {"attempt": 1, "device": "cpu", "mmfuse": "0.1.0", "git": {"sha": "0" * 40, "dirty": True}}
    (path / "launch.json").write_text(json.dumps({"format": 1, "attempts": [attempt]}))
    if not live:
        status = {"finished": "finished", "stopped": "stopped"}.get(state, "failed")
        told = dict(RESULT if result is None else result) if status == "finished" else {}
        code = (error or {}).get("exit_code", 1 if status == "failed" else 0)
        outcome = {"format": 1, "status": status, "exit_code": code, "attempt": 1, "error": error, "result": told}
        (path / "exit.json").write_text(json.dumps(outcome))
    (path / "state.json").write_text(json.dumps(record))


@pytest.fixture
def end_run(store: RunStore) -> Callable[[str, str], None]:
    """Let a run that goes on end: ``end_run(run_id, "stopped")``."""
    return lambda run_id, state: write_outcome(store.folder(run_id).path, state=state)


@dataclass
class FakeLauncher:
    """Remembers what it was asked to start; runs it starts end in ``ending`` at once."""

    store: RunStore
    ending: str = "finished"
    error: Mapping[str, Any] | None = None
    started: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    codes: list[str | None] = field(default_factory=list)

    def start(
        self,
        store: RunStore,
        run_id: str,
        *,
        device: str | None = None,
        data_root: str | None = None,
        code: str | None = None,
        started_by: str = "cli",
    ) -> None:
        """Take the place of `mmfuse_runs.launch.start`."""
        assert started_by == "cli"
        self.started.append((run_id, device, data_root))
        self.codes.append(code)
        write_outcome(store.folder(run_id).path, state=self.ending, error=self.error)


@pytest.fixture
def launcher(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> FakeLauncher:
    """The launcher every command uses in this test; no process is made."""
    fake = FakeLauncher(store)
    monkeypatch.setattr(launch, "start", fake.start)
    return fake


@pytest.fixture
def make_trial() -> Callable[..., TrialRecord]:
    """A trial of a search: ``make_trial(3, 0.7, block="wave")``."""

    def make(
        number: int, score: float | None = None, *, block: str = "mlp", stage: str = "encoder/image"
    ) -> TrialRecord:
        params = {"modality": "image", "encoder": {"block": block}}
        status = "failed" if score is None else "done"
        return TrialRecord(number, Architecture("unimodal", params, stage), seed=number, status=status, score=score)

    return make
