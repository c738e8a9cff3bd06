"""Homes full of runs, written file by file as a worker and a supervisor would have left them."""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
        self.moved: list[tuple[list[str], str]] = []
        self.edits: list[tuple[str, Edit]] = []
        self.error: MmfuseError | None = None

    def ask(self, verb: str, run_id: str) -> None:
        """Remember."""
        self.asked.append((verb, run_id))
        if self.error is not None:
            raise self.error

    def move(self, run_ids: Sequence[str], where: str) -> None:
        """Remember."""
        self.moved.append((list(run_ids), where))
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


class Terminal:
    """One program in a tmux server of its own."""

    def __init__(self, socket: Path, command: Sequence[str], *, columns: int, rows: int, **environment: str) -> None:
        self.columns, self.rows = columns, rows
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        utf8 = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        size = ["-x", str(columns), "-y", str(rows)]
        shell = ["sh", "-c", '"$@"; echo left with $?; sleep 120', "sh", *command]
        # Runners of tests set a size of their own, which would go before the terminal's.
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self._tell("new-session", "-d", *size, *shell, env=inherited | utf8 | environment)

    def press(self, *keys: str) -> None:
        """Type keys, in tmux's names."""
        self._tell("send-keys", *keys)

    def text(self) -> str:
        """What stands on the screen."""
        return self._tell("capture-pane", "-p")

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size."""
        self.columns, self.rows = columns, rows
        self._tell("resize-window", "-x", str(columns), "-y", str(rows))

    def wait_for(self, words: str) -> str:
        """The screen once it shows the words; fails when it never does."""
        return self.wait_until(lambda text: words in text, repr(words))

    def wait_until(self, fits: Callable[[str], bool], what: str) -> str:
        """The screen once it fits; fails when it never does."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            text = self.text()
            if fits(text):
                return text
            time.sleep(0.02)
        raise AssertionError(f"never saw {what}; the screen shows:\n{self.text()}")

    def end(self) -> None:
        """End the tmux server."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def _tell(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True, env=env).stdout


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Opens a terminal, by default of 80 by 24, and ends it."""
    opened: list[Terminal] = []

    def open_terminal(command: Sequence[str], *, columns: int = 80, rows: int = 24, **environment: str) -> Terminal:
        opened.append(Terminal(tmp_path / "tmux.socket", command, columns=columns, rows=rows, **environment))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.end()


@pytest.fixture
def furnished(home: Home) -> dict[str, Path]:
    """A home with invented runs of every sort, by name, newest first: whatever a screen can show is there."""
    runs = {}
    for nth, name in enumerate(("m2 seed 0", "m2 seed 1", "m2 東京")):
        run = home.add(kind="train", subject="m2_mixer", name=name, age=9000 - nth, score=0.79 + nth / 50, seed=nth)
        rows = (
            (step, {"train/loss": 2 / (1 + step / 20), "val/accuracy": 0.8 - 0.5 / (1 + step)}) for step in range(90)
        )
        home.metrics(run, rows)
        runs[name] = run
    runs["diverged"] = home.add("crashed", kind="train", subject="m2_mixer", name="diverged", reason="the loss is NaN")
    runs["waiter"] = home.add("queued", name="waiter", age=300)
    training = home.add(
        "running", kind="train", subject="m2_mixer", name="m2 now", progress=(30, 90, "epoch 3"), age=200
    )
    home.metrics(training, ((step, {"train/loss": 2 - step / 50, "val/accuracy": step / 120}) for step in range(90)))
    home.log(training, "epoch 1\nepoch 2\nWARNING: slow\n")
    guided = home.add("running", subject="mfas", name="guided", progress=(6, 40, "sweep 1"), age=100, tags=["paper"])
    home.trials(guided, _guided_trials())
    home.log(guided, "hello from the worker\n")
    with (guided / "events.jsonl").open("a", encoding="utf-8") as file:
        for row in _guided_notes():
            file.write(json.dumps({"v": 1, "t": home.now, "attempt": 1, "ev": "note", **row}) + "\n")
    return {"guided": guided, "m2 now": training, **runs}


def _guided_trials() -> Iterator[TrialRecord]:
    stages = ["sweep 1/level 1"] * 4 + ["sweep 1/level 2"] * 4 + ["random"] * 2
    layers = [[(0, 0, 0)], [(1, 2, 0)], [(2, 4, 0)], [(2, 3, 1)]]
    layers += [[(2, 4, 0), second] for second in ((0, 1, 1), (1, 1, 1), (2, 2, 0), (0, 4, 0))] + [
        [(1, 4, 0)],
        [(0, 3, 1)],
    ]
    for number, (stage, rows) in enumerate(zip(stages, layers, strict=True)):
        params = {"modalities": ["image", "audio"], "layers": [list(row) for row in rows], "width": 16}
        score = 0.5 + 0.37 * math.sin(1 + number / 7)
        yield TrialRecord(number, Architecture("mfas", params, stage), seed=number, status="done", score=score)


def _guided_notes() -> Iterator[dict[str, Any]]:
    first, second = "sweep 1/level 1", "sweep 1/level 2"
    measured = [trial.score for trial in _guided_trials()]
    step = {"stage": first, "temperature": 1.0, "candidates": 30, "chains": ["a", "b"], "predicted": []}
    yield {"message": "search step", "facts": step}
    yield {"message": "search step measured", "facts": {"stage": first, "measured": measured[:4]}}
    guessed = [0.8, 0.84, 0.85, 0.86]
    step = {"stage": second, "temperature": 0.5, "candidates": 60, "chains": list("cdef"), "predicted": guessed}
    yield {"message": "search step", "facts": step}
    ranked = {"stage": second, "measured": measured[4:8], "rank_correlation": 0.8}
    yield {"message": "search step measured", "facts": ranked}
