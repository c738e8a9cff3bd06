"""M2-Mixer and MixMAS models: how their parts meet, what predicts, and what can be taken apart."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from mmfuse.architecture import Architecture
from mmfuse.batch import Batch
from mmfuse.errors import BadSpec, UnknownName
from mmfuse.models.assemble import build_model
from mmfuse.registry import MODELS
from mmfuse.task import Modality, Task

IMAGE = Modality("image", "grid", (1, 8, 8))
SERIES = Modality("timeseries", "sequence", (6, 5))
STATIC = Modality("static", "vector", (7,))
TASK = Task("toy", "multiclass", (IMAGE, SERIES, STATIC), 4, "accuracy")
MLP = {"block": "mlp", "dim": 8, "patch": 4, "depth": 1, "token_hidden": 4, "channel_hidden": 8, "dropout": 0.0}
ENCODERS = {"static": MLP | {"dim": 6}, "image": MLP, "timeseries": {"block": "monarch", "dim": 9, "depth": 1}}
PARAMS = {"encoders": ENCODERS, "network": MLP}


def _model(family: str = "mixmas", *, task: Task = TASK, **changes: Any) -> Any:
    torch.manual_seed(0)
    return build_model(Architecture(family, {**PARAMS, **changes}), task).eval()


def _batch(size: int = 3, task: Task = TASK) -> Batch:
    torch.manual_seed(1)
    inputs = {modality.name: torch.randn(size, *modality.shape) for modality in task.modalities}
    return Batch(inputs, torch.arange(size) % task.outputs, torch.arange(size))


def test_mixmas_predicts_the_mean_of_all_heads() -> None:
    outputs = _model()(_batch())

    heads = [outputs[f"logits/{name}"] for name in ("fusion", "image", "timeseries", "static")]
    torch.testing.assert_close(outputs["logits"], torch.stack(heads).mean(0))
    assert len(outputs) == 5


def test_mixmas_can_predict_from_the_fused_tokens_alone() -> None:
    outputs = _model(prediction="fused")(_batch())

    assert torch.equal(outputs["logits"], outputs["logits/fusion"])


def test_m2_mixer_predicts_from_the_fusion_head() -> None:
    outputs = _model("m2_mixer")(_batch())

    assert torch.equal(outputs["logits"], outputs["logits/fusion"])


def test_mixmas_costs_the_sum_of_the_prediction_and_all_unimodal_heads() -> None:
    model, batch = _model(), _batch()

    outputs = model(batch)
    losses = model.loss(outputs, batch)

    names = ("logits", "logits/image", "logits/timeseries", "logits/static")
    torch.testing.assert_close(
        losses["total"], sum((F.cross_entropy(outputs[name], batch.target) for name in names), torch.tensor(0.0))
    )


def test_encoding_and_fusing_apart_is_the_forward_pass() -> None:
    model, batch = _model(), _batch()

    tokens = model.encode(batch)
    outputs = model.fuse(tokens)

    assert {name: tuple(x.shape[1:]) for name, x in tokens.items()} == {
        "image": (4, 8),
        "timeseries": (6, 9),
        "static": (1, 6),
    }
    assert torch.equal(outputs["logits"], model(batch)["logits"])


def test_fusing_does_not_depend_on_the_order_of_the_cached_tokens() -> None:
    model, batch = _model(), _batch()
    tokens = model.encode(batch)

    turned = dict(reversed(tokens.items()))

    assert torch.equal(model.fuse(turned)["logits"], model.fuse(tokens)["logits"])


def test_tokens_follow_the_tasks_order_however_the_choices_are_written() -> None:
    first = _model()
    second = _model(encoders=dict(reversed(ENCODERS.items())))

    assert list(first.encoders) == list(second.encoders) == ["image", "timeseries", "static"]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("modality", ["image", "timeseries", "static"])
def test_weights_of_a_unimodal_model_move_into_the_multimodal_one(modality: str) -> None:
    unimodal = build_model(Architecture("unimodal", {"modality": modality, "encoder": ENCODERS[modality]}), TASK)
    model, batch = _model(), _batch()
    trained = {key: x for key, x in unimodal.state_dict().items() if key.startswith("encoders.")}

    result = model.load_state_dict(trained, strict=False)

    assert result.unexpected_keys == []
    assert not [key for key in result.missing_keys if key.startswith(f"encoders.{modality}.")]
    unimodal.eval()
    assert torch.equal(model.encode(batch)[modality], unimodal.encoders[modality](batch.inputs[modality]))  # type: ignore[index,operator]


@pytest.mark.parametrize("fusion", ["concat", "sum", "mean", "max", "gated"])
@pytest.mark.parametrize("family", ["mixmas", "m2_mixer"])
def test_every_fusion_joins_encoders_of_different_widths(family: str, fusion: str) -> None:
    model = _model(family, fusion=fusion)

    assert model(_batch())["logits"].shape == (3, 4)


def test_the_common_width_can_be_chosen() -> None:
    assert _model(width=5).heads["fusion"].output.in_features == 5
    assert _model().heads["fusion"].output.in_features == 9


def test_dropout_on_fused_tokens_acts_in_training_only() -> None:
    model, batch = _model(dropout=0.5), _batch()

    assert torch.equal(model(batch)["logits"], model(batch)["logits"])
    model.train()
    assert not torch.equal(model(batch)["logits/fusion"], model(batch)["logits/fusion"])


def test_one_modality_is_a_model_too() -> None:
    task = Task("toy", "multiclass", (IMAGE,), 4, "accuracy")

    outputs = _model(task=task, encoders={"image": MLP})(_batch(task=task))

    assert set(outputs) == {"logits", "logits/fusion", "logits/image"}


def test_without_unimodal_heads_m2_mixer_has_one_head_and_one_loss() -> None:
    model, batch = _model("m2_mixer", unimodal_heads=False), _batch()

    outputs = model(batch)

    assert list(model.heads) == ["fusion"]
    torch.testing.assert_close(model.loss(outputs, batch)["total"], F.cross_entropy(outputs["logits"], batch.target))


def test_m2_mixers_loss_weight_moves_after_epochs_and_travels_in_the_checkpoint() -> None:
    options = {"fusion_loss_weight": 0.4, "fusion_loss_change": 0.25, "loss_change_epoch": 1, "loss_scale": 1.0}
    model, batch = _model("m2_mixer", **options), _batch()
    outputs = model(batch)

    model.epoch_ended()
    model.epoch_ended()
    copy = _model("m2_mixer", **options)
    copy.load_state_dict(model.state_dict())

    losses = copy.loss(outputs, batch)
    unimodal = (losses["image"] + losses["timeseries"] + losses["static"]) / 3
    torch.testing.assert_close(losses["total"], 0.65 * losses["prediction"] + 0.35 * unimodal)


MM_IMDB = Task(
    "mm_imdb",
    "multilabel",
    (Modality("image", "grid", (3, 256, 256)), Modality("text", "sequence", (512, 768))),
    23,
    "f1_weighted",
)


def _mm_imdb_params() -> dict[str, Any]:
    """The published preset without the data it chooses."""
    preset: dict[str, Any] = MODELS.declaration("m2_mixer").PRESETS["mm_imdb"]
    return {key: value for key, value in preset.items() if key != "data"}


def test_the_mm_imdb_preset_weighs_missed_labels() -> None:
    preset = _mm_imdb_params()
    with torch.device("meta"):
        model: Any = build_model(Architecture("m2_mixer", preset), MM_IMDB)

    assert model.criterion.pos_weight.shape == (23,)
    assert "criterion.pos_weight" not in model.state_dict()


@pytest.mark.parametrize(
    ("family", "changes", "sentence"),
    [
        ("mixmas", {"encoders": {"image": MLP}}, "no encoder for static, timeseries"),
        ("mixmas", {"encoders": ENCODERS | {"vidoe": MLP}}, "toy has no modality vidoe"),
        (
            "m2_mixer",
            {"encoders": ENCODERS | {"image": MLP | {"patch": 3}}},
            "patch of 3 does not divide a grid of 8 x 8",
        ),
        ("mixmas", {"encoders": ENCODERS | {"image": {"block": "pnlp"}}}, "image is a grid"),
        ("mixmas", {"encoders": ENCODERS | {"image": {"depth": 2}}}, "names no block"),
        ("mixmas", {"encoders": ENCODERS | {"image": MLP | {"depht": 2}}}, "unknown option 'depht'"),
        ("mixmas", {"network": {"block": "ramlp"}}, "cannot serve as a fusion network"),
        ("mixmas", {"network": {"block": "hyper", "heads": 2}}, "2 heads do not divide 9"),
        ("mixmas", {"network": {"block": "monarch", "variant": "reference"}}, "a square number of tokens, not 11"),
        ("mixmas", {"align": "pad", "width": 16}, "cannot bring tokens to width 16"),
        ("m2_mixer", {"pos_weight": [1.0, 2.0]}, "pos_weight needs a multilabel task"),
        ("unimodal", {"modality": "audio", "encoder": MLP}, "no modality 'audio'"),
    ],
)
def test_parts_that_do_not_fit_are_refused_in_a_sentence(family: str, changes: dict[str, Any], sentence: str) -> None:
    params = changes if family == "unimodal" else {**PARAMS, **changes}

    with pytest.raises(BadSpec) as caught:
        build_model(Architecture(family, params), TASK)

    assert sentence in caught.value.message
    assert caught.value.hint


def test_pos_weight_needs_one_value_per_label() -> None:
    preset = _mm_imdb_params() | {"pos_weight": [1.0, 2.0]}

    with pytest.raises(BadSpec, match="has 2 values, mm_imdb has 23 labels"):
        build_model(Architecture("m2_mixer", preset), MM_IMDB)


def test_an_unknown_block_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        build_model(Architecture("mixmas", {**PARAMS, "network": {"block": "hypr"}}), TASK)

    assert "did you mean 'hyper'" in caught.value.hint
