"""Trains the small world in processes that are killed or stopped at chosen moments, then resumed to the end.

``python killable_fit.py FOLDER`` reads scenarios as JSON from stdin and writes what came of each as JSON to stdout.
A scenario is {"name", "options", "deaths": [death, ...]}; each death ends one attempt, the last attempt runs through.
Lightning is imported once; every attempt is a forked process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from small_world import SmallNet, small_net, small_splits

import mmfuse.training.module  # noqa: F401 - so that the forked attempts need not import Lightning
from mmfuse.architecture import Architecture
from mmfuse.errors import Stopped
from mmfuse.report import NullReporter
from mmfuse.spec import FitOptions
from mmfuse.training import checkpoint as checkpoint_module
from mmfuse.training.checkpoint import load_checkpoint
from mmfuse.training.engine import FullTraining
from mmfuse.training.fit import fit_model

OPTIONS = {"epochs": 4, "batch_size": 16, "learning_rate": 0.1, "plateau_patience": 0, "plateau_factor": 0.5}


class BufferingReporter(NullReporter):
    """Rows reach the disk when they are flushed, and are lost with the process otherwise."""

    def __init__(self, path: Path, attempt: int) -> None:
        self.path = path
        self.rows: list[Any] = [{"attempt": attempt}]

    def resumed(self, step: int) -> None:
        self.rows.append({"resumed": step})

    def metrics(self, values: Any, *, step: int, epoch: int | None = None, trial: int | None = None) -> None:
        self.rows.append({"s": step, "e": epoch, "m": dict(values)})

    def flush(self) -> None:
        with self.path.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in self.rows)
        self.rows = []


class Death:
    """When an attempt ends: at a poll of ``should_stop`` (one a step, one a validation batch), or at a named moment."""

    def __init__(self, description: dict[str, Any] | None) -> None:
        self.at = (description or {}).get("at")
        self.signal = signal.Signals[(description or {}).get("signal", "SIGKILL")]
        self.polls = 0
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)
        if isinstance(self.at, str):
            getattr(self, f"_{self.at}")()

    def should_stop(self) -> bool:
        self.polls += 1
        if self.polls == self.at:
            self.strike()
        return self.asked

    def strike(self) -> None:
        os.kill(os.getpid(), self.signal)

    def _ask(self, *_: Any) -> None:
        self.asked = True

    def _half_written(self) -> None:
        """Die in the middle of writing the third checkpoint."""
        save, written = torch.save, []

        def half(record: Any, file: Any) -> None:
            save(record, file)
            written.append(1)
            if len(written) == 3:
                file.truncate(file.tell() // 2)
                self.strike()

        torch.save = half

    def _between_best_and_last(self) -> None:
        self._before(SmallNet, "epoch_ended")

    def _just_renamed(self) -> None:
        self._before(checkpoint_module, "_sync_folder")

    def _lightning_sets_up(self) -> None:
        self._before(FullTraining, "loader")

    def _before(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def dying(*arguments: Any) -> Any:
            self.strike()
            return original(*arguments)

        setattr(owner, name, dying)


def attempt(folder: Path, number: int, options: dict[str, Any], death: dict[str, Any] | None) -> int:
    """Fork one attempt; its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = _train(folder, number, options, death)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _train(folder: Path, number: int, options: dict[str, Any], death: dict[str, Any] | None) -> int:
    dying = Death(death)
    reporter = BufferingReporter(folder / "rows.jsonl", number)
    torch.rand(number * 3)  # what was drawn before must not matter
    try:
        fit_model(
            small_net(),
            small_splits(),
            FitOptions(**OPTIONS | options),
            architecture=Architecture("small", {}),
            seed=3,
            device=torch.device("cpu"),
            folder=folder,
            reporter=reporter,
            should_stop=dying.should_stop,
            provenance={"run": "small", "attempt": number},
        )
    except Stopped:
        return 75
    finally:
        reporter.flush()
    return 0


def visible_rows(path: Path) -> list[Any]:
    """The rows a reader shows: those past the step from which a later attempt went on are void, repeats are one."""
    shown: list[Any] = []
    for row in map(json.loads, path.read_text().splitlines()):
        if "resumed" in row:
            shown = [earlier for earlier in shown if earlier["s"] <= row["resumed"]]
        elif "m" in row and row not in shown:
            shown.append(row)
    return shown


def outcome(folder: Path, scenario: dict[str, Any]) -> dict[str, Any]:
    """Everything by which a killed training could differ from one that was not."""
    folder.mkdir(parents=True)
    deaths = [*scenario["deaths"], None]
    codes = [attempt(folder, n, scenario["options"], death) for n, death in enumerate(deaths, start=1)]
    last, best = (load_checkpoint(folder / "checkpoints" / f"{name}.ckpt") for name in ("last", "best"))
    assert last.training is not None
    state = vars(last.training)
    return {
        "codes": codes,
        "rows": visible_rows(folder / "rows.jsonl"),
        "last": _digest(last.weights),
        "best": [_digest(best.weights), best.epoch, dict(best.metrics)],
        "training": _digest({name: value for name, value in state.items() if name != "seconds"}),
        "files": sorted(path.name for path in (folder / "checkpoints").iterdir()),
        "step": last.step,
    }


def _digest(value: Any) -> str:
    sha = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            sha.update(f"{part.dtype}{tuple(part.shape)}".encode() + part.contiguous().numpy().tobytes())
        elif isinstance(part, dict):
            for key in sorted(part, key=str):
                sha.update(str(key).encode())
                add(part[key])
        elif isinstance(part, list | tuple):
            for item in part:
                add(item)
        else:
            sha.update(repr(part).encode())

    add(dict(value))
    return sha.hexdigest()


if __name__ == "__main__":
    root = Path(sys.argv[1])
    scenarios = json.load(sys.stdin)
    json.dump({scenario["name"]: outcome(root / scenario["name"], scenario) for scenario in scenarios}, sys.stdout)
