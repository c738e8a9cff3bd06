"""What every model that declares taps promises to a fusion search. A new file is tested by being there.

A family is tested on the task of a dataset that names it as a backbone, else on AV-MNIST's shapes with its defaults.
"""

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from mmfuse.backbones import (
    BackboneChoice,
    check_backbone,
    choose_backbones,
    dataset_backbones,
    tap_widths,
    tapped_families,
)
from mmfuse.batch import Batch
from mmfuse.models.assemble import build_model
from mmfuse.models.tapped import tapped
from mmfuse.registry import BLOCKS, DATASETS
from mmfuse.task import Modality, Task

TASK = Task(
    "pictures and sounds",
    "multiclass",
    (Modality("image", "grid", (1, 28, 28)), Modality("audio", "grid", (1, 112, 112))),
    10,
    "accuracy",
)


@dataclass(frozen=True)
class Case:
    """A backbone, and the modality of the task that it reads."""

    choice: BackboneChoice
    task: Task
    modality: str


# Families that neither a dataset's declaration nor their defaults make quick to build and run.
_MOVING = Task(
    "people",
    "multiclass",
    (Modality("skeleton", "skeleton", (3, 16, 25, 2)), Modality("video", "video", (3, 4, 32, 32))),
    10,
    "accuracy",
)
SMALL: dict[str, Case] = {
    "hcn": Case(BackboneChoice(family="hcn", params={"width": 8}), _MOVING, "skeleton"),
    "inflated_resnet": Case(
        BackboneChoice(family="inflated_resnet", params={"width": 4, "depths": [1, 2, 1, 1]}), _MOVING, "video"
    ),
}

# Every mixer block as the encoder of the unimodal family, on a kind of modality that it takes.
SHAPES: dict[str, Modality] = {
    "grid": Modality("seen", "grid", (2, 28, 28)),
    "sequence": Modality("seen", "sequence", (6, 10)),
    "vector": Modality("seen", "vector", (5,)),
}
BLOCK_SIZES: dict[str, dict[str, Any]] = {
    "mlp": {"dim": 12, "patch": 7, "depth": 3, "token_hidden": 5, "channel_hidden": 24},
    "hyper": {"dim": 12, "patch": 7, "depth": 2, "token_hidden": 6, "channel_hidden": 24, "heads": 2},
    "monarch": {"dim": 12, "patch": 7, "depth": 2},
    "perceptron": {"dim": 12, "hidden": 9},
    "pnlp": {"dim": 12, "depth": 2, "hidden": 7},
    "ramlp": {"dims": (8, 12), "depths": (1, 2), "mlp_ratios": (2, 2), "expansions": (2, 1), "regions": (7, 2)}
    | {"groups": (1, 4)},
    "strip": {"dim": 8, "patch": 1, "depths": (1, 1, 1, 1)},
    "wave": {"dims": (8, 12), "depths": (1, 2), "mlp_ratios": (2, 2)},
}
TAPS_OF_BLOCKS = {"mlp": 3, "hyper": 2, "monarch": 2, "perceptron": 3, "pnlp": 2, "ramlp": 2, "strip": 1, "wave": 2}


def _mixer(block: str) -> Case:
    kind = sorted(BLOCKS.declaration(block).ACCEPTS)[0]
    task = Task("one modality", "multiclass", (SHAPES[kind],), 3, "accuracy")
    params = {"modality": "seen", "encoder": {"block": block, **BLOCK_SIZES.get(block, {})}, "head_hidden": 9}
    return Case(BackboneChoice(family="unimodal", params=params), task, "seen")


def _case(family: str) -> Case:
    if family in SMALL:
        return SMALL[family]
    for name in DATASETS.names():
        task = DATASETS.declaration(name).TASK
        for modality, choice in dataset_backbones(task).items():
            if choice.family == family:
                return Case(choose_backbones(task, {})[modality], task, modality)
    choice = BackboneChoice(family=family)
    return Case(choice, TASK, choice.architecture.params.get("modality", "image"))


