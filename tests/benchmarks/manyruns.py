"""Homes with thousands of runs, written file by file as workers and supervisors leave them, and runs that go on."""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.reporter import RunReporter
from mmfuse_runs.store import RunStore

METRICS = ("train/loss", "val/loss", "val/accuracy", "val/f1")
"""Four curves in three charts, or four for peers that draw one chart per metric."""
OVERLAID = tuple(f"expert{number:02d}/loss" for number in range(20))
"""Twenty curves in one chart."""


def course(steps: int, *, seed: int = 0) -> Iterator[tuple[int, dict[str, float]]]:
    """A training's numbers by step: losses that fall, scores that rise, with noise."""
    noise = random.Random(seed)
    for step in range(steps):
        loss = math.exp(-3 * step / steps) + noise.gauss(0, 0.02)
        score = 1 - loss / 1.5
        yield step, dict(zip(METRICS, (loss, loss + 0.1, score, score - 0.05), strict=True))


def overlaid(steps: int) -> Iterator[tuple[int, dict[str, float]]]:
    """A loss by step for each of `OVERLAID`, one above the other."""
    for step, values in course(steps):
        yield step, {name: values["train/loss"] + number / 20 for number, name in enumerate(OVERLAID)}


def overlay_curves(home: Path, run_id: str, *, steps: int) -> None:
    """Write twenty curves into the journal that all runs of `fill_home` share."""
    _write_journal(home / "runs" / run_id / "metrics.jsonl", overlaid(steps))


def fill_home(home: Path, runs: int, *, steps: int) -> list[str]:
    """Write ``runs`` finished trainings that share one journal of ``steps`` rows; their ids, newest first."""
    journal = home / "journal.jsonl"
    home.mkdir(parents=True, exist_ok=True)
    _write_journal(journal, course(steps))
    ids = []
    for number in range(runs):
        created = time.time() - 60.0 * (runs - number) - 3600.0
        stamp = time.strftime("%Y%m%d-%H%M", time.gmtime(created))
        ids.append(f"{stamp}-m2_mixer-avmnist-{number:04x}")
        folder = _make_run(home, ids[-1], created=created, seed=number)
        os.link(journal, folder / "metrics.jsonl")
        _write(folder / "exit.json", _last_word(number))
    journal.unlink()
    store = RunStore(home)
    store.rebuild()
    store.close()
    return ids[::-1]


def start_live_run(home: Path, number: int, rows: Iterable[tuple[int, Mapping[str, float]]] = ()) -> RunReporter:
    """A run of this very process, newer than all others, with ``rows`` already; its reporter goes on from there.

    The caller closes it.
    """
    now = time.time()
    run_id = f"{time.strftime('%Y%m%d-%H%M', time.gmtime(now))}-m2_mixer-avmnist-f{number:03x}"
    folder = _make_run(home, run_id, created=now - 30 + number, seed=number, live=True)
    reporter = RunReporter(folder, run_id=run_id, attempt=1)
    reporter.note("dataset", metric="val/accuracy", maximize=True, label="avmnist", fingerprint="9f3a")
    for step, values in rows:
        reporter.metrics(values, step=step)
    reporter.progress(1, 10, what="epoch 1/10")
    return reporter


def _make_run(home: Path, run_id: str, *, created: float, seed: int, live: bool = False) -> Path:
    folder = home / "runs" / run_id
    folder.mkdir(parents=True)
    asked = {"format": 1, "kind": "train", "seed": seed, "family": "m2_mixer", "dataset": "avmnist"}
    tags = ["baseline"] if seed % 5 == 0 else []
    _write(folder / "config.json", asked | {"options": {"token_hidden": 32, "channel_hidden": 64}})
    _write(folder / "meta.json", {"format": 1, "name": f"run {seed}", "tags": tags, "starred": False, "notes": ""})
    attempt = {"attempt": 1, "argv": ["python"], "host": "tern", "device": "cpu", "threads": 2, "at": created}
    _write(folder / "launch.json", {"format": 1, "attempts": [attempt]})
    _write(folder / "state.json", _state(run_id, created=created, live=live))
    return folder


def _state(run_id: str, *, created: float, live: bool) -> dict[str, Any]:
    own = ProcessIdentity.own().to_json() if live else None
    steps: Iterable[tuple[str, float]] = (("queued", 0.0), ("running", 2.0), ("finished", 600.0))
    history = [{"state": state, "at": created + after, "attempt": 1, "reason": ""} for state, after in steps]
    history = history[:2] if live else history
    return {
        "format": 1,
        "run": run_id,
        "state": history[-1]["state"],
        "attempt": 1,
        "since": history[-1]["at"],
        "history": history,
        "supervisor": own,
        "worker": own,
        "slot": None,
        "waiting": None,
        "exit_code": None if live else 0,
        "signal": None,
        "reason": "",
    }


def _last_word(number: int) -> dict[str, Any]:
    score = round(0.5 + 0.4 * random.Random(number).random(), 4)
    result = {
        "score": score,
        "metric": "val/accuracy",
        "maximize": True,
        "metrics": {"val/accuracy": score, "test/accuracy": score - 0.01},
        "architecture": {"family": "m2_mixer", "params": {"token_hidden": 32}},
        "parameters": 812_345 + number,
        "macs": 14_200_000,
        "dataset_label": "avmnist",
        "fingerprint": "9f3a",
        "seconds": 598.0,
        "epochs": 30,
        "steps": 2400,
    }
    return {"format": 1, "status": "finished", "exit_code": 0, "attempt": 1, "error": None, "result": result}


def _write_journal(path: Path, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
    now = time.time()
    with path.open("w") as file:
        print(json.dumps({"v": 1, "run": "shared", "attempt": 1, "t0": now, "resume_step": None}), file=file)
        for step, values in rows:
            print(json.dumps({"s": step, "e": None, "t": now + step, "n": None, "m": values}), file=file)


def _write(path: Path, record: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(record))
