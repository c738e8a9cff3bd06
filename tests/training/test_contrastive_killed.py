"""A contrastive training that is killed with -9 and resumed has, bit for bit, the losses of one that was not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import torch


def _attempt(folder: Path, deadline: int) -> int:
    command = [sys.executable, Path(__file__).with_name("killable_contrastive.py"), folder, str(deadline)]
    return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode


def _rows(folder: Path) -> dict[tuple[int, str], float]:
    """The last word on each step, without what a later attempt has declared void."""
    found: dict[tuple[int, str], float] = {}
    for line in (folder / "rows.jsonl").read_text().splitlines():
        step, values = json.loads(line)
        if "resumed" in values:
            found = {key: value for key, value in found.items() if key[0] <= step}
        else:
            found |= {(step, name): value for name, value in values.items()}
    return found


def test_killed_twice_it_ends_as_if_it_had_not_been(tmp_path):
    assert _attempt(tmp_path / "whole", 0) == 0

    deaths = [_attempt(tmp_path / "killed", deadline) for deadline in (11, 9, 0)]

    assert deaths == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert _rows(tmp_path / "killed") == _rows(tmp_path / "whole")
    for file in ("last.ckpt", "best.ckpt"):
        whole, killed = (
            torch.load(tmp_path / name / "checkpoints" / file, weights_only=True) for name in ("whole", "killed")
        )
        assert (whole["epoch"], whole["step"], whole["metrics"]) == (killed["epoch"], killed["step"], killed["metrics"])
        assert all(whole["weights"][key].equal(killed["weights"][key]) for key in whole["weights"])
