"""What a search says it will cost is what the candidates it asks for cost together."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.options import parse_options
from mmfuse.registry import DATASETS, SEARCHES


@pytest.mark.parametrize("dataset", ["avmnist", "toy_sequence"])
@given(repeats=st.integers(1, 3), beam=st.integers(1, 3), seed=st.integers(0, 99))
def test_mixmas_plans_the_work_that_it_asks_for(dataset, repeats, beam, seed):
    search, task = SEARCHES.get("mixmas"), DATASETS.declaration(dataset).TASK
    options = parse_options(search.Options, {"repeats": repeats, "beam": beam}, what="mixmas")
    rng = random.Random(seed)
    asking = search.search(task, options, np.random.default_rng(0))

    asked = []
    candidates = next(asking)
    while candidates:
        asked += candidates
        try:
            candidates = asking.send([rng.random() for _ in candidates])
        except StopIteration:
            candidates = []

    assert len(asked) == search.expected_trials(task, options)
    assert sum(map(search.work, asked)) == search.expected_work(task, options)
