"""What every model family promises. A new file under models/ is tested by being there."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from mmfuse.architecture import Architecture
from mmfuse.batch import Batch
from mmfuse.errors import BadSpec, MmfuseError
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_macs, count_parameters
from mmfuse.registry import MODELS
from mmfuse.spec import SUPERVISED
from mmfuse.task import Modality, Task

# Shapes of AV-MNIST, so that a family's defaults fit too.
MODALITIES = (Modality("image", "grid", (1, 28, 28)), Modality("audio", "grid", (1, 112, 112)))
# Families that read other kinds of modalities are tested on those.
OTHERS = {
    "hcn": (Modality("skeleton", "skeleton", (3, 8, 25, 2)),),
    "inflated_resnet": (Modality("video", "video", (3, 4, 16, 16)),),
}
TASKS = {
    "multiclass": Task("made up", "multiclass", MODALITIES, 3, "accuracy"),
    "multilabel": Task("made up", "multilabel", MODALITIES, 4, "f1_weighted"),
    "regression": Task("made up", "regression", MODALITIES, 1, "mae", maximize=False),
}

_MLP = {"block": "mlp", "dim": 16, "depth": 1, "token_hidden": 8, "channel_hidden": 32, "dropout": 0.0}
# Sizes that are quick to run; a family without an entry is tested with its defaults.
SMALL: dict[str, dict[str, Any]] = {
    "mixmas": {
        "encoders": {"image": _MLP, "audio": {"block": "hyper", "dim": 12, "patch": 56, "channel_hidden": 24}},
        "network": {"block": "monarch", "depth": 1},
    },
    "m2_mixer": {
        "encoders": {"image": _MLP, "audio": _MLP | {"patch": 56}},
        "network": _MLP,
        "fusion": "gated",
    },
    "hcn": {"width": 16, "dropout": 0.0},
    "inflated_resnet": {"width": 4, "depths": [1, 2, 1, 1]},
    "maxout_text": {"modality": "image", "widths": [16, 32], "dropout": 0.0},
    "mfas": {"layers": [[2, 4, 0], [0, 1, 0]], "width": 64, "dropout": 0.0},
    "vgg": {"modality": "audio", "width": 4, "convolutions": [1, 1, 1, 2, 2]},
    "unimodal": {"modality": "image", "encoder": _MLP, "head_hidden": 16},
}
KINDS = {family: getattr(MODELS.declaration(family), "KINDS", SUPERVISED) for family in MODELS.names()}
FAMILIES = [family for family in MODELS.names() if "multiclass" in KINDS[family]]
"""Families that predict; tests/models holds those for retrieval to their promises."""
CASES = [(family, kind) for family in FAMILIES for kind in TASKS if kind in KINDS[family]]


def _model(family: str, kind: str, *, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return build_model(Architecture(family, SMALL.get(family, {})), _task(family, kind))


def _task(family: str, kind: str) -> Task:
    return replace(TASKS[kind], modalities=OTHERS.get(family, MODALITIES))


def _batch(family: str, kind: str, size: int) -> Batch:
    """Samples whose target can be seen in every modality."""
    generator = torch.Generator().manual_seed(5)
    classes = torch.arange(size) % 3
    inputs = {m.name: torch.randn(size, *m.shape, generator=generator) * 0.03 for m in OTHERS.get(family, MODALITIES)}
    for value in inputs.values():
        value += 0.1 * (classes - 1.0).reshape(-1, *[1] * (value.dim() - 1))
    labels = torch.stack([classes == 0, classes == 1, classes == 2, classes > 0], dim=1).long()
    target = {"multiclass": classes, "multilabel": labels, "regression": classes.float()}[kind]
    return Batch(inputs, target, torch.arange(size))


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_a_model_predicts_and_knows_its_loss(family: str, kind: str) -> None:
    model, batch = _model(family, kind), _batch(family, kind, 6)

    outputs = model(batch)
    losses = model.loss(outputs, batch)

    assert outputs["logits"].shape == (6, TASKS[kind].outputs)
    assert all(value.dim() == 0 and bool(value.isfinite()) for value in losses.values())
    assert losses["total"].requires_grad


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_gradient_reaches_every_parameter(family: str, kind: str) -> None:
    model, batch = _model(family, kind), _batch(family, kind, 6)

    model.loss(model(batch), batch)["total"].backward()

    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_the_loss_falls_on_a_toy_batch_in_a_few_steps(family: str, kind: str) -> None:
    model, batch = _model(family, kind), _batch(family, kind, 12)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    totals = []

    for _ in range(25):
        optimiser.zero_grad()
        total = model.loss(model(batch), batch)["total"]
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))

    assert min(totals[-3:]) < 0.8 * totals[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_predicts_the_same_when_loaded(family: str) -> None:
    first, second = _model(family, "multiclass", seed=1).eval(), _model(family, "multiclass", seed=2).eval()
    batch = _batch(family, "multiclass", 4)

    second.load_state_dict(first.state_dict())

    assert {key for key, _ in first.named_parameters()} <= set(first.state_dict())
    assert torch.equal(first(batch)["logits"], second(batch)["logits"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sample_is_predicted_alike_alone_and_among_others(family: str) -> None:
    model, batch = _model(family, "multiclass").eval(), _batch(family, "multiclass", 4)
    alone = Batch({name: x[2:3] for name, x in batch.inputs.items()}, batch.target[2:3], batch.ids[2:3])

    together = model(batch)["logits"]

    assert torch.equal(together, model(batch)["logits"])
    torch.testing.assert_close(model(alone)["logits"], together[2:3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_of_one_can_be_trained_on(family: str) -> None:
    model, batch = _model(family, "multiclass"), _batch(family, "multiclass", 1)

    total = model.loss(model(batch), batch)["total"]
    total.backward()

    assert bool(total.isfinite())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_builds_the_same_model(family: str) -> None:
    first, second = _model(family, "multiclass", seed=4), _model(family, "multiclass", seed=4)

    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_costs_can_be_counted(family: str) -> None:
    model, batch = _model(family, "multiclass"), _batch(family, "multiclass", 3)

    assert count_macs(model, batch) == count_macs(model, _batch(family, "multiclass", 1)) > 0
    assert count_parameters(model) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unknown_parameter_is_an_error(family: str) -> None:
    with pytest.raises(BadSpec, match="unknown option 'tokne'"):
        build_model(Architecture(family, {**SMALL.get(family, {}), "tokne": 1}), _task(family, "multiclass"))


@pytest.mark.parametrize("family", sorted(set(MODELS.names()) - set(FAMILIES)))
def test_a_family_that_does_not_predict_says_so(family: str) -> None:
    with pytest.raises(BadSpec, match=f"model {family}"):
        build_model(Architecture(family, {}), TASKS["multiclass"])


def test_an_unknown_family_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(MmfuseError) as caught:
        build_model(Architecture("mixmass", {}), TASKS["multiclass"])

    assert caught.value.message == "no model named 'mixmass'"
    assert "did you mean 'mixmas'" in caught.value.hint


def test_declarations_are_read_and_presets_checked_without_torch() -> None:
    script = (
        "import sys\n"
        "from mmfuse.registry import MODELS\n"
        "from mmfuse.options import parse_options\n"
        "from mmfuse.task import Modality, Task\n"
        "modalities = (Modality('image', 'grid', (1, 28, 28)), Modality('audio', 'grid', (1, 112, 112)))\n"
        "task = Task('toy', 'multiclass', modalities, 3, 'accuracy')\n"
        "for name in MODELS.names():\n"
        "    family = MODELS.declaration(name)\n"
        "    assert MODELS.summary(name), name\n"
        "    assert all(field.description for field in family.Params.model_fields.values()), name\n"
        "    for preset, params in getattr(family, 'PRESETS', {}).items():\n"
        "        own = {key: value for key, value in params.items() if key not in ('fit', 'data')}\n"
        "        parsed = parse_options(family.Params, own, what=preset)\n"
        "        if preset.startswith('avmnist'): family.check(parsed, task)\n"
        "print([name for name in ('torch', 'numpy', 'lightning') if name in sys.modules])\n"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (result.stdout.strip(), result.returncode) == ("[]", 0), result.stderr
