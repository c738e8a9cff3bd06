"""Published arrays: which column is what, the tables, and mistakes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.errors import BadSpec, UnknownName
from mmfuse.models.mfas_arrays import (
    CONVENTIONS,
    FOUND,
    export_array,
    export_arrays,
    found,
    import_array,
    parse_array,
    read_array,
)

TASK_ORDER = ("image", "audio")


def test_the_fork_of_avmnist_writes_audio_first() -> None:
    assert import_array([[4, 2, 1]], convention="avmnist", modalities=TASK_ORDER) == ((2, 4, 1),)
    assert import_array([[2, 4, 1]], convention="multibench", modalities=TASK_ORDER) == ((2, 4, 1),)


@given(
    array=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 2)).map(list), min_size=1, max_size=4)
)
def test_writing_and_reading_an_array_gives_it_back(array: list[list[int]]) -> None:
    chain = import_array(array, convention="avmnist", modalities=TASK_ORDER)

    assert export_array(chain, convention="avmnist", modalities=TASK_ORDER) == array


def test_every_published_array_fits_its_space() -> None:
    most = {"avmnist": {"audio": 5, "image": 3}, "ntu": {"skeleton": 4, "video": 4}}

    for published in FOUND.values():
        limits = [*(most[published.convention][name] for name in CONVENTIONS[published.convention]), 2]
        assert all(value < limit for row in published.array for value, limit in zip(row, limits, strict=True))


def test_the_best_published_avmnist_network_comes_in_the_order_asked_for() -> None:
    assert found("avmnist-4", modalities=TASK_ORDER) == ((2, 2, 0), (1, 3, 1), (2, 0, 0), (2, 2, 0))
    assert found("ntu-1", modalities=("skeleton", "video"))[0] == (3, 0, 0)


@pytest.mark.parametrize(
    "array", [[], [[1, 2]], [[1, 2, 3]], [[-1, 0, 0]], [[1, 2.5, 0]], [[1, True, 0]], [[1, 2, 0], [1, 2]]]
)
def test_an_array_that_is_none_is_refused(array: list[list[int]]) -> None:
    with pytest.raises(BadSpec):
        import_array(array, convention="avmnist", modalities=TASK_ORDER)


def test_text_is_read_as_an_array_or_refused() -> None:
    assert parse_array("[[3,0,0],[1,3,0]]") == [[3, 0, 0], [1, 3, 0]]
    for text in ("3,0,0", "[3,0,0]", '{"a": 1}'):
        with pytest.raises(BadSpec, match="not an array of rows"):
            parse_array(text)


def test_unknown_names_and_other_modalities_are_told() -> None:
    with pytest.raises(UnknownName, match="mulitbench"):
        import_array([[0, 0, 0]], convention="mulitbench", modalities=TASK_ORDER)
    with pytest.raises(BadSpec, match="skeleton and video"):
        found("ntu-4", modalities=TASK_ORDER)
    with pytest.raises(UnknownName, match="ntu-9"):
        found("ntu-9", modalities=TASK_ORDER)


def test_an_array_is_read_in_the_order_of_the_task_unless_a_convention_is_named() -> None:
    assert read_array("[[2,4,1]]", convention=None, modalities=TASK_ORDER) == ((2, 4, 1),)
    assert read_array("[[2,4,1]]", convention="task", modalities=TASK_ORDER) == ((2, 4, 1),)
    assert read_array("[[4,2,1]]", convention="avmnist", modalities=TASK_ORDER) == ((2, 4, 1),)
    assert read_array("[[0,1,2,0]]", convention="task", modalities=("a", "b", "c")) == ((0, 1, 2, 0),)


def test_a_published_array_is_read_by_name_in_its_own_convention() -> None:
    assert read_array("avmnist-1", convention=None, modalities=TASK_ORDER) == ((2, 3, 0),)
    assert read_array("avmnist-1", convention="avmnist", modalities=TASK_ORDER) == ((2, 3, 0),)
    with pytest.raises(BadSpec, match="published with the columns of avmnist, not of task"):
        read_array("avmnist-1", convention="task", modalities=TASK_ORDER)


def test_a_network_is_written_in_every_convention_that_fuses_its_modalities() -> None:
    assert export_arrays(((2, 4, 1),), modalities=TASK_ORDER) == {
        "task": [[2, 4, 1]],
        "avmnist": [[4, 2, 1]],
        "multibench": [[2, 4, 1]],
    }
    assert export_arrays(((3, 0, 0),), modalities=("skeleton", "video")) == {"task": [[3, 0, 0]], "ntu": [[3, 0, 0]]}
    assert export_arrays(((3, 0, 0),), modalities=("image", "text")) == {"task": [[3, 0, 0]]}
