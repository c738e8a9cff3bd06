"""Splits whose inputs stay where they are: cut by their row numbers, they behave like any other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse import batch
from mmfuse.batch import Scale, Split


def whole(samples: int = 12) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"video": torch.randint(0, 256, (samples, 2, 3), dtype=torch.uint8, generator=generator)}


def pair(rows: list[int]) -> tuple[Split, Split]:
    """The same samples, by their row numbers and cut."""
    places, scales = torch.tensor(rows), {"video": Scale(torch.tensor(100.0), torch.tensor(20.0))}
    mapped = Split(whole(), places % 3, places, scales, rows=places)
    return mapped, Split({"video": whole()["video"][places]}, places % 3, places, scales)


@settings(deadline=None)
@given(st.lists(st.integers(0, 11), min_size=2, max_size=12, unique=True), st.randoms(use_true_random=False))
def test_a_split_with_rows_gives_the_samples_of_one_that_was_cut(rows: list[int], random) -> None:  # type: ignore[no-untyped-def]
    mapped, cut = pair(rows)
    index = torch.tensor([random.randrange(len(rows)) for _ in range(5)])

    for one, other in (
        (mapped.batch(index), cut.batch(index)),
        (mapped.all(), cut.all()),
        (mapped.take(index).all(), cut.take(index).all()),
        (mapped.take(index).take(index[:1] * 0 + 2).all(), cut.take(index).take(index[:1] * 0 + 2).all()),
        (mapped.materialise().all(), cut.materialise().all()),
    ):
        assert torch.equal(one.inputs["video"], other.inputs["video"])
        assert torch.equal(one.target, other.target)
        assert torch.equal(one.ids, other.ids)


def test_taking_from_a_split_with_rows_copies_no_inputs() -> None:
    mapped, _ = pair([3, 5, 7])

    taken = mapped.take(torch.tensor([2, 0]))

    assert taken.inputs["video"] is mapped.inputs["video"]
    assert taken.rows is not None and taken.rows.tolist() == [7, 3]
    assert mapped.to("cpu").inputs["video"].data_ptr() == mapped.inputs["video"].data_ptr()


def test_rows_are_moved_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_MOVED_AT_ONCE", 2)
    mapped, cut = pair([7, 0, 3, 11, 5])

    assert torch.equal(mapped._moved(mapped.inputs["video"], "cpu"), cut.inputs["video"])


def test_another_device_gets_the_samples_of_the_split_only() -> None:
    mapped, _ = pair([3, 5, 7])

    moved = mapped.to("meta")

    assert moved.rows is None
    assert moved.inputs["video"].shape == (3, 2, 3)
    assert replace(mapped, rows=None).to("meta").inputs["video"].shape == (12, 2, 3)
