"""`mmfuse --help` and `mmfuse runs ls` with 1,000 runs, beside importing Typer and Rich and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sidebyside import Ratio, in_turns

from mmfuse_runs.store import RunStore


def measure(*, quick: bool = False) -> list[Ratio]:
    """Whole processes, start to end."""
    runs, rounds = (20, 1) if quick else (1000, 15)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        store = RunStore(home)
        for number in range(runs):
            spec = {"kind": "train", "family": "m2_mixer", "dataset": "toy", "seed": number}
            store.create(spec, kind="train", subject="m2_mixer", dataset="toy")
        environment = os.environ | {"MMFUSE_HOME": str(home)}

        def command(*arguments: str) -> None:
            subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)

        def baseline() -> None:
            command("-c", "import typer, rich")

        shown = "from mmfuse_cli.main import main; main()"
        helped = in_turns(lambda: command("-c", shown, "--help"), baseline, rounds=rounds)
        listed = in_turns(lambda: command("-c", shown, "runs", "ls"), baseline, rounds=rounds)
    return [
        Ratio("mmfuse --help / import typer, rich", *helped, goal=2.0),
        Ratio(f"mmfuse runs ls ({runs} runs) / import typer, rich", *listed, goal=2.0),
    ]


if __name__ == "__main__":
    print(*measure(), sep="\n")
