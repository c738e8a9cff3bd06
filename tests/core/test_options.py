"""Option models: assignments, merging, and every mistake at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from mmfuse.errors import BadSpec
from mmfuse.options import Options, merge, parse_assignments, parse_options, parse_together


class Inner(Options):
    dim: int = 3
    """Width."""


class Outer(Options):
    epochs: int = 1
    """Passes."""
    inner: Inner = Inner()
    """Nested."""


def test_values_are_json_and_otherwise_plain_text() -> None:
    given_values = parse_assignments(["a=1", "b=3e-4", "c=no", 'd=["x"]', "e=null", "f.g=true", "f.h=x=y"])

    assert given_values == {"a": 1, "b": 3e-4, "c": "no", "d": ["x"], "e": None, "f": {"g": True, "h": "x=y"}}


@pytest.mark.parametrize("assignment", ["epochs", "=3", "a..b=3", ""])
def test_a_malformed_assignment_is_refused_with_an_example(assignment: str) -> None:
    with pytest.raises(BadSpec) as caught:
        parse_assignments([assignment])

    assert assignment in caught.value.message
    assert "--set" in caught.value.hint


def test_all_mistakes_are_told_at_once_with_the_nearest_known_key() -> None:
    with pytest.raises(BadSpec) as caught:
        parse_options(Outer, {"epoch": 3, "epochs": "many", "inner": {"dmi": 1}}, what="toy")

    assert "unknown option 'epoch'" in caught.value.message
    assert "'epochs'" in caught.value.message
    assert "'many'" in caught.value.message
    assert "unknown option 'inner.dmi'" in caught.value.message
    assert "did you mean 'epochs'?" in caught.value.hint
    assert "did you mean 'dim'?" in caught.value.hint


class Choosy(Options):
    sample: int | float | Literal["all"] = "all"
    """A number or everything."""
    switch: bool = False
    """On or off."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """At most so many."""
    inner: Inner = Inner()
    """Nested."""
    anything: dict[str, Any] = {}
    """Whatever."""


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"sample": "some"}, "'sample': input should be a whole number or a number or 'all', got 'some'"),
        ({"limit": 0}, "'limit': input should be greater than 0, got 0"),
        ({"limit": True}, "'limit': input should not be a switch"),
        ({"sample": False}, "'sample': input should not be a switch"),
        ({"inner": {"dim": True}}, "'inner.dim': input should not be a switch"),
    ],
)
def test_a_wrong_value_gets_one_sentence_however_many_kinds_it_may_be_of(values: dict, sentence: str) -> None:
    with pytest.raises(BadSpec) as caught:
        parse_options(Choosy, values, what="toy")

    assert caught.value.message == f"toy: {sentence}"


def test_switches_stay_switches_and_open_fields_take_them_too() -> None:
    chosen = parse_options(Choosy, {"switch": True, "anything": {"deep": True}}, what="toy")

    assert (chosen.switch, chosen.anything) == (True, {"deep": True})


def test_a_key_whose_group_was_forgotten_is_found_there() -> None:
    with pytest.raises(BadSpec) as caught:
        parse_options(Outer, {"dim": 3}, what="toy", beside=["data.dim", "data.rows"])

    assert "did you mean 'inner.dim' or 'data.dim'?" in caught.value.hint


def test_the_mistakes_of_several_parts_are_told_at_once() -> None:
    with pytest.raises(BadSpec) as caught:
        parse_together((Outer, {"epoch": 3}, "search toy"), (Inner, {}, "fit"), (Inner, {"dim": "x"}, "data"))

    assert "search toy: unknown option 'epoch'; data: 'dim'" in caught.value.message


nested = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(st.sampled_from("abc"), nested), st.dictionaries(st.sampled_from("abc"), nested))
def test_merging_keeps_what_was_not_overridden_and_changes_neither_side(base: dict, overrides: dict) -> None:
    before = repr((base, overrides))

    merged = merge(base, overrides)

    assert repr((base, overrides)) == before
    assert merge(merged, overrides) == merged
    assert set(merged) == set(base) | set(overrides)


def test_a_dictionary_of_another_block_replaces_the_one_below() -> None:
    base = {"network": {"block": "mlp", "depth": 2, "token_hidden": 8}}

    assert merge(base, {"network": {"depth": 3}})["network"] == {"block": "mlp", "depth": 3, "token_hidden": 8}
    assert merge(base, {"network": {"block": "hyper", "depth": 3}})["network"] == {"block": "hyper", "depth": 3}
