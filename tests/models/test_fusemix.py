"""FuseMix's model: its published size, and what every family promises."""

import pytest
import torch

from mmfuse.architecture import Architecture
from mmfuse.batch import Batch
from mmfuse.errors import BadSpec
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_macs, count_parameters
from mmfuse.task import Modality, Task


def task(**dims):
    return Task("x", "retrieval", tuple(Modality(name, "vector", (dim,)) for name, dim in dims.items()), 0, "r_mean")


SMALL_TASK = task(image=12, text=8, audio=6)
SMALL = {"embed": 5, "depth": {"image": 1, "text": 2, "audio": 0}, "expansion": 2, "dropout": 0.1, "tile": 3}


def small(seed=0, **changed):
    torch.manual_seed(seed)
    return build_model(Architecture("fusemix", SMALL | changed), SMALL_TASK)


def batch(count=7):
    generator = torch.Generator().manual_seed(2)
    inputs = {m.name: torch.randn(count, *m.shape, generator=generator) for m in SMALL_TASK.modalities}
    return Batch(inputs, torch.arange(count), torch.arange(count))


def test_the_published_size():
    with torch.device("meta"):
        model = build_model(Architecture("fusemix", {}), task(image=1536, text=1024))

    assert count_parameters(model) == 110_440_449
    assert count_parameters(model.adapters["image"]) == 76_330_496
    assert count_parameters(model.adapters["text"]) == 34_109_952
    assert next(name for name, _ in model.named_parameters()) == "temperature"


@pytest.mark.parametrize(("depth", "expansion", "bias"), [(0, 1, True), (1, 4, False), (3, 2, True)])
def test_sizes_follow_the_closed_form(depth, expansion, bias):
    params = {"depth": depth, "expansion": expansion, "head_bias": bias, "embed": 7}
    model = build_model(Architecture("fusemix", params), task(image=10, text=6))

    blocks = sum(depth * (2 * expansion * d * d + (expansion + 3) * d) for d in (10, 6))
    heads = sum(2 * d + 7 * d + 7 * bias for d in (10, 6))
    assert count_parameters(model) == blocks + heads + 1


def test_embeddings_have_length_1_whatever_the_precision():
    model = small()

    with torch.autocast("cpu", torch.bfloat16):
        made = model(batch())

    for values in made.values():
        assert values.dtype == torch.float32
        torch.testing.assert_close(values.norm(dim=1), torch.ones(7))


def test_a_block_is_a_residual_of_the_normed_latent():
    model = small(dropout=0.0)
    block = model.adapters["text"][0]
    x = torch.randn(3, 8)

    expected = x + block.narrow(torch.nn.functional.gelu(block.widen(block.norm(x))))

    torch.testing.assert_close(block(x), expected)


def test_gradient_reaches_every_parameter():
    model, given = small(), batch()

    model.loss(model(given), given)["total"].backward()

    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_the_loss_falls_in_a_few_steps():
    model, given, totals = small(), batch(), []
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)

    for _ in range(25):
        optimiser.zero_grad()
        total = model.loss(model(given), given)["total"]
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))

    assert min(totals[-3:]) < 0.8 * totals[0]


def test_a_saved_model_embeds_the_same_when_loaded():
    first, second, given = small(1).eval(), small(2).eval(), batch()

    second.load_state_dict(first.state_dict())

    assert all(first(given)[name].equal(second(given)[name]) for name in given.inputs)


def test_the_same_seed_builds_the_same_model():
    assert all(a.equal(b) for a, b in zip(small(4).parameters(), small(4).parameters(), strict=True))


def test_costs_can_be_counted():
    assert count_macs(small(), batch(3)) == count_macs(small(), batch(1)) > 0


def test_the_temperature_returns_into_its_range_and_keeps_its_gradient_there():
    model, given = small(), batch()
    with torch.no_grad():
        model.temperature.fill_(7.0)

    model.clamp_temperature()
    model.loss(model(given), given)["total"].backward()

    assert model.temperature.item() == 0.5
    assert model.temperature.grad.abs() > 0


def test_a_fixed_temperature_is_not_trained():
    assert not small(learn_temperature=False).temperature.requires_grad


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"depth": {"image": 2}}, "depth is given for image"),
        ({"anchor": "vision"}, "the anchor 'vision' is no modality"),
        ({"temperature": 0.9}, "lies outside"),
        ({"positives": "class", "share_per": "pair"}, "pairs of the same class"),
        ({"dropuot": 0.1}, "unknown option 'dropuot'"),
    ],
)
def test_what_cannot_work_is_one_sentence(params, sentence):
    with pytest.raises(BadSpec, match=sentence):
        build_model(Architecture("fusemix", params), SMALL_TASK)
