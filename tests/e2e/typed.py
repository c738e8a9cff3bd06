"""The command line as a user types it: what every end-to-end test needs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Command = Callable[..., subprocess.CompletedProcess[str]]

TINY_SEARCH = [
    *("--set", 'space.blocks=["mlp","hyper"]'),
    *("--set", 'space.functions=["concat","mean"]'),
    *("--set", 'space.network_params={"mlp":{"depth":1,"channel_hidden":16},"hyper":{"depth":1,"channel_hidden":16}}'),
    *("--set", "benchmark.epochs=2", "--set", "benchmark.sample=64", "--set", "benchmark.validation=64"),
    *("--set", "fit.epochs=3", "--set", "data.samples=128"),
]
"""A whole search with its final training, in seconds: 4 + 2 + 2 trials."""

TINY_FUSION_SEARCH = [
    *("--set", "benchmark.backbones.audio.family=lenet_image"),
    *("--set", "benchmark.backbones.audio.params.modality=audio"),
    *("--set", "benchmark.pretrain.epochs=2", "--set", "benchmark.final_width=8"),
    *("--set", "levels=2", "--set", "sweeps=1", "--set", "samples=4", "--set", "control=false"),
    *("--set", "finalists=2", "--set", "final_repeats=2"),
    *("--set", "fit.epochs=3", "--set", "fit.fusion_epochs=2", "--set", "data.samples=128"),
]
"""The same for a search over backbone taps: two pretrainings, 18 + 4 trainings, then the finalists."""

TOY_M2 = [
    *("--set", "encoders.image.patch=4", "--set", "encoders.audio.patch=4"),
    *("--set", "data.samples=128"),
]
"""An M2-Mixer for pictures of 8 x 8 pixels."""


def environment(home: Path) -> dict[str, str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith("MMFUSE_")}
    return keep | {"MMFUSE_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "100"}


def shown(finished: subprocess.CompletedProcess[str]) -> Any:
    """What a command printed with ``--json``."""
    return json.loads(finished.stdout)