def _build(case: Case) -> tuple[Any, Tensor]:
    """The model in evaluation mode and three samples for it."""
    torch.manual_seed(0)
    model = build_model(case.choice.architecture, case.task).eval()
    return model, torch.randn(3, *case.task.modality(case.modality).shape)


CASES = [pytest.param((_case, name), id=name) for name in tapped_families() if name != "unimodal"]
CASES += [pytest.param((_mixer, name), id=f"unimodal-{name}") for name in BLOCKS.names()]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    make, name = request.param
    made: Case = make(name)
    return made


@pytest.mark.parametrize(("block", "count"), TAPS_OF_BLOCKS.items())
def test_a_mixer_has_a_tap_for_each_layer_or_stage_that_its_block_opens(block: str, count: int) -> None:
    mixer = _mixer(block)

    assert len(tap_widths(mixer.choice, mixer.task)) == count


def test_taps_are_vectors_of_the_declared_widths(case: Case) -> None:
    check_backbone(case.choice, case.task, case.modality)
    model, inputs = _build(case)

    taps = tapped(model).taps(inputs)

    assert [tuple(tap.shape) for tap in taps] == [(3, width) for width in tap_widths(case.choice, case.task)]
    assert all(tap.dtype == torch.float32 and bool(tap.isfinite().all()) for tap in taps)


def test_the_prediction_from_taps_is_the_models_own(case: Case) -> None:
    model, inputs = _build(case)
    batch = Batch({case.modality: inputs}, torch.zeros(3, dtype=torch.long), torch.arange(3))

    predicted = tapped(model).predict(tapped(model).taps(inputs))

    torch.testing.assert_close(predicted, model(batch)["logits"])


def test_frozen_taps_are_the_same_each_time_and_for_each_sample_alone(case: Case) -> None:
    model, inputs = _build(case)

    together, again = tapped(model).taps(inputs), tapped(model).taps(inputs)
    alone = tapped(model).taps(inputs[1:2])

    assert all(torch.equal(one, other) for one, other in zip(together, again, strict=True))
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one[1:2], other, rtol=1e-4, atol=1e-5)


def test_a_trimmed_backbone_has_the_same_taps_and_nothing_they_do_not_need(case: Case) -> None:
    count = len(tap_widths(case.choice, case.task))
    for last in range(count):
        model, inputs = _build(case)
        whole = tapped(model).taps(inputs)
        names = set(model.state_dict())

        tapped(model).trim(last)

        taps = tapped(model).taps(inputs)
        assert [torch.equal(one, other) for one, other in zip(taps, whole, strict=False)] == [True] * (last + 1)
        # The last tap must need them all, and weights of the whole backbone must still fit by name.
        (taps[-1] * torch.randn_like(taps[-1])).sum().backward()
        assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
        assert set(model.state_dict()) < names


@pytest.mark.parametrize("name", DATASETS.names())
def test_a_datasets_backbones_read_its_modalities(name: str) -> None:
    task = DATASETS.declaration(name).TASK
    declared = dataset_backbones(task)

    chosen = choose_backbones(task, {}, modalities=list(declared))

    assert set(declared) <= {modality.name for modality in task.modalities}
    for modality, choice in chosen.items():
        check_backbone(choice, task, modality)


def test_widths_are_read_without_torch() -> None:
    script = (
        "import sys\n"
        "from mmfuse.backbones import check_backbone, choose_backbones, dataset_backbones, tap_widths\n"
        "from mmfuse.registry import DATASETS\n"
        "tasks = [DATASETS.declaration(name).TASK for name in DATASETS.names()]\n"
        "for task in tasks:\n"
        "    named = choose_backbones(task, {}, modalities=list(dataset_backbones(task)))\n"
        "    for modality, choice in named.items():\n"
        "        check_backbone(choice, task, modality)\n"
        "        assert all(width > 0 for width in tap_widths(choice, task))\n"
        "avmnist = DATASETS.declaration('avmnist').TASK\n"
        "assert [len(tap_widths(c, avmnist)) for c in choose_backbones(avmnist, {}).values()] == [3, 5]\n"
        "print([name for name in ('torch', 'numpy', 'h5py') if name in sys.modules])\n"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (result.stdout.strip(), result.returncode) == ("[]", 0), result.stderr
