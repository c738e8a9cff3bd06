"""Other terminal dashboards, taken from a virtual environment that ``MMFUSE_PEERS`` names: nothing of ours needs them.

Each is given the numbers in its own format, written by its own writer, once; further runs are links to that file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Rows = list[tuple[int, dict[str, float]]]

_WANDB = """
import json, os, sys
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=sys.argv[1], WANDB_X_DISABLE_STATS="true")
import wandb
run = wandb.init(project="bench", settings=wandb.Settings(console="off"))
for step, values in json.load(sys.stdin):
    run.log(values, step=step)
run.finish()
"""
_WANDB_LIVE = """
import os, sys
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=sys.argv[1], WANDB_X_DISABLE_STATS="true")
import wandb
run = wandb.init(project="bench", settings=wandb.Settings(console="off"))
for line in sys.stdin:
    run.log({"val/accuracy": float(line)})
run.finish()
"""
_TENSORBOARD = """
import json, sys
from tensorboardX import SummaryWriter
writer = SummaryWriter(sys.argv[1])
for step, values in json.load(sys.stdin):
    for name, value in values.items():
        writer.add_scalar(name, value, step)
writer.close()
"""


@dataclass(frozen=True)
class Peer:
    """One program: how it is started on a folder of logs, how these are written, and how a whole run looks in it.

    ``cursor`` is the sign of the row that ``down`` moves, where it has a list of runs; ``live`` is a script that logs
    every number it reads from its input, where the program shows last values.
    """

    name: str
    bin: Path
    command: Callable[[Path], list[str]]
    write: Callable[[Path, int, Rows], None]
    is_complete: Callable[[int], Callable[[str], bool]]
    cursor: str = ""
    live: str = ""


def installed_peers() -> list[Peer]:
    """The peers that are there; of the others stderr says that they were not measured."""
    named = os.environ.get("MMFUSE_PEERS")
    if not named:
        print("peers: MMFUSE_PEERS is not set, so nothing is measured beside ours", file=sys.stderr)
        return []
    bin = Path(named) / "bin"
    found = []
    for peer in (_leet(bin), _terminalboard(bin)):
        if Path(peer.command(bin)[0]).exists():
            found.append(peer)
        else:
            print(f"peers: {peer.name} is not installed in {named} and was not measured", file=sys.stderr)
    return found


def _leet(bin: Path) -> Peer:
    def write(logs: Path, runs: int, rows: Rows) -> None:
        logs.mkdir(parents=True)
        _feed(bin, _WANDB, logs, rows)
        folder = logs / "wandb"
        (first,) = folder.glob("offline-run-*")
        (log,) = first.glob("*.wandb")
        for number in range(1, runs):
            run_id = f"b{number:07d}"
            other = folder / f"{first.name.rpartition('-')[0]}-{run_id}"
            other.mkdir()
            os.link(log, other / f"run-{run_id}.wandb")

    def command(logs: Path) -> list[str]:
        runs = sorted((logs / "wandb").glob("offline-run-*")) if (logs / "wandb").is_dir() else []
        return [str(bin / "wandb"), "leet", *([str(runs[0])] if len(runs) == 1 else [str(logs / "wandb")])]

    def is_complete(steps: int) -> Callable[[str], bool]:
        last = re.compile(
            rf"_step +{steps - 1}\b"
        )  # it goes on reading behind the first chart; its summary tells how far
        return lambda text: last.search(text) is not None

    return Peer("wandb leet", bin, command, write, is_complete, cursor="▶", live=_WANDB_LIVE)


def _terminalboard(bin: Path) -> Peer:
    def write(logs: Path, runs: int, rows: Rows) -> None:
        first = logs / "run-0"
        _feed(bin, _TENSORBOARD, first, rows)
        (log,) = first.iterdir()
        for number in range(1, runs):
            (logs / f"run-{number}").mkdir()
            os.link(log, logs / f"run-{number}" / log.name)

    def command(logs: Path) -> list[str]:
        return [str(bin / "terminalboard"), "--reset-view", str(logs)]

    def is_complete(steps: int) -> Callable[[str], bool]:
        return lambda text: any(
            "\u2801" <= c <= "\u28ff" for c in text
        )  # it draws nothing before it has read everything

    return Peer("terminalboard", bin, command, write, is_complete)


def _feed(bin: Path, script: str, logs: Path, rows: Rows) -> None:
    subprocess.run([str(bin / "python"), "-c", script, str(logs)], input=json.dumps(rows), text=True, check=True)
