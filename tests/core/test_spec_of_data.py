"""Specs of datasets whose task follows from their options, and of models whose defaults belong to another dataset."""

import pytest

from mmfuse.errors import BadSpec
from mmfuse.spec import resolve_train, task_of


def test_the_task_is_that_of_the_datasets_options() -> None:
    words = task_of("mm_imdb", {"text": "pnlp", "text_length": 7, "hash_features": 32})

    assert words.modality("text").shape == (7, 32)
    assert task_of("mm_imdb", {"threshold": 0.3}).threshold == 0.3
    assert task_of("mimic_iii", {"target": 3}).outputs == 2
    assert task_of("avmnist", {"scaling": "none"}) == task_of("avmnist")


def test_a_model_is_checked_against_the_data_that_are_asked_for() -> None:
    settings = ["modality=text", 'encoder={"block":"pnlp","dim":8,"depth":1,"hidden":8}']

    resolve_train("unimodal", "mm_imdb", settings=[*settings, "data.text=pnlp"])

    with pytest.raises(BadSpec, match="it takes sequence, text is a vector"):
        resolve_train("unimodal", "mm_imdb", settings=settings)


def test_presets_of_models_are_data_for_every_dataset_they_are_named_after() -> None:
    for preset, modalities in {"mimic_iii_h": {"static", "timeseries"}, "mm_imdb_small": {"image", "text"}}.items():
        dataset = preset.rpartition("_")[0]

        spec = resolve_train("m2_mixer", dataset, preset=preset)

        assert set(spec.params["encoders"]) == modalities


def test_encoders_can_be_spelled_out_for_modalities_the_defaults_do_not_know() -> None:
    image, text = '{"patch":16}', '{"block":"mlp","dim":32}'

    spec = resolve_train("m2_mixer", "mm_imdb", settings=[f"encoders.image={image}", f"encoders.text={text}"])

    assert spec.params["encoders"]["image"] == {
        "block": "mlp", "dim": 32, "token_hidden": 16, "channel_hidden": 256, "depth": 2, "dropout": 0.1, "patch": 16
    }  # fmt: skip
    assert spec.params["encoders"]["text"] == {"block": "mlp", "dim": 32}
