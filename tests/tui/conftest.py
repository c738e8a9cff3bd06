"""Homes full of runs, written file by file as a worker and a supervisor would have left them."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot

from mmfuse.architecture import Architecture
from mmfuse.errors import MmfuseError
from mmfuse.report import TrialRecord
from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.store import RunStore
from mmfuse_tui.app import Dashboard
from mmfuse_tui.control import StoreControl
from mmfuse_tui.edits import Edit
from mmfuse_tui.launch_form import Form

NOW = 1_795_000_000.0
"""The frozen present of these tests."""
LIVE = ("queued", "starting", "running", "paused", "stopping")


class Home:
    """Writes run folders; every method returns the folder it wrote to."""

    def __init__(self, path: Path, *, now: float = NOW) -> None:
        self.path = path
        self.now = now
        self.runs = path / "runs"
        self.runs.mkdir(parents=True, exist_ok=True)
        self._made = 0

    def add(
        self,
        state: str = "finished",
        *,
        subject: str = "mixmas",
        kind: str = "search",
        dataset: str = "avmnist",
        name: str = "",
        tags: Sequence[str] = (),
        age: float | None = None,
        score: float | None = None,
        progress: tuple[float, float, str] | None = None,
        result: Mapping[str, Any] | None = None,
        starred: bool = False,
        notes: str = "",
        reason: str = "",
        run_id: str = "",
        seed: int = 0,
    ) -> Path:
        """A run in some state; a live one belongs to this very process, so that it counts as alive."""
        self._made += 1
        stamp = f"20261121-{self._made // 60:02d}{self._made % 60:02d}"
        run = self.runs / (run_id or f"{stamp}-{subject}-{dataset}-{self._made:04x}")
        run.mkdir()
        created = self.now - (3600.0 - self._made if age is None else age)
        named = {"search" if kind == "search" else "family": subject, "dataset": dataset}
        options = {"data": {"source": "stand-in"}, "options": {"sample": 1000}, "fit": {"epochs": 30}}
        self.write(run / "config.json", {"format": 1, "kind": kind, "seed": seed, **named, **options})
        meta = {"name": name, "tags": list(tags), "starred": starred, "notes": notes}
        self.write(run / "meta.json", {"format": 1, **meta})
        self.write(run / "launch.json", {"format": 1, "attempts": [attempt_record(run, created)]})
        self.set_state(run, state, created=created, reason=reason)
        if progress is not None:
            self.progress(run, *progress, started=created + 5)
        if score is not None or result is not None:
            self.finish(run, score, dataset=dataset, **(result or {}))
        return run

    def progress(self, run: Path, done: float, total: float, what: str, *, started: float, **more: Any) -> None:
        """Write progress.json."""
        spent = {"at": self.now, "started": started}
        self.write(run / "progress.json", {"done": done, "total": total, "what": what, **spent, **more})

    def set_state(self, run: Path, state: str, *, created: float | None = None, reason: str = "") -> None:
        """Write state.json."""
        created = self.now - 3600 if created is None else created
        own = ProcessIdentity.own().to_json() if state in LIVE else None
        history = [{"state": "queued", "at": created, "attempt": 1, "reason": ""}]
        if state != "queued":
            history.append({"state": "running", "at": created + 2, "attempt": 1, "reason": ""})
        if state not in ("queued", "running"):
            history.append({"state": state, "at": created + 600, "attempt": 1, "reason": reason})
        record = {
            "format": 1,
            "run": run.name,
            "state": state,
            "attempt": 1,
            "since": history[-1]["at"],
            "history": history,
            "supervisor": own,
            "worker": own if state != "queued" else None,
            "slot": "cpu:0" if own else None,
            "waiting": "no free slot" if state == "queued" else None,
            "exit_code": {"crashed": 1, "finished": 0}.get(state),
            "signal": None,
            "reason": reason,
        }
        self.write(run / "state.json", record)

    def finish(self, run: Path, score: float | None, *, dataset: str = "avmnist", **more: Any) -> None:
        """Write exit.json with a result."""
        params = {"encoders": {"image": {"block": "mlp"}, "audio": {"block": "wave"}}, "fusion": "concat"}
        result = {
            "score": score,
            "metric": "val/accuracy",
            "maximize": True,
            "metrics": {"val/accuracy": score, "test/accuracy": (score or 0) - 0.01},
            "architecture": {"family": "mixmas", "params": params},
            "parameters": 812_345,
            "macs": 14_200_000,
            "stand_in": True,
            "dataset_label": f"{dataset} (stand-in)",
            "fingerprint": "9f3a",
            "seconds": 598.0,
            "epochs": 30,
            "steps": 2400,
        }
        word = {"format": 1, "status": "finished", "exit_code": 0, "attempt": 1, "error": None}
        self.write(run / "exit.json", {**word, "result": result | more})

    def metrics(self, run: Path, rows: Iterable[tuple[int, Mapping[str, float]]], *, trial: int | None = None) -> None:
        """Append rows to metrics.jsonl."""
        path = run / "metrics.jsonl"
        head = {"v": 1, "run": run.name, "attempt": 1, "t0": self.now - 900, "resume_step": None}
        lines = [] if path.exists() else [json.dumps(head)]
        for step, values in rows:
            spelled = {name: nonfinite(value) for name, value in values.items()}
            lines.append(json.dumps({"s": step, "e": None, "t": self.now - 900 + step, "n": trial, "m": spelled}))
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))

    def trials(self, run: Path, trials: Iterable[TrialRecord]) -> None:
        """Append trial rows to events.jsonl."""
        with (run / "events.jsonl").open("a", encoding="utf-8") as file:
            for record in trials:
                row = {"v": 1, "ev": "trial", "t": self.now, "attempt": 1, "trial": record.to_json()}
                file.write(json.dumps(row) + "\n")

    def log(self, run: Path, text: str, *, attempt: int = 1) -> None:
        """Append to a log."""
        with (run / f"log.{attempt}.txt").open("a", encoding="utf-8", newline="") as file:
            file.write(text)

    def write(self, path: Path, record: Mapping[str, Any]) -> None:
        """Replace a JSON file at once, as the program does."""
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(record), encoding="utf-8")
        draft.replace(path)


def nonfinite(value: float) -> float | str:
    """A number as journals spell it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def attempt_record(run: Path, at: float) -> dict[str, Any]:
    """An attempt as the launcher records it."""
    return {
        "attempt": 1,
        "argv": ["python", "-m", "mmfuse_runs.worker", str(run)],
        "cwd": "/home/ada/fusion",
        "host": "tern",
        "python": "3.11.9",
        "mmfuse": "0.1.0",
        "git": {"sha": "4f1c2ab", "dirty": False},
        "device": "cpu",
        "data_root": "/home/ada/data",
        "threads": 2,
        "started_by": "cli",
        "at": at,
    }


