"""Readers give the same batches wherever the latents lie, in orders that depend on nothing but the seed."""

import latent_world as world
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse.data import latent_readers
from mmfuse.data.latent_readers import BLOCK_PAIRS, Mode, choose_mode, open_reader
from mmfuse.latents import LatentBatch, LatentPairs

CPU = torch.device("cpu")
MODES: tuple[Mode, ...] = ("resident", "host", "stream")


def _pairs(count: int = 1000, *, stored: torch.dtype = torch.float16) -> LatentPairs:
    image = torch.from_numpy(world.vectors(range((count + 1) // 2), 6))
    text = torch.from_numpy(world.vectors(range(count), 4))
    pairs = torch.stack([torch.arange(count) // 2, torch.arange(count)], dim=1).int()
    latents, scales = {"image": image.to(torch.float16), "text": text.to(torch.float16)}, {}
    if stored is torch.int8:
        scales = {name: torch.full((len(values),), 1 / 127) for name, values in latents.items()}
        latents = {name: (values.float() * 127).round().to(torch.int8) for name, values in latents.items()}
    return LatentPairs(("image", "text"), latents, pairs, "f" * 16, "world", scales=scales)


def _batches(pairs: LatentPairs, mode: Mode, order: torch.Tensor, size: int) -> list[LatentBatch]:
    return list(open_reader(pairs, device=CPU, mode=mode).read(order, size=size))


@pytest.mark.parametrize("stored", [torch.float16, torch.int8])
@pytest.mark.parametrize("mode", MODES)
def test_a_batch_holds_the_latents_of_its_pairs(mode: Mode, stored: torch.dtype) -> None:
    pairs = _pairs(stored=stored)

    for batch in _batches(pairs, mode, torch.randperm(1000), size=300):
        wanted = pairs.batch(batch.index).inputs
        assert all(batch.latents[name].float().equal(wanted[name]) for name in pairs.names)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 700), size=st.integers(1, 800), seed=st.integers(0, 2**31))
def test_given_the_same_order_all_readers_give_the_same_batches(count: int, size: int, seed: int) -> None:
    pairs = _pairs(count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))

    resident, host, stream = (_batches(pairs, mode, order, size) for mode in MODES)

    assert [batch.index.tolist() for batch in resident] == [part.tolist() for part in order.split(size)]
    for one, other, third in zip(resident, host, stream, strict=True):
        assert one.index.equal(other.index) and one.index.equal(third.index)
        for name in pairs.names:
            assert one.latents[name].equal(other.latents[name]) and one.latents[name].equal(third.latents[name])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 255, 256, 20_000])
def test_an_order_visits_every_pair_once_and_follows_from_its_seed(mode: Mode, count: int) -> None:
    reader = open_reader(_pairs(max(count, 2)), device=CPU, mode=mode)

    order = reader.order(7)

    assert order.sort().values.equal(torch.arange(max(count, 2)))
    assert order.equal(reader.order(7))
    assert count < 200 or not order.equal(reader.order(8))


def test_a_stream_reads_neighbours_together_yet_not_in_their_order() -> None:
    order = open_reader(_pairs(160 * BLOCK_PAIRS), device=CPU, mode="stream").order(0)

    first = order[: 64 * BLOCK_PAIRS]
    blocks = (first // BLOCK_PAIRS).unique()
    assert len(blocks) == 64
    assert (first[1:] - first[:-1]).abs().float().median() > 2000


def test_reading_goes_on_where_it_was_interrupted() -> None:
    pairs = _pairs(2000)
    reader = open_reader(pairs, device=CPU, mode="stream")
    order = reader.order(3)

    rest = [batch.index for batch in reader.read(order[600:], size=200)]

    assert [index.tolist() for index in rest] == [
        batch.index.tolist() for batch in _batches(pairs, "stream", order, 200)
    ][3:]


def test_each_item_is_read_once_per_piece() -> None:
    pairs, asked = _pairs(2000), []

    class Counting(LatentPairs):
        def items(self, name: str, rows: torch.Tensor) -> torch.Tensor:
            asked.append((name, len(rows), bool((rows[1:] > rows[:-1]).all())))
            return super().items(name, rows)

    counting = Counting(**vars(pairs))
    list(open_reader(counting, device=CPU, mode="stream").read(torch.arange(2000), size=500))

    assert asked == [("image", 1000, True), ("text", 2000, True)]


def test_latents_are_resident_where_they_fit_and_streamed_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = _pairs()
    assert choose_mode(pairs, device=CPU).mode == "resident"

    monkeypatch.setattr(latent_readers, "available_memory", lambda: pairs.nbytes)
    choice = choose_mode(pairs, device=CPU)

    assert choice.mode == "stream"
    assert choice.sentence.startswith("stream: latents need 0.0 MiB, free are ")
    assert open_reader(pairs, device=CPU).mode == "stream"


def test_a_gpu_too_small_takes_batches_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = _pairs()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (pairs.nbytes, 2 * pairs.nbytes))

    assert choose_mode(pairs, device=torch.device("cuda:0")).mode == "host"


def test_a_reader_that_is_left_early_ends_its_thread() -> None:
    reading = open_reader(_pairs(2000), device=CPU, mode="host").read(torch.arange(2000), size=10)

    next(reading)
    reading.close()  # type: ignore[attr-defined]

    import threading

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("latents")]
