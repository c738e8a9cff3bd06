"""The MFAS family: the published cell to the letter, published sizes, and what is ours on purpose."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch.nn import functional as F

from mmfuse.architecture import Architecture
from mmfuse.batch import Batch, Split
from mmfuse.errors import BadSpec
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_parameters
from mmfuse.models.mfas import Mfas, Params, layout_of
from mmfuse.task import Modality, Task
from mmfuse.training.scoring import score

TASK = Task(
    "avmnist",
    "multiclass",
    (Modality("image", "grid", (1, 28, 28)), Modality("audio", "grid", (1, 112, 112))),
    10,
    "accuracy",
)
# Found by the published AV-MNIST search; columns audio, image, activation.
PUBLISHED = [
    [[3, 2, 1], [3, 2, 1], [2, 0, 1], [2, 2, 0]],
    [[3, 2, 0]],
    [[1, 1, 1], [2, 0, 0], [0, 2, 0], [2, 2, 0]],
    [[1, 1, 1], [0, 2, 0], [3, 2, 1], [2, 2, 0]],
    [[2, 2, 0], [3, 1, 1], [0, 2, 0], [2, 2, 0]],
]


def mfas(layers: list[list[int]], *, audio_first: bool = False, **params: Any) -> Mfas:
    torch.manual_seed(0)
    modalities = ["audio", "image"] if audio_first else ["image", "audio"]
    settled = {"modalities": modalities, "layers": layers} | params
    return cast(Mfas, build_model(Architecture("mfas", settled), TASK))


def batch(samples: int = 3) -> Batch:
    torch.manual_seed(1)
    inputs = {"image": torch.randn(samples, 1, 28, 28), "audio": torch.randn(samples, 1, 112, 112)}
    return Batch(inputs, torch.arange(samples) % 10, torch.arange(samples))


@pytest.mark.parametrize(
    ("width", "fusion", "whole"),
    [
        (16, (2_608, 592, 1_888, 2_224, 2_320), (18_360, 16_341, 17_640, 17_976, 18_072)),
        (256, (226_048, 9_472, 214_528, 219_904, 221_440), (244_200, 27_621, 232_680, 238_056, 239_592)),
    ],
)
def test_published_networks_have_the_published_sizes(
    width: int, fusion: tuple[int, ...], whole: tuple[int, ...]
) -> None:
    for layers, cells, everything in zip(PUBLISHED, fusion, whole, strict=True):
        model = mfas(layers, audio_first=True, width=width, alphas=True, multitask=True)

        assert count_parameters(model.chain.cells) == cells
        assert count_parameters(model.chain) == cells + 10 * (width + 1) + len(layers)
        assert count_parameters(model) == everything


@pytest.mark.parametrize(("width", "fusion", "central"), [(16, 12_736, 12_910), (256, 388_096, 390_670)])
def test_wide_backbones_give_the_published_sizes(width: int, fusion: int, central: int) -> None:
    wide = {name: {"family": f"lenet_{name}", "params": {"channels": 24}} for name in ("image", "audio")}

    model = mfas(PUBLISHED[4], audio_first=True, width=width, alphas=True, backbones=wide)

    assert (count_parameters(model.chain.cells), count_parameters(model.chain)) == (fusion, central)


def test_layer_inputs_have_the_published_widths() -> None:
    shapes = {
        0: [(16, 36), (16, 52), (16, 31), (16, 40)],
        2: [(16, 12), (16, 31), (16, 31), (16, 40)],
        4: [(16, 24), (16, 46), (16, 31), (16, 40)],
    }

    for number, wanted in shapes.items():
        model = mfas(PUBLISHED[number], audio_first=True)
        assert [tuple(cell.linear.weight.shape) for cell in model.chain.cells] == wanted


def test_batch_norm_adds_two_parameters_per_output_and_layer() -> None:
    plain, normed = mfas(PUBLISHED[0], audio_first=True), mfas(PUBLISHED[0], audio_first=True, batchnorm=True)

    assert count_parameters(normed.chain) - count_parameters(plain.chain) == 2 * 16 * 4


@pytest.mark.parametrize("alphas", [False, True])
def test_the_chain_computes_the_published_formula(alphas: bool) -> None:
    model = mfas([[2, 1, 0], [0, 4, 1], [1, 0, 2]], alphas=alphas).eval()
    chain, data = model.chain, batch()
    image, audio = (model.backbones[name].taps(data.inputs[name]) for name in ("image", "audio"))

    hidden = torch.zeros(3, 0)
    for number, (i, a, act) in enumerate([(2, 1, torch.relu), (0, 4, torch.sigmoid), (1, 0, F.leaky_relu)]):
        share = chain.alphas[number].sigmoid() if chain.alphas is not None else None
        left, right = (image[i], audio[a]) if share is None else (share * image[i], (1 - share) * audio[a])
        linear = chain.cells[number].linear
        hidden = act(torch.cat([left, right, hidden], dim=1) @ linear.weight.T + linear.bias)
    wanted = hidden @ chain.classifier.weight.T + chain.classifier.bias

    torch.testing.assert_close(model(data)["logits"], wanted)


def test_alphas_begin_near_one_half() -> None:
    torch.manual_seed(3)
    model = mfas([[0, 0, 0]] * 4, alphas=True)

    assert model.chain.alphas is not None
    assert bool((model.chain.alphas.sigmoid() - 0.5).abs().max() < 0.1)


def test_dropout_acts_after_every_layer_and_only_in_training() -> None:
    model, taps = mfas([[0, 0, 1]], width=400, dropout=0.5), torch.randn(5, layout_of(Params(), TASK).total)
    cell = model.chain.cells[0]

    inputs = torch.randn(50, cell.linear.in_features)

    assert float((cell.train()(inputs) == 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert not bool((cell.eval()(inputs) == 0).any())
    model.eval()
    assert torch.equal(model.chain(taps), model.chain(taps))


def test_backbones_end_at_the_last_tap_that_is_read() -> None:
    model = mfas([[0, 1, 0], [1, 0, 0]])

    assert [len(net.blocks) for net in model.backbones.values()] == [2, 2]
    assert model.layout.widths == ((3, 6), (3, 6))
    assert not any("head" in name for name, _ in model.named_parameters())


def test_standardised_taps_reach_the_chain_whatever_was_trimmed() -> None:
    params = {"layers": [[1, 0, 0]], "modalities": ["image", "audio"]}
    whole, trimmed = mfas(params["layers"], multitask=True).eval(), mfas(params["layers"]).eval()
    layout, data = layout_of(Params(**params), TASK), batch(6)
    mean, std = torch.randn(layout.total), torch.rand(layout.total) + 0.5
    weights = {name: net.state_dict() for name, net in mfas([[2, 4, 0]], multitask=True).backbones.items()}

    for model in (whole, trimmed):
        model.install(weights, mean=mean, std=std, of=layout)
    trimmed.chain.load_state_dict(whole.chain.state_dict())

    torch.testing.assert_close(trimmed(data)["logits"], whole(data)["logits"])
    image = trimmed.backbones["image"].taps(data.inputs["image"])[1]
    audio = trimmed.backbones["audio"].taps(data.inputs["audio"])[0]
    row = torch.zeros(6, layout.total)
    row[:, layout.columns(0, 1)] = (image - mean[layout.columns(0, 1)]) / std[layout.columns(0, 1)]
    row[:, layout.columns(1, 0)] = (audio - mean[layout.columns(1, 0)]) / std[layout.columns(1, 0)]
    torch.manual_seed(0)
    on_rows = mfas(params["layers"], multitask=True).eval()
    on_rows.chain.load_state_dict(whole.chain.state_dict())
    torch.testing.assert_close(on_rows.chain(row), whole(data)["logits"])


def test_multitask_adds_each_backbones_own_loss_and_predicts_by_the_fusion_alone() -> None:
    fused, ensemble = (mfas([[0, 0, 0]], multitask=True, prediction=name).eval() for name in ("fused", "ensemble"))
    data = batch()

    outputs, summed = fused(data), ensemble(data)
    losses = fused.loss(outputs, data)

    assert torch.equal(outputs["logits"], outputs["logits/fused"])
    parts = [outputs[f"logits/{name}"] for name in ("fused", "image", "audio")]
    torch.testing.assert_close(summed["logits"], parts[0] + parts[1] + parts[2])
    torch.testing.assert_close(losses["total"], sum(F.cross_entropy(part, data.target) for part in parts))
    torch.testing.assert_close(ensemble.loss(summed, data)["total"], losses["total"])
    torch.testing.assert_close(outputs["logits/ensemble"], summed["logits"])


def test_every_predictor_of_a_multitask_model_has_a_score_of_its_own() -> None:
    model, data = mfas([[0, 0, 0]], multitask=True, prediction="ensemble"), batch()
    split = Split(data.inputs, data.target, data.ids)

    metrics = score(model, split, TASK)

    outputs = model.eval()(data)
    expected = {
        name: float((outputs[f"logits/{name}"].argmax(1) == data.target).double().mean())
        for name in ("fused", "ensemble", "image", "audio")
    }
    assert {name: metrics[f"accuracy_{name}"] for name in expected} == expected
    assert metrics["accuracy"] == expected["ensemble"]
    assert [name for name in score(mfas([[0, 0, 0]]), split, TASK) if name.startswith("accuracy_")] == []


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"layers": [[3, 0, 0]]}, r"layer 0 is \[3, 0, 0\]"),
        ({"layers": [[0, 0, 0], [0, 5, 0]]}, r"layer 1 is \[0, 5, 0\]"),
        ({"layers": [[0, 0, 3]]}, "no choice of taps"),
        ({"layers": [[0, 0]]}, "no choice of taps"),
        ({"layers": [[-1, 0, 0]]}, "no choice of taps"),
        ({"layers": []}, "at least 1 item"),
        ({"layers": [[0, 0, 0]], "modalities": ["image", "image"]}, "cannot fuse image, image"),
        ({"layers": [[0, 0, 0]], "modalities": ["image", "text"]}, "cannot fuse image, text of avmnist"),
        ({"layers": [[0, 0]], "modalities": ["image"], "alphas": True}, "alphas balance two modalities, not 1"),
        ({"layers": [[0, 0, 0]], "prediction": "ensemble"}, "an ensemble needs heads"),
    ],
)
def test_an_impossible_network_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSpec, match=message):
        build_model(Architecture("mfas", params), TASK)


def test_one_modality_or_three_can_be_chained_too() -> None:
    shapes = {"image": (1, 28, 28), "audio": (1, 112, 112), "sketch": (1, 28, 28)}
    task = Task("three", "multiclass", tuple(Modality(n, "grid", s) for n, s in shapes.items()), 10, "accuracy")
    sketch = {"sketch": {"family": "lenet_image", "params": {"modality": "sketch"}}}
    params = {"modalities": [*shapes], "layers": [[0, 1, 2, 0], [2, 4, 0, 1]], "backbones": sketch}
    inputs = {name: torch.randn(2, *shape) for name, shape in shapes.items()}
    data = Batch(inputs, torch.zeros(2).long(), torch.arange(2))

    alone = mfas([[1, 0], [2, 1]], modalities=["image"])

    assert build_model(Architecture("mfas", params), task)(data)["logits"].shape == (2, 10)
    assert alone(data)["logits"].shape == (2, 10)
