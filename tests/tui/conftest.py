"""Homes full of runs, written file by file as a worker and a supervisor would have left them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mmfuse.architecture import Architecture
from mmfuse.report import TrialRecord
from mmfuse_runs.identity import ProcessIdentity

NOW = 1_795_000_000.0
"""The frozen present of these tests."""


def nonfinite(value: float) -> float | str:
    """A number as journals spell it."""
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


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
        age: float = 3600.0,
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
        run = self.runs / (
            run_id or f"20261121-{self._made // 60:02d}{self._made % 60:02d}-{subject}-{dataset}-{self._made:04x}"
        )
        run.mkdir()
        subject_key = "search" if kind == "search" else "family"
        spec = {
            "format": 1,
            "kind": kind,
            subject_key: subject,
            "dataset": dataset,
            "data": {"source": "stand-in"},
            "seed": seed,
        }
        self.write(
            run / "config.json",
            spec | {"options": {"sample": 1000, "halving": False}, "fit": {"epochs": 30, "learning_rate": 0.001}},
        )
        self.write(
            run / "meta.json", {"format": 1, "name": name, "tags": list(tags), "starred": starred, "notes": notes}
        )
        created = self.now - age
        attempt = {
            "attempt": 1,
            "argv": ["python", "-m", "mmfuse_runs.worker", str(run)],
            "device": "cpu",
            "at": created,
            "cwd": "/home/ada/fusion",
            "host": "tern",
            "python": "3.11.9",
            "mmfuse": "0.1.0",
            "threads": 2,
            "git": {"sha": "4f1c2ab", "dirty": False},
            "data_root": "/home/ada/data",
            "started_by": "cli",
        }
        self.write(run / "launch.json", {"format": 1, "attempts": [attempt]})
        self.set_state(run, state, created=created, reason=reason)
        if progress is not None:
            done, total, what = progress
            self.write(
                run / "progress.json",
                {"done": done, "total": total, "what": what, "at": self.now, "started": created + 5},
            )
        if score is not None or result is not None:
            self.finish(run, score, dataset=dataset, **(result or {}))
        return run

    def set_state(self, run: Path, state: str, *, created: float | None = None, reason: str = "") -> None:
        """Write state.json."""
        created = self.now - 3600 if created is None else created
        own = ProcessIdentity.own().to_json()
        history = [{"state": "queued", "at": created, "attempt": 1, "reason": ""}]
        if state != "queued":
            history.append({"state": "running", "at": created + 2, "attempt": 1, "reason": ""})
        if state not in ("queued", "running"):
            history.append({"state": state, "at": created + 600, "attempt": 1, "reason": reason})
        live = state in ("queued", "starting", "running", "paused", "stopping")
        self.write(
            run / "state.json",
            {
                "format": 1,
                "run": run.name,
                "state": state,
                "attempt": 1,
                "since": history[-1]["at"],
                "history": history,
                "supervisor": own if live else None,
                "worker": own if live and state != "queued" else None,
                "slot": "cpu:0" if live else None,
                "waiting": "no free slot" if state == "queued" else None,
                "exit_code": 1 if state == "crashed" else 0 if state == "finished" else None,
                "signal": None,
                "reason": reason,
            },
        )

    def finish(self, run: Path, score: float | None, *, dataset: str = "avmnist", **more: Any) -> None:
        """Write exit.json with a result."""
        result = {
            "score": score,
            "metric": "val/accuracy",
            "maximize": True,
            "metrics": {"val/accuracy": score, "test/accuracy": (score or 0) - 0.01},
            "architecture": {
                "family": "mixmas",
                "params": {
                    "encoders": {"image": {"block": "mlp"}, "audio": {"block": "wave"}},
                    "fusion": "concat",
                    "network": {"block": "mlp"},
                },
            },
            "parameters": 812_345,
            "macs": 14_200_000,
            "stand_in": True,
            "dataset_label": f"{dataset} (stand-in)",
            "fingerprint": "9f3a",
            "seconds": 598.0,
            "epochs": 30,
            "steps": 2400,
        } | more
        self.write(
            run / "exit.json",
            {"format": 1, "status": "finished", "exit_code": 0, "attempt": 1, "error": None, "result": result},
        )

    def metrics(self, run: Path, rows: Iterable[tuple[int, Mapping[str, float]]], *, trial: int | None = None) -> None:
        """Append rows to metrics.jsonl."""
        path = run / "metrics.jsonl"
        lines = (
            []
            if path.exists()
            else [json.dumps({"v": 1, "run": run.name, "attempt": 1, "t0": self.now - 900, "resume_step": None})]
        )
        for step, values in rows:
            spelled = {name: nonfinite(value) for name, value in values.items()}
            lines.append(json.dumps({"s": step, "e": None, "t": self.now - 900 + step, "n": trial, "m": spelled}))
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))

    def trials(self, run: Path, trials: Iterable[TrialRecord]) -> None:
        """Append trial rows to events.jsonl."""
        with (run / "events.jsonl").open("a", encoding="utf-8") as file:
            for trial in trials:
                row = {"v": 1, "ev": "trial", "t": self.now, "attempt": 1, "trial": trial.to_json()}
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


def trial(
    number: int, *, stage: str = "encoder/image", block: str = "mlp", score: float | None = None, **more: Any
) -> TrialRecord:
    """A trial that asks which block encodes the images."""
    params = {"encoders": {"image": {"block": block, "depth": number}, "audio": {"block": "mlp"}}, "fusion": "concat"}
    status = more.pop("status", "done" if score is not None else "running")
    return TrialRecord(number, Architecture("mixmas", params, stage), seed=number, status=status, score=score, **more)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return Home(tmp_path / "home")
