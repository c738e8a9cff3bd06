"""Encoders that mmfuse trained: taken out of their models, and whole datasets of latents made with them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mmfuse.architecture import Architecture
from mmfuse.batch import Split, Splits
from mmfuse.data import latents, latents_trained, scenes, toy, toy_sequence
from mmfuse.data.latents_file import survey
from mmfuse.data.latents_load import load_latents
from mmfuse.data.subset_options import SubsetOptions
from mmfuse.errors import BadSpec, CheckpointMismatch
from mmfuse.extraction.encoder import Encoder
from mmfuse.extraction.encoders.checkpoint import Options, open_encoder
from mmfuse.extraction.job import extract_items
from mmfuse.extraction.tensors import collect
from mmfuse.models.assemble import build_model
from mmfuse.report import NullReporter
from mmfuse.spec import ExtractSpec
from mmfuse.training.checkpoint import Checkpoint, save_checkpoint
from mmfuse.training.seeding import seeded

CPU = torch.device("cpu")
MIXER = {"block": "mlp", "dim": 8, "patch": 4, "depth": 1, "token_hidden": 4, "channel_hidden": 8}
MODELS = {
    "unimodal": {"modality": "image", "encoder": MIXER, "head_hidden": 8},
    "m2_mixer": {"encoders": {"image": MIXER, "audio": MIXER}, "network": MIXER},
    "mixmas": {"encoders": {"image": MIXER, "audio": MIXER}, "network": MIXER},
    "lenet_image": {"channels": 2},
}


@pytest.fixture(scope="module")
def splits() -> Splits:
    return toy.load(Path(), toy.Options(samples=32))


def _checkpoint(folder: Path, family: str, splits: Splits) -> tuple[Path, nn.Module]:
    encoders = {"network": {key: value for key, value in MIXER.items() if key not in ("dim", "patch")}}
    params = MODELS[family] | (encoders if "network" in MODELS[family] else {})
    architecture = Architecture(family, params)
    with seeded(0):
        model = build_model(architecture, splits.task)
    checkpoint = Checkpoint(architecture, splits.task, splits.fingerprint, "toy", model.state_dict(), epoch=1, step=1)
    save_checkpoint(checkpoint, folder / f"{family}.ckpt")
    return folder / f"{family}.ckpt", model.eval()


def _open(path: Path, modality: str = "image") -> Encoder:
    return open_encoder(modality, Options(path=path), device=CPU)


@pytest.mark.parametrize("family", MODELS)
def test_a_vector_is_what_the_models_own_encoder_makes(tmp_path: Path, splits: Splits, family: str) -> None:
    path, model = _checkpoint(tmp_path, family, splits)
    images = splits.val.all().inputs["image"]

    vectors = _open(path).encode(list(images))

    with torch.no_grad():
        wanted = model.taps(images)[-1] if family == "lenet_image" else model.encoders["image"](images).mean(1)
    assert torch.allclose(vectors, wanted, atol=1e-6)
    assert vectors.shape[1] == _open(path).dim


@pytest.mark.parametrize("family", MODELS)
def test_a_vector_does_not_depend_on_its_batch(tmp_path: Path, splits: Splits, family: str) -> None:
    encoder = _open(_checkpoint(tmp_path, family, splits)[0])
    images = list(splits.val.all().inputs["image"])

    apart = torch.cat([encoder.encode([image]) for image in images])

    assert torch.allclose(encoder.encode(images), apart, atol=1e-5)


def test_a_modality_that_the_model_does_not_read_is_refused(tmp_path: Path, splits: Splits) -> None:
    path, _ = _checkpoint(tmp_path, "unimodal", splits)

    with pytest.raises(BadSpec, match="has no encoder of audio"):
        _open(path, "audio")


def test_all_samples_become_items_of_the_three_splits(splits: Splits) -> None:
    collection = collect(splits, class_paired=True)

    assert {name: len(rows) for name, rows in collection.table.splits.items()} == {"train": 32, "val": 16, "test": 16}
    assert len(collection.items["image"]) == 64
    assert collection.table.labels["val"].tolist() == splits.val.target.tolist()
    parts = (splits.train, splits.val, splits.open_test())
    everything = torch.cat([part.all().inputs["image"] for part in parts])
    assert torch.stack(collection.items["image"][20:60]).equal(everything[20:60])  # type: ignore[arg-type]


def test_a_picture_with_five_captions_is_one_item() -> None:
    splits = scenes.load(Path(), scenes.Options(pictures=12))

    table = collect(splits, class_paired=False).table

    assert len(table.ids["image"]) == 12 + 3 + 3
    assert table.splits["train"][:, 0].tolist() == [n // 5 for n in range(60)]
    assert not table.labels


def test_a_dataset_with_one_modality_has_no_pairs(splits: Splits) -> None:
    task = splits.task.__class__("one", "multiclass", splits.task.modalities[:1], outputs=4, metric="accuracy")
    lone = Split({"image": splits.train.inputs["image"]}, splits.train.target, splits.train.ids)

    with pytest.raises(BadSpec, match="nothing can be paired"):
        collect(Splits(task, lone, lone, lambda: lone, "f"), class_paired=False)


def _spec(path: Path, **values: object) -> ExtractSpec:
    data = toy.Options(samples=32, **values).model_dump(mode="json")  # type: ignore[arg-type]
    return ExtractSpec(
        dataset="toy", data=data, modality="image", encoder="checkpoint", options={"path": str(path), "batch_size": 8}
    )


def _run(spec: ExtractSpec, root: Path) -> dict[str, object]:
    return extract_items(
        spec, data_root=root, device=CPU, workers=1, reporter=NullReporter(), should_stop=lambda: False
    )


def test_an_extraction_tells_where_its_file_is_and_whose_latents_it_holds(tmp_path: Path, splits: Splits) -> None:
    path, _ = _checkpoint(tmp_path, "unimodal", splits)

    result = _run(_spec(path), tmp_path)

    file = Path(str(result["file"]))
    assert file.parent == tmp_path / "latents" / "toy"
    assert (result["items"], result["dim"], result["skipped"]) == (64, 8, 0)
    encoder = survey(file).columns["image"].column.encoder
    assert result["encoder"] == f"{encoder.name}@{encoder.sha}"
    assert _run(_spec(path), tmp_path)["found_again"]


def test_an_encoder_does_not_read_other_data_than_it_was_trained_on(tmp_path: Path, splits: Splits) -> None:
    path, _ = _checkpoint(tmp_path, "unimodal", splits)

    with pytest.raises(CheckpointMismatch, match="fingerprint"):
        _run(_spec(path, noise=0.1), tmp_path)


def test_any_dataset_of_two_modalities_becomes_latents(tmp_path: Path) -> None:
    values, recipe = {"samples": 48}, {"epochs": 1, "dim": 8, "seed": 0}

    files = latents_trained.ensure(tmp_path, "toy_sequence", values, recipe)

    splits = load_latents("latents", files, SubsetOptions())
    assert latents.task(latents.Options(of="toy_sequence", encoder_dim=8)) == splits.task
    assert latents.task(latents.Options()) == latents.TASK
    assert [(modality.name, modality.shape) for modality in splits.task.modalities] == [
        ("text", (8,)),
        ("static", (8,)),
    ]
    assert len(splits.train) == 48
    assert toy_sequence.TASK.kind != "multiclass"
    assert splits.train.classes is None
    status = latents_trained.status("latents", tmp_path, "toy_sequence", values, recipe, fraction=0.5)
    assert (status.built, status.samples["train"]) == (True, 24)


def test_latents_of_latents_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match="holds latents already"):
        latents_trained.ensure(tmp_path, "latent_world", {}, {"epochs": 1, "dim": 8, "seed": 0})
