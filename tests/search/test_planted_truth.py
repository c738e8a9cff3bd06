"""A task on which one block is better by construction, searched for real: it must be found, whatever the seed.

The toy's rule "turn" puts two marks into neighbouring corners, and the answer is their order. An MLP-Mixer has a weight
for each pair of corners and reads it off; a HyperMixer of one block, which makes its mixing weights from what the
corners hold, stays near chance in the same number of steps.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmfuse.data import toy
from mmfuse.report import NullReporter
from mmfuse.search import mixmas
from mmfuse.search.drive import drive
from mmfuse.training.microbench import MicroBenchmark
from mmfuse.training.seeding import derive_seed

SIZE = {"depth": 1, "dim": 32, "patch": 4, "token_hidden": 16, "channel_hidden": 64}
ENCODERS = [{"block": "hyper", **SIZE}, {"block": "mlp", **SIZE}]


@pytest.mark.parametrize("seed", range(10))
def test_the_planted_block_is_found(tmp_path: Path, seed: int) -> None:
    splits = toy.load(tmp_path, toy.Options(rule="turn", noise=0.1, seed=seed))
    options = mixmas.Options(
        space={
            "encoders": {"image": ENCODERS, "audio": ENCODERS},
            "functions": ["concat"],
            "networks": ["mlp"],
            "network_params": {"mlp": {"depth": 1, "channel_hidden": 32}},
        },
        benchmark={"sample": "all", "validation": 128, "epochs": 8, "batch_size": 32, "learning_rate": 3e-3},
    )
    evaluator = MicroBenchmark(
        splits,
        options.benchmark,
        seed=seed,
        device=torch.device("cpu"),
        folder=tmp_path,
        reporter=NullReporter(),
        should_stop=lambda: False,
        workers=2,
    )

    outcome = drive(
        mixmas.search(splits.task, options, rng=None),
        evaluator=evaluator,
        reporter=NullReporter(),
        seed_of=lambda number: derive_seed(seed, "trial", number),
    )

    encoders = outcome.architecture.params["encoders"]
    assert {modality: encoder["block"] for modality, encoder in encoders.items()} == {"image": "mlp", "audio": "mlp"}
