from itertools import chain

import torch
from hypothesis import given
from hypothesis import strategies as st
from small_world import small_split

from mmfuse.training.resident import ResidentLoader, epoch_batches, ordered_batches, steps_per_epoch


def _ids(batches):
    return [batch.ids.tolist() for batch in batches]


@given(st.integers(1, 60), st.integers(1, 20))
def test_an_epoch_has_the_planned_number_of_batches_and_every_sample(samples, batch_size):
    batches = _ids(epoch_batches(small_split(samples, 0), batch_size=batch_size, seed=3, epoch=1))

    assert len(batches) == steps_per_epoch(samples, batch_size=batch_size)
    assert sorted(chain(*batches)) == list(range(samples))


@given(st.integers(0, 7))
def test_starting_inside_an_epoch_gives_its_remaining_batches(start):
    split = small_split(50, 0)

    rest = _ids(epoch_batches(split, batch_size=8, seed=3, epoch=4, start=start))

    assert rest == _ids(epoch_batches(split, batch_size=8, seed=3, epoch=4))[start:]


def test_the_loader_gives_the_rest_of_the_epoch_in_which_training_stands():
    split = small_split(50, 0)
    position = (4, 5)
    loader = ResidentLoader(split, batch_size=8, seed=3, position=lambda: position)
    unused = iter(loader)

    first = _ids(loader)
    position = (5, 0)
    second = _ids(unused)

    assert first == _ids(epoch_batches(split, batch_size=8, seed=3, epoch=4))[5:]
    assert second == _ids(epoch_batches(split, batch_size=8, seed=3, epoch=5))
    assert len(loader) == 7


@given(st.integers(1, 60), st.integers(2, 5))
def test_ranks_share_an_epoch_in_equally_many_batches(samples, ranks):
    split = small_split(samples, 0)

    shares = [
        _ids(epoch_batches(split, batch_size=4, seed=3, epoch=0, rank=rank, ranks=ranks)) for rank in range(ranks)
    ]

    assert {len(share) for share in shares} == {steps_per_epoch(samples, batch_size=4, ranks=ranks)}
    assert set(chain(*chain(*shares))) == set(range(samples))


def test_ordered_batches_follow_the_stored_order():
    batches = list(ordered_batches(small_split(20, 0), batch_size=8))

    assert torch.cat([batch.ids for batch in batches]).tolist() == list(range(20))
    assert [len(batch) for batch in batches] == [8, 8, 4]
