"""A run works with the code as it was when it was asked for: the real command line, supervisor and worker."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typed import environment

import mmfuse
from mmfuse_runs.slots import Line

WORK = """
class Workspace:
    def __init__(self, **facts):
        pass

def run(spec, workspace):
    %s
"""
"""Takes the place of `mmfuse.jobs` in a copy of the source tree; what it does is the code that people edit."""
ASKED = ["train", "linear_probe", "--dataset", "toy", "--device", "cpu"]

Typed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree."""
    checkout, copy = Path(mmfuse.__file__).parents[1], tmp_path_factory.mktemp("tree")
    for package in ("mmfuse", "runs/mmfuse_runs", "cli/mmfuse_cli", "tui/mmfuse_tui"):
        shutil.copytree(checkout / package, copy / Path(package).name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def edit(pristine: Path) -> Callable[[str], None]:
    """Edit the code in the tree: ``edit("return {}")``."""
    return lambda body: (pristine / "mmfuse" / "jobs.py").write_text(WORK % body) and None


@pytest.fixture
def typed(pristine: Path, home: Path) -> Typed:
    """Run ``mmfuse ARGUMENTS`` out of that tree, in a process of its own."""
    surroundings = environment(home) | {"PYTHONPATH": str(pristine), "MMFUSE_CPU_SLOTS": "1"}

    def run(*arguments: str, check: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mmfuse_cli", *arguments]
        ended = subprocess.run(command, env=surroundings, cwd=home.parent, capture_output=True, text=True, timeout=120)
        assert ended.returncode == check, f"{ended.stdout}\n{ended.stderr}"
        return ended

    return run


def score(typed: Typed, run: str) -> float:
    return float(json.loads(typed("runs", "show", run, "--json").stdout)["run"]["score"])


def test_a_file_edited_after_enqueueing_does_not_change_the_run(
    home: Path, typed: Typed, edit: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMFUSE_CPU_SLOTS", "1")
    edit('return {"score": 1.0, "metric": "val/accuracy"}')
    (home / "runs").mkdir(parents=True)
    slot = Line(home, run="other", wanted=["cpu.0"]).try_take()
    assert slot is not None

    waiting = typed(*ASKED, "--detach").stdout.strip()
    edit('return {"score": 2.0, "metric": "val/accuracy"}')
    asked_after = typed(*ASKED, "--detach").stdout.strip()
    slot.release()
    typed("runs", "watch", asked_after)

    assert (score(typed, waiting), score(typed, asked_after)) == (1.0, 2.0)
    shown = typed("runs", "diff", waiting, asked_after).stdout
    assert "mmfuse/jobs.py  +1 -1" in shown
    assert '+    return {"score": 2.0' in shown


def test_resume_and_rerun_keep_the_code_until_told_otherwise(
    home: Path, typed: Typed, edit: Callable[[str], None]
) -> None:
    edit('raise RuntimeError("the first code")')
    typed(*ASKED, "--name", "first", check=1)
    edit('return {"score": 2.0, "metric": "val/accuracy"}')

    resumed = typed("runs", "resume", "first", check=1)
    again = typed("runs", "rerun", "first", "--set", "fit.epochs=3", check=1)
    typed("runs", "rerun", "first", "--code", "current", "--name", "second")
    typed("runs", "resume", "first", "--code", "current")

    assert "the first code" in resumed.stderr
    assert "since then mmfuse/jobs.py changed (--code current" in resumed.stderr
    assert "the first code" in again.stderr
    assert "mmfuse train linear_probe" in again.stderr
    assert (score(typed, "first"), score(typed, "second")) == (2.0, 2.0)
    attempts = json.loads(typed("runs", "show", "first", "--json").stdout)["launch"]["attempts"]
    assert attempts[0]["code"] == attempts[1]["code"] != attempts[2]["code"]
    assert attempts[1]["code_remark"] in typed("runs", "logs", "first", "--attempt", "2").stdout


def test_a_run_whose_code_is_gone_goes_on_with_what_is_there_and_says_so(
    home: Path, typed: Typed, edit: Callable[[str], None]
) -> None:
    edit('raise RuntimeError("the first code")')
    typed(*ASKED, "--name", "first", check=1)
    edit('return {"score": 2.0, "metric": "val/accuracy"}')
    shutil.rmtree(home / "code")

    resumed = typed("runs", "resume", "first")

    assert "goes on with what is there now" in resumed.stderr
    assert score(typed, "first") == 2.0
    assert "goes on with what is there now" in typed("runs", "logs", "first").stdout


def test_a_run_starts_where_its_code_cannot_be_kept(home: Path, typed: Typed, edit: Callable[[str], None]) -> None:
    edit('return {"score": 1.0, "metric": "val/accuracy"}')
    home.mkdir()
    (home / "code").write_text("in the way")

    started = typed(*ASKED, "--name", "first")

    assert "the code was not kept: Not a directory" in started.stderr
    assert score(typed, "first") == 1.0
