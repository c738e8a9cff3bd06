"""What every mixer block promises, whatever is inside. A new file under models/blocks is tested by being there."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfuse.models.block_choice import encoder_problem, network_problem
from mmfuse.models.shapes import TokenShape
from mmfuse.registry import BLOCKS
from mmfuse.task import Modality

SHAPES: dict[str, tuple[int, ...]] = {"grid": (2, 28, 28), "sequence": (6, 10), "vector": (5,)}

# Sizes that are quick to run; a block without an entry is tested with its defaults.
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"dim": 12, "patch": 7, "depth": 2, "token_hidden": 5, "channel_hidden": 24},
    "hyper": {"dim": 12, "patch": 7, "depth": 2, "token_hidden": 6, "channel_hidden": 24, "heads": 2},
    "monarch": {"dim": 12, "patch": 7, "depth": 2},
    "perceptron": {"dim": 12, "hidden": 9},
    "pnlp": {"dim": 12, "depth": 2, "hidden": 7},
    "ramlp": {
        "dims": (8, 12, 16),
        "depths": (1, 2, 1),
        "mlp_ratios": (2, 2, 2),
        "expansions": (2, 1, 2),
        "regions": (7, 2, 2),
        "groups": (1, 4, 2),
    },
    "strip": {"dim": 8, "patch": 1, "depths": (1, 1, 1, 1)},
    "wave": {"dims": (8, 12), "depths": (1, 2), "mlp_ratios": (2, 2)},
}


def _params(name: str, **changes: Any) -> Any:
    return BLOCKS.get(name).Params(**SMALL.get(name, {}) | changes)


def _variants(name: str) -> list[dict[str, str]]:
    has_variants = "variant" in BLOCKS.declaration(name).Params.model_fields
    return [{"variant": variant} for variant in ("paper", "reference")] if has_variants else [{}]


def _possible(name: str, kind: str, changes: dict[str, str]) -> bool:
    """Whether the small block takes the example shape (reference HyperMixer ties heads to the number of tokens)."""
    return BLOCKS.declaration(name).check(_params(name, **changes), SHAPES[kind]) is None


ENCODERS = [
    pytest.param(name, kind, changes, id="-".join([name, kind, *changes.values()]))
    for name in BLOCKS.names()
    for kind in sorted(BLOCKS.declaration(name).ACCEPTS)
    for changes in _variants(name)
    if _possible(name, kind, changes)
]
NETWORKS = [name for name in BLOCKS.names() if hasattr(BLOCKS.declaration(name), "check_network")]


def _encoder(name: str, kind: str, changes: dict[str, str], *, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return BLOCKS.get(name).build(_params(name, **changes), shape=SHAPES[kind])


def _samples(kind: str, count: int) -> torch.Tensor:
    return torch.randn(count, *SHAPES[kind], generator=torch.Generator().manual_seed(7))


def test_every_block_is_tested_on_every_kind_it_accepts() -> None:
    tested = {(case.values[0], case.values[1]) for case in ENCODERS}

    assert tested == {(name, kind) for name in BLOCKS.names() for kind in BLOCKS.declaration(name).ACCEPTS}


@pytest.mark.parametrize(("name", "kind", "changes"), ENCODERS)
def test_an_encoder_makes_the_tokens_it_declares(name: str, kind: str, changes: dict[str, str]) -> None:
    encoder = _encoder(name, kind, changes)

    tokens = encoder(_samples(kind, 3))

    declared = BLOCKS.declaration(name).token_shape(_params(name, **changes), SHAPES[kind])
    assert tuple(tokens.shape) == (3, *declared) == (3, encoder.tokens, encoder.dim)


@pytest.mark.parametrize(("name", "kind", "changes"), ENCODERS)
def test_gradient_reaches_every_parameter_of_an_encoder(name: str, kind: str, changes: dict[str, str]) -> None:
    # Evaluation mode: a bias right before a batch norm has no gradient in training, by design of the norm.
    encoder = _encoder(name, kind, changes).eval()
    tokens = encoder(_samples(kind, 4))

    (tokens * torch.randn_like(tokens)).sum().backward()

    idle = [key for key, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


@pytest.mark.parametrize(("name", "kind", "changes"), ENCODERS)
def test_a_sample_is_encoded_alike_alone_and_among_others(name: str, kind: str, changes: dict[str, str]) -> None:
    encoder = _encoder(name, kind, changes).eval()
    samples = _samples(kind, 3)

    together, again, alone = encoder(samples), encoder(samples), encoder(samples[1:2])

    assert torch.equal(together, again)
    torch.testing.assert_close(alone, together[1:2], rtol=1e-4, atol=1e-4 * float(together.detach().abs().max()))


@pytest.mark.parametrize(("name", "kind", "changes"), ENCODERS)
def test_a_batch_of_one_can_be_trained_on(name: str, kind: str, changes: dict[str, str]) -> None:
    tokens = _encoder(name, kind, changes)(_samples(kind, 1))

    tokens.sum().backward()

    assert bool(tokens.isfinite().all())


@pytest.mark.parametrize(("name", "kind", "changes"), ENCODERS)
def test_weights_move_through_a_state_dict(name: str, kind: str, changes: dict[str, str]) -> None:
    first, second = _encoder(name, kind, changes, seed=1).eval(), _encoder(name, kind, changes, seed=2).eval()

    second.load_state_dict(first.state_dict())

    assert {key for key, _ in first.named_parameters()} <= set(first.state_dict())
    assert torch.equal(first(_samples(kind, 2)), second(_samples(kind, 2)))


@pytest.mark.parametrize(("name", "kind", "changes"), ENCODERS)
def test_the_same_seed_builds_the_same_encoder(name: str, kind: str, changes: dict[str, str]) -> None:
    first, second = _encoder(name, kind, changes, seed=3).eval(), _encoder(name, kind, changes, seed=3).eval()

    assert torch.equal(first(_samples(kind, 2)), second(_samples(kind, 2)))


@pytest.mark.parametrize(("name", "kind", "changes"), ENCODERS)
def test_an_untrained_encoder_keeps_a_sane_scale(name: str, kind: str, changes: dict[str, str]) -> None:
    tokens = _encoder(name, kind, changes)(_samples(kind, 16))

    assert 0.01 < float(tokens.detach().std()) < 10


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("tokens", "dim"), [(4, 16), (8, 12), (1, 4), (5, 32)])
def test_a_fusion_network_keeps_the_shape_and_trains_every_parameter(name: str, tokens: int, dim: int) -> None:
    params = _params(name)
    assert network_problem(name, params, TokenShape(tokens, dim)) is None
    network = BLOCKS.get(name).network(params, tokens=tokens, dim=dim)
    x = torch.randn(3, tokens, dim)

    y = network(x)
    (y * torch.randn_like(y)).sum().backward()

    assert y.shape == x.shape
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters())


# Values that make shapes and settings collide now and then.
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "patch": st.integers(1, 5),
    "dim": st.sampled_from([8, 16, 24, None]),
    "heads": st.integers(1, 4),
    "token_hidden": st.integers(1, 8),
    "window": st.integers(0, 3),
    "regions": st.tuples(*[st.integers(1, 4)] * 3),
    "groups": st.tuples(*[st.integers(1, 4)] * 3),
    "variant": st.sampled_from(["paper", "reference"]),
}
ANY_SHAPE: dict[str, st.SearchStrategy[tuple[int, ...]]] = {
    "grid": st.one_of(
        st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
        st.integers(1, 40).map(lambda side: (1, side, side)),
    ),
    "sequence": st.tuples(st.integers(1, 9), st.integers(1, 9)),
    "vector": st.tuples(st.integers(1, 9)),
}


def _accepts(params: type[Any], field: str, value: Any) -> bool:
    """Whether the option model itself takes the value."""
    try:
        params.model_validate({field: value})
    except ValueError:
        return False
    return True


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", BLOCKS.names())
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_an_encoder_can_be_built_exactly_when_its_check_has_nothing_to_say(name: str, data: st.DataObject) -> None:
    block = BLOCKS.get(name)
    drawn = {
        field: data.draw(values, label=field) for field, values in FIELDS.items() if field in block.Params.model_fields
    }
    params = _params(name, **{field: value for field, value in drawn.items() if _accepts(block.Params, field, value)})
    shape = data.draw(st.one_of([ANY_SHAPE[kind] for kind in sorted(block.ACCEPTS)]), label="shape")

    problem = block.check(params, shape)

    try:
        tokens = block.build(params, shape=shape).eval()(torch.randn(2, *shape))
    except Exception as error:
        assert problem, f"check let {params} pass on {shape}: {error}"
    else:
        assert problem is None
        assert tuple(tokens.shape[1:]) == tuple(block.token_shape(params, shape))


@pytest.mark.parametrize("name", BLOCKS.names())
def test_a_kind_of_modality_that_a_block_cannot_take_is_refused_by_name(name: str) -> None:
    for kind in sorted(set(SHAPES) - BLOCKS.declaration(name).ACCEPTS):
        problem = encoder_problem(name, _params(name), Modality("thing", kind, SHAPES[kind]))  # type: ignore[arg-type]

        assert f"thing is a {kind}" in str(problem)


def _alternatives(field: str, value: Any, params: type[Any]) -> list[Any]:
    """Other values of a field, the gentle ones first."""
    if value is None or isinstance(value, str):
        return list(getattr(params.model_fields[field].annotation, "__args__", ()))
    if isinstance(value, tuple):
        return [tuple(2 * v for v in value), *[(*value[:k], 1, *value[k + 1 :]) for k in range(len(value))]]
    return [0.5] if isinstance(value, float) else [2 * value, value + 1, 1]


def _behaviour(name: str, kind: str, params: Any) -> list[Any]:
    """Shapes of all parameters and the training output under a fixed seed."""
    torch.manual_seed(0)
    encoder = BLOCKS.get(name).build(params, shape=SHAPES[kind])
    return [[tuple(p.shape) for p in encoder.parameters()], encoder(_samples(kind, 16)).tolist()]


@pytest.mark.parametrize("name", BLOCKS.names())
def test_every_parameter_of_a_block_changes_what_is_built(name: str) -> None:
    block = BLOCKS.declaration(name)
    small = _params(name)
    for field in block.Params.model_fields:
        effects = [
            _behaviour(name, kind, changed) != _behaviour(name, kind, small)
            for kind in block.ACCEPTS
            for other in _alternatives(field, getattr(small, field), block.Params)
            if _accepts(block.Params, field, other) and other != getattr(small, field)
            for changed in [_params(name, **{field: other})]
            if block.check(changed, SHAPES[kind]) is None and block.check(small, SHAPES[kind]) is None
        ]
        assert any(effects), f"{field} of {name} changes nothing"


IMPOSSIBLE = [
    ("mlp", {"patch": 5}, (1, 28, 28), "5 does not divide a grid of 28 x 28"),
    ("mlp", {"dim": None}, (1, 28, 28), "a grid needs a number"),
    ("hyper", {"dim": 12, "heads": 5}, (6, 10), "5 heads do not divide 12"),
    ("hyper", {"variant": "reference", "heads": 2}, (5, 10), "2 heads do not divide 5"),
    ("monarch", {"patch": 3}, (1, 28, 28), "3 does not divide"),
    ("ramlp", {"regions": (7, 3, 2)}, (1, 28, 28), "region of 3 does not divide the map of stage 2, 4 x 4"),
    ("ramlp", {"groups": (1, 5, 2)}, (1, 28, 28), "groups of 5 do not divide the 12 mixed channels of stage 2"),
    ("ramlp", {"depths": (1, 1)}, (1, 28, 28), "dims has 3 values, depths has 2"),
    ("ramlp", {}, (1, 2, 28), "smaller than the stem needs"),
    ("strip", {}, (1, 28, 56), "square grids, not 28 x 56"),
    ("strip", {"patch": 4}, (1, 28, 28), "7 of 28 pixels"),
    ("wave", {"depths": (1,)}, (1, 28, 28), "dims has 2 values, depths has 1"),
    ("perceptron", {}, (6, 10), "a vector"),
    ("pnlp", {}, (5,), "a sequence"),
]


@pytest.mark.parametrize(("name", "changes", "shape", "sentence"), IMPOSSIBLE)
def test_an_impossible_choice_is_explained_with_its_numbers(
    name: str, changes: dict[str, Any], shape: tuple[int, ...], sentence: str
) -> None:
    problem = BLOCKS.declaration(name).check(_params(name, **changes), shape)

    assert sentence in problem


@pytest.mark.parametrize("size", ["small", "paper"])
@pytest.mark.parametrize("side", [28, 112, 224])
@pytest.mark.parametrize("name", [name for name in BLOCKS.names() if hasattr(BLOCKS.declaration(name), "sized")])
def test_a_blocks_own_sizes_for_a_search_fit_the_usual_images(name: str, side: int, size: str) -> None:
    block = BLOCKS.declaration(name)

    params = block.Params(**block.sized(size, (1, side, side)))

    assert block.check(params, (1, side, side)) is None


def test_declarations_are_read_and_checked_without_torch() -> None:
    script = (
        "import sys\n"
        "from mmfuse.registry import BLOCKS\n"
        "for name in BLOCKS.names():\n"
        "    block = BLOCKS.declaration(name)\n"
        "    params = block.Params()\n"
        "    [block.check(params, shape) for shape in ((1, 28, 28), (6, 10), (5,))]\n"
        "    assert BLOCKS.summary(name), name\n"
        "    assert all(field.description for field in block.Params.model_fields.values()), name\n"
        "print([name for name in ('torch', 'numpy', 'lightning') if name in sys.modules])\n"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (result.stdout.strip(), result.returncode) == ("[]", 0), result.stderr
