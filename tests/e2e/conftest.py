"""Real processes, on a home of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Makes ``typed`` importable: test folders are no packages.
sys.path.insert(0, str(Path(__file__).parent))

from typed import Command, environment


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def mmfuse(home: Path) -> Command:
    """Run ``mmfuse ARGUMENTS`` to its end, in a process of its own."""

    def run(*arguments: str, check: int | None = 0, timeout: float = 400) -> subprocess.CompletedProcess[str]:
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
