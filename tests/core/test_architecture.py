"""An architecture is data with a stable key."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.architecture import Architecture
from mmfuse.errors import BadSpec

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(min_size=1, max_size=8), st.dictionaries(st.text(max_size=4), values, max_size=4))
def test_it_survives_json_with_the_same_key(family: str, params: dict) -> None:
    architecture = Architecture(family, params)

    again = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))

    assert again == architecture
    assert again.key == architecture.key
    assert hash(again) == hash(architecture)


def test_the_key_is_the_same_in_every_process_and_version() -> None:
    # Keys stand in users' journals: changing how they are made would orphan them.
    assert Architecture("mixmas", {"b": [1, 2.5], "a": None}).key == "mixmas-b706ccf167"


def test_order_of_keys_and_stage_do_not_matter_but_values_do() -> None:
    first = Architecture("toy", {"a": 1, "b": 2}, stage="fusion")

    assert first == Architecture("toy", {"b": 2, "a": 1})
    assert first.key != Architecture("toy", {"a": 1, "b": 3}).key


@pytest.mark.parametrize("record", [{}, {"family": "x"}, {"params": {}}, {"family": "x", "params": 3}])
def test_something_else_is_refused(record: dict) -> None:
    with pytest.raises(BadSpec):
        Architecture.from_json(record)
