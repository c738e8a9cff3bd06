"""Runs killed for real, anywhere, and resumed: nothing may be lost and nothing may differ."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typed import TINY_FUSION_SEARCH, TINY_SEARCH, TOY_M2, Command, environment, shown

from mmfuse_runs.states import LEASE_S

# Real searches, killed and resumed: on a busy machine more than the usual five minutes each.
pytestmark = pytest.mark.timeout(900)

ENDED = {"finished", "stopped", "killed", "crashed", "lost", "cancelled"}


def state_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "state.json").read_text())


def wait_for(condition: Callable[[], bool], *, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def wait_until(folder: Path, states: set[str]) -> str:
    wait_for(lambda: state_of(folder)["state"] in states)
    return str(state_of(folder)["state"])


def start(mmfuse: Command, home: Path, *arguments: str) -> Path:
    run_id = shown(mmfuse(*arguments, "--detach", "--json"))["run"]
    return home / "runs" / run_id


def kill_now_and_then(mmfuse: Command, folder: Path, *, times: int, seed: int, longest: float) -> int:
    """kill -9 the worker at random moments and resume, ``times`` times or until it finishes first; the kills made.

    The first kill comes soon, so that a quick machine does not finish before it.
    """
    chance = random.Random(seed)
    for done in range(times):
        wait_for(lambda: state_of(folder)["worker"] is not None or state_of(folder)["state"] in ENDED)
        pause = time.monotonic() + chance.uniform(0.0, longest if done else 2.0)
        wait_for(lambda pause=pause: time.monotonic() > pause or state_of(folder)["state"] in ENDED)
        state = state_of(folder)
        if state["state"] in ENDED:
            return done
        try:
            os.kill(state["worker"]["pid"], signal.SIGKILL)
        except ProcessLookupError:
            return done
        wait_until(folder, ENDED)
        if state_of(folder)["state"] == "finished":
            return done
        mmfuse("runs", "resume", folder.name, "--detach")
    return times


def trial_table(mmfuse: Command, run: str) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in trial.items() if key != "seconds"}
        for trial in shown(mmfuse("runs", "show", run, "--json"))["trials"]
    ]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["weights"])


def series(folder: Path, name: str) -> list[tuple[int, float]]:
    from mmfuse_runs.folder import RunFolder

    steps, values = RunFolder(folder).metrics().series(name)
    return list(zip(steps, values, strict=True))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_search_killed_anywhere_ends_as_if_it_had_not_been(mmfuse: Command, home: Path, seed: int) -> None:
    command = ["search", "mixmas", "--dataset", "toy", *TINY_SEARCH, "--seed", "3"]
    mmfuse(*command, "--name", "whole")
    whole = Path(shown(mmfuse("runs", "show", "whole", "--json"))["folder"])
    folder = start(mmfuse, home, *command, "--name", "killed")

    kills = kill_now_and_then(mmfuse, folder, times=4, seed=seed, longest=7.0)
    assert wait_until(folder, ENDED) == "finished"

    assert kills > 0
    assert trial_table(mmfuse, "killed") == trial_table(mmfuse, "whole")
    left, right = (shown(mmfuse("runs", "show", name, "--json"))["run"] for name in ("killed", "whole"))
    assert left["architecture_key"] == right["architecture_key"]
    assert left["metrics"] == right["metrics"]
    assert series(folder, "train/loss") == series(whole, "train/loss")
    assert series(folder, "val/accuracy") == series(whole, "val/accuracy")
    ours, theirs = weights(folder), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    "options", [[], ["--set", "benchmark.weight_sharing=taps", "--set", "benchmark.taps_dtype=float16"]]
)
def test_a_fusion_search_killed_anywhere_ends_as_if_it_had_not_been(
    mmfuse: Command, home: Path, tmp_path: Path, options: list[str]
) -> None:
    command = ["search", "mfas", "--dataset", "toy", *TINY_FUSION_SEARCH, *options, "--seed", "3"]
    mmfuse(*command, "--name", "whole", "--data-root", str(tmp_path / "data of whole"))
    whole = Path(shown(mmfuse("runs", "show", "whole", "--json"))["folder"])
    folder = start(mmfuse, home, *command, "--name", "killed", "--data-root", str(tmp_path / "data of killed"))

    kills = kill_now_and_then(mmfuse, folder, times=4, seed=1, longest=5.0)
    assert wait_until(folder, ENDED) == "finished"

    assert kills > 0
    assert trial_table(mmfuse, "killed") == trial_table(mmfuse, "whole")
    left, right = (shown(mmfuse("runs", "show", name, "--json"))["run"] for name in ("killed", "whole"))
    assert left["architecture_key"] == right["architecture_key"]
    assert left["metrics"] == right["metrics"]
    ours, theirs = weights(folder), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_stopped_run_exits_with_75_and_goes_on_where_it_was(mmfuse: Command, home: Path) -> None:
    command = ["train", "m2_mixer", "--dataset", "toy", *TOY_M2, "--set", "fit.epochs=1000"]
    folder = start(mmfuse, home, *command, "--set", "fit.early_stopping=null")
    wait_for(lambda: len(series(folder, "val/accuracy")) >= 2)

    mmfuse("runs", "stop", folder.name)
    assert wait_until(folder, ENDED) == "stopped"
    reached = max(step for step, _ in series(folder, "train/loss"))
    state = state_of(folder)
    mmfuse("runs", "resume", folder.name, "--detach")
    wait_for(lambda: max(step for step, _ in series(folder, "train/loss")) > reached)
    mmfuse("runs", "kill", folder.name)

    assert state["exit_code"] == 75
    assert wait_until(folder, ENDED) == "killed"
    steps = [step for step, _ in series(folder, "train/loss")]
    assert steps == sorted(set(steps))


def test_a_killed_worker_is_shown_as_crashed_long_before_its_lease_runs_out(mmfuse: Command, home: Path) -> None:
    folder = start(mmfuse, home, "train", "m2_mixer", "--dataset", "toy", *TOY_M2, "--set", "fit.epochs=1000")
    wait_for(lambda: state_of(folder)["state"] == "running")

    os.kill(state_of(folder)["worker"]["pid"], signal.SIGKILL)
    wait_for(lambda: state_of(folder)["state"] == "crashed", seconds=LEASE_S / 2)

    shown_run = shown(mmfuse("runs", "show", folder.name, "--json"))["run"]
    assert shown_run["state"] == "crashed"
    assert shown_run["signal"] == 9


def test_an_interrupted_command_stops_the_run_and_prints_how_to_go_on(home: Path) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mmfuse_cli",
            "train",
            "m2_mixer",
            "--dataset",
            "toy",
            *TOY_M2,
            "--set",
            "fit.epochs=1000",
        ],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: any(path.stat().st_size > 2000 for path in home.glob("runs/*/metrics.jsonl")))

    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=240)

    (folder,) = (home / "runs").iterdir()
    assert process.returncode == 130
    assert f"mmfuse runs resume {folder.name}" in told
    assert wait_until(folder, ENDED) == "stopped"


def test_two_searches_at_once_do_not_disturb_each_other(mmfuse: Command, home: Path) -> None:
    command = ["search", "mixmas", "--dataset", "toy", *TINY_SEARCH, "--no-train", "--seed", "3"]

    folders = [start(mmfuse, home, *command, "--name", name) for name in ("one", "two")]
    ends = [wait_until(folder, ENDED) for folder in folders]

    assert ends == ["finished", "finished"]
    assert trial_table(mmfuse, "one") == trial_table(mmfuse, "two")