class RecordingControl(StoreControl):
    """Remembers what was asked instead of doing it; raises ``error`` if it has one."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.started: list[Form] = []
        self.asked: list[tuple[str, str]] = []
        self.edits: list[tuple[str, Edit]] = []
        self.error: MmfuseError | None = None

    def ask(self, verb: str, run_id: str) -> None:
        """Remember."""
        self.asked.append((verb, run_id))
        if self.error is not None:
            raise self.error

    def edit(self, run_id: str, edit: Edit) -> None:
        """Remember."""
        self.edits.append((run_id, edit))
        if self.error is not None:
            raise self.error

    def size(self, run_id: str) -> int:
        """Every folder has two megabytes."""
        return 2_000_000

    def start(self, form: Form) -> str:
        """Remember; the run's name is its id."""
        if self.error is not None:
            raise self.error
        self.started.append(form)
        return form.name


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return Home(tmp_path / "home")


@pytest.fixture
def control(home: Home) -> RecordingControl:
    """Takes requests instead of supervisors."""
    return RecordingControl(home.path)


@pytest.fixture
def dashboard(home: Home, control: RecordingControl) -> Callable[..., Dashboard]:
    """Makes a dashboard of the home, with a frozen clock."""

    def make(*, read_only: bool = False) -> Dashboard:
        store = RunStore(home.path, read_only=read_only)
        return Dashboard(store, control=control, clock=lambda: NOW, read_only=read_only)

    return make


@pytest.fixture
def trial() -> Callable[..., TrialRecord]:
    """Makes trials that ask which block encodes the images."""

    def make(
        number: int, *, stage: str = "encoder/image", block: str = "mlp", score: float | None = None, **more: Any
    ) -> TrialRecord:
        params = {"modality": "image", "encoder": {"block": block, "depth": number + 1}}
        status = more.pop("status", "done" if score is not None else "running")
        architecture = Architecture("unimodal", params, stage)
        return TrialRecord(number, architecture, seed=number, status=status, score=score, **more)

    return make


@pytest.fixture
def settle() -> Callable[..., Any]:
    """Lets the application work until a condition holds; fails when it never does."""

    async def wait(pilot: Pilot[Any], until: Callable[[], object]) -> None:
        for _ in range(500):
            await pilot.pause()
            if until():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"never came true; the screen shows:\n{text_of(pilot.app)}")

    return wait


def text_of(app: App[Any]) -> str:
    """What stands on the top screen, line by line, without colours."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


@pytest.fixture
def screen_text() -> Callable[[App[Any]], str]:
    """Reads what stands on the screen."""
    return text_of
