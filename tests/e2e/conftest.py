"""Real processes: the command line as a user types it, on a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]

TINY_SEARCH = [
    *("--set", 'space.blocks=["mlp","hyper"]'),
    *("--set", 'space.functions=["concat","mean"]'),
    *("--set", 'space.network_params={"mlp":{"depth":1,"channel_hidden":16},"hyper":{"depth":1,"channel_hidden":16}}'),
    *("--set", "benchmark.epochs=2", "--set", "benchmark.sample=64", "--set", "benchmark.validation=64"),
    *("--set", "fit.epochs=3", "--set", "data.samples=128"),
]
"""A whole search with its final training, in seconds: 4 + 2 + 2 trials."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def mmfuse(home: Path) -> Command:
    """Run ``mmfuse ARGUMENTS`` to its end, in a process of its own."""

    def run(*arguments: str, check: int | None = 0, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        finished = subprocess.run(
            [sys.executable, "-m", "mmfuse_cli", *arguments],
            env=environment(home),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check is not None:
            assert finished.returncode == check, f"{finished.stdout}\n{finished.stderr}"
        assert "Traceback" not in finished.stderr
        return finished

    return run


def environment(home: Path) -> dict[str, str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith("MMFUSE_")}
    return keep | {"MMFUSE_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "100"}


def shown(finished: subprocess.CompletedProcess[str]) -> Any:
    """What a command printed with ``--json``."""
    return json.loads(finished.stdout)
