"""Gradients through chunks are those of one large backward pass."""

import pytest
import torch

from mmfuse.architecture import Architecture
from mmfuse.models.assemble import build_model
from mmfuse.models.contrastive import dense_groups
from mmfuse.task import Modality, Task
from mmfuse.training.gradient_cache import cached_backward

TASK = Task(
    "x", "retrieval", (Modality("image", "vector", (12,)), Modality("text", "vector", (9,))), outputs=0, metric="r_mean"
)


def _model():
    torch.manual_seed(0)
    model = build_model(Architecture("fusemix", {"embed": 6, "depth": 2, "dropout": 0.6, "tile": 5}), TASK).double()
    return model.train()


def _parts(model, chunk, count=23):
    generator = torch.Generator().manual_seed(1)
    latents = {m.name: torch.randn(count, *m.shape, generator=generator, dtype=torch.float64) for m in TASK.modalities}

    def part(start):
        torch.manual_seed(start)
        return model.embed({name: values[start : start + chunk] for name, values in latents.items()})

    return [lambda start=start: part(start) for start in range(0, count, chunk)]


@pytest.mark.parametrize("chunk", [1, 4, 10, 22])
@pytest.mark.parametrize("grouped", [False, True])
def test_cached_gradients_are_the_direct_ones_with_dropout_on(chunk, grouped):
    groups = dense_groups(torch.arange(23) % 5) if grouped else None
    cached, direct = _model(), _model()

    loss = cached_backward(_parts(cached, chunk), lambda made: cached.contrast(made, groups=groups))
    pieces = [part() for part in _parts(direct, chunk)]
    whole = direct.contrast({n: torch.cat([piece[n] for piece in pieces]) for n in ("image", "text")}, groups=groups)
    whole.backward()

    assert float(loss) == pytest.approx(float(whole.detach()), abs=1e-12)
    for (name, one), other in zip(cached.named_parameters(), direct.parameters(), strict=True):
        assert float((one.grad - other.grad).abs().max()) <= 1e-10, name


def test_dropout_is_really_on():
    model = _model()
    (part,) = _parts(model, 100)

    first = part()["image"]
    second = part()["image"]
    still = _parts(model.eval(), 100)[0]()["image"]

    assert first.equal(second), "a part draws the same numbers each time"
    assert not torch.allclose(first, still)


def test_a_single_part_takes_one_pass():
    model, calls = _model(), []
    (part,) = _parts(model, 100)

    def counted():
        calls.append(1)
        return part()

    cached_backward([counted], model.contrast)

    assert len(calls) == 1


def test_summing_gradients_of_small_batches_would_be_something_else():
    cached, summed = _model(), _model()

    cached_backward(_parts(cached, 6), cached.contrast)
    for part in _parts(summed, 6):
        (summed.contrast(part()) / 4).backward()

    gap = cached.adapters["image"][0].widen.weight.grad - summed.adapters["image"][0].widen.weight.grad
    assert float(gap.abs().max()) > 1e-4
