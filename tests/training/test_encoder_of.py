"""The encoders of a trained M2-Mixer or MixMAS are backbones: same weights, same predictions of their own heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tap_world import SPLITS, TASK, Listener

from mmfuse.architecture import Architecture
from mmfuse.backbones import BackboneChoice
from mmfuse.errors import CheckpointMismatch
from mmfuse.models.assemble import build_model
from mmfuse.models.tapped import tapped
from mmfuse.spec import PretrainOptions
from mmfuse.training.backbones import BackboneLibrary, obtain_backbones
from mmfuse.training.checkpoint import Checkpoint, rebuild_model, save_checkpoint
from mmfuse.training.encoder_of import encoder_of

MIXER = {"block": "mlp", "depth": 2, "dim": 6, "patch": 4, "token_hidden": 3, "channel_hidden": 5}
PARAMS: dict[str, Any] = {
    "encoders": {"image": MIXER, "audio": MIXER | {"depth": 1}},
    "network": {"block": "mlp", "depth": 1, "token_hidden": 3, "channel_hidden": 5},
}


def trained(family: str, **params: Any) -> Checkpoint:
    torch.manual_seed(3)
    architecture = Architecture(family, PARAMS | params)
    weights = build_model(architecture, TASK).state_dict()
    return Checkpoint(architecture, TASK, SPLITS.fingerprint, "pictures", weights, epoch=1, step=1)


@pytest.mark.parametrize("family", ["m2_mixer", "mixmas"])
@pytest.mark.parametrize("modality", ["image", "audio"])
def test_an_encoder_taken_out_predicts_as_the_models_own_head_does(family: str, modality: str) -> None:
    whole = trained(family)

    part = rebuild_model(encoder_of(whole, modality))

    batch = SPLITS.val.all()
    with torch.no_grad():
        expected = rebuild_model(whole)(batch)[f"logits/{modality}"]
        torch.testing.assert_close(part(batch)["logits"], expected)
        assert len(tapped(part).taps(batch.inputs[modality])) == (2 if modality == "image" else 1)


def test_a_checkpoint_of_one_modality_is_a_backbone_as_it_is() -> None:
    architecture = Architecture("unimodal", {"modality": "image", "encoder": MIXER})
    weights = build_model(architecture, TASK).state_dict()
    alone = Checkpoint(architecture, TASK, SPLITS.fingerprint, "pictures", weights, epoch=1, step=1)

    assert encoder_of(alone, "image") is alone


def test_a_model_without_the_encoder_or_its_head_is_refused() -> None:
    with pytest.raises(CheckpointMismatch, match="m2_mixer in that checkpoint has no encoder of text"):
        encoder_of(trained("m2_mixer"), "text")
    with pytest.raises(CheckpointMismatch, match="has no head of its own for image"):
        encoder_of(trained("m2_mixer", unimodal_heads=False), "image")


def test_a_fusion_search_takes_its_backbone_from_the_checkpoint_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    save_checkpoint(trained("m2_mixer"), path)
    params = {"encoder": MIXER, "head_hidden": None, "modality": "image"}
    choice = BackboneChoice(family="unimodal", params=params, weights=str(path))
    controls: dict[str, Any] = {
        "pretrain": PretrainOptions(epochs=1),
        "device": torch.device("cpu"),
        "data_root": tmp_path / "data",
        "reporter": Listener(),
        "should_stop": lambda: False,
    }

    given = obtain_backbones({"image": choice}, SPLITS, folder=tmp_path / "run", **controls)["image"]

    # Whoever retrains what was found names the weights by their hash, long after the checkpoint has gone.
    path.unlink()
    kept = cast(Checkpoint, BackboneLibrary(tmp_path / "data").get(given.key))
    assert torch.equal(
        kept.weights["encoders.image.stem.project.weight"], given.weights["encoders.image.stem.project.weight"]
    )
    assert "encoders.audio.stem.project.weight" not in kept.weights


def test_a_choice_that_does_not_match_the_weights_is_told_what_to_type(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    save_checkpoint(trained("m2_mixer"), path)
    choice = BackboneChoice(family="unimodal", params={"modality": "image"}, weights=str(path))

    with pytest.raises(CheckpointMismatch, match="the weights for image belong to") as caught:
        obtain_backbones(
            {"image": choice},
            SPLITS,
            pretrain=PretrainOptions(),
            device=torch.device("cpu"),
            folder=tmp_path / "run",
            data_root=tmp_path / "data",
            reporter=Listener(),
            should_stop=lambda: False,
        )

    assert caught.value.hint.startswith("--set 'benchmark.backbones.image={")
    assert '"head_hidden":null' in caught.value.hint
