"""Every benchmark runs, at a small size; speed itself is measured by `make bench` and never asserted here."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

BENCHMARKS = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_it_measures_both_sides(name: str) -> None:
    threads = torch.get_num_threads()
    try:
        ratios = list(importlib.import_module(name).measure(quick=True))
    finally:
        torch.set_num_threads(threads)

    assert ratios
    assert all(ratio.ours > 0 and ratio.theirs > 0 for ratio in ratios)
