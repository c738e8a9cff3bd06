"""A run store with real supervisors and fake workers; whatever a test leaves behind is killed after it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmfuse_runs import control, launch
from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.states import TERMINAL, State
from mmfuse_runs.store import RunStore

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
PATIENCE_S = 90.0
"""How long a test waits for what must come: longer than any machine is busy with something else."""


class House:
    """A store in a temporary home, and short words for what tests do with it."""

    def __init__(self, home: Path) -> None:
        self.store = RunStore(home)

    def create(self) -> str:
        return self.store.create(
            {"format": 1, "kind": "train", "family": "fake", "dataset": "toy"},
            kind="train",
            subject="fake",
            dataset="toy",
        ).id

    def start(self, scenario: str, *, until: State | None = None, device: str = "cpu") -> str:
        run = self.create()
        self.launch(run, scenario, device=device)
        if until is not None:
            self.wait(run, until)
        return run

    def launch(self, run: str, scenario: str, *, device: str = "cpu") -> None:
        launch.start(
            self.store, run, argv=[sys.executable, "-I", "-S", str(FAKE_WORKER), scenario], device=device, threads=1
        )

    def path(self, run: str) -> Path:
        return self.store.folder(run).path

    def record(self, run: str) -> dict[str, Any]:
        return self.store.folder(run).state()

    def state(self, run: str) -> State:
        return State(self.record(run)["state"])

    def wait(self, run: str, *states: State) -> State:
        reached = control.wait(self.store, run, states or TERMINAL, timeout=PATIENCE_S)
        assert reached in (states or TERMINAL), f"{reached} instead of {states}: {self.record(run)}"
        return reached

    def path_taken(self, run: str) -> list[str]:
        return [entry["state"] for entry in self.record(run)["history"]]

    def supervisor(self, run: str) -> ProcessIdentity:
        return self._identity(run, "supervisor")

    def worker(self, run: str) -> ProcessIdentity:
        return self._identity(run, "worker")

    def kill_supervisor(self, run: str) -> None:
        supervisor = self.supervisor(run)
        supervisor.signal(signal.SIGKILL)
        self.eventually(supervisor.gone)

    def pid(self, run: str, name: str) -> int:
        return int((self.path(run) / name).read_text().split()[-1])

    def slot_files(self) -> list[Path]:
        return sorted((self.store.home / "slots").glob("*/*"))

    @staticmethod
    def eventually(reached: Callable[[], bool], *, seconds: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.01)

    def _identity(self, run: str, role: str) -> ProcessIdentity:
        self.eventually(lambda: self.record(run)[role] is not None)
        identity = ProcessIdentity.from_json(self.record(run)[role])
        assert identity is not None
        return identity

    def clean_up(self) -> None:
        for path in self.store.runs.glob("*/state.json"):
            record = json.loads(path.read_text()) if path.stat().st_size else {}
            for role in ("supervisor", "worker"):
                identity = ProcessIdentity.from_json(record.get(role))
                if identity is not None:
                    identity.signal(signal.SIGKILL)
        for listed in self.store.runs.glob("*/*.txt"):
            for word in listed.read_text(errors="replace").split() if not listed.name.startswith("log") else ():
                if word.isdecimal() and _is_fake_worker(int(word)):
                    os.kill(int(word), signal.SIGKILL)


def _is_fake_worker(pid: int) -> bool:
    try:
        return str(FAKE_WORKER).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("MMFUSE_CPU_SLOTS", "4")
    # What a request has achieved when it returns must not depend on how busy the machine is.
    monkeypatch.setattr(control, "CONFIRM_S", PATIENCE_S)
    house = House(tmp_path / "home")
    yield house
    house.clean_up()
