"""The four examples of docs/extending.md in one search. Run by test_extending.py, where the examples are installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mmfuse.registry import DATASETS, SEARCHES
from mmfuse.report import NullReporter, TrialRecord
from mmfuse.search.drive import Outcome, drive
from mmfuse.training.microbench import MicroBenchmark


def _search(folder: Path, *, finished: tuple[TrialRecord, ...] = ()) -> Outcome:
    """Mutation over shift blocks on the rings: 2 lists of 2 candidates, one epoch each."""
    rings, mutation = DATASETS.get("rings"), SEARCHES.get("mutation")
    splits = rings.load(folder, rings.Options())
    space = {"blocks": ["shift"], "networks": ["shift", "mlp"]}
    options = mutation.Options(rounds=2, width=2, space=space, benchmark={"epochs": 1, "sample": 64})
    evaluator = MicroBenchmark(
        splits,
        options.benchmark,
        seed=1,
        device=torch.device("cpu"),
        folder=folder / "trials",
        reporter=NullReporter(),
        should_stop=lambda: False,
    )
    return drive(
        mutation.search(splits.task, options, np.random.default_rng(1)),
        evaluator=evaluator,
        reporter=NullReporter(),
        seed_of=lambda number: number,
        finished={record.number: record for record in finished},
    )


def test_the_examples_work_together_and_a_resumed_search_ends_alike(tmp_path: Path) -> None:
    whole = _search(tmp_path)

    resumed = _search(tmp_path, finished=whole.trials[:3])

    assert [record.status for record in whole.trials] == ["done"] * 4
    assert whole.architecture.params["encoders"]["left"]["block"] == "shift"
    assert resumed.architecture == whole.architecture
    assert [(r.architecture, r.score) for r in resumed.trials] == [(r.architecture, r.score) for r in whole.trials]
