"""Files of latents as splits: joined by their pair table, put behind each other, refused where they do not fit."""

from collections.abc import Callable
from pathlib import Path

import h5py
import latent_world as world
import numpy as np
import pytest
import torch

from mmfuse.data import latents
from mmfuse.data.latents_layout import Column, Storage
from mmfuse.data.latents_load import load_latents
from mmfuse.data.latents_pairs import MISSING, PairTable
from mmfuse.data.latents_writer import LatentWriter
from mmfuse.data.subset_options import SubsetOptions
from mmfuse.errors import BadSpec, DataInvalid, DataMissing, MmfuseError
from mmfuse.latents import LatentSplits

DIMS = {"image": 6, "text": 4}


def _write(
    folder: Path,
    table: PairTable,
    *,
    storage: Storage = "float16",
    unreadable: tuple[int, ...] = (),
    encoders: dict[str, str] | None = None,
) -> list[Path]:
    files = []
    for modality, dim in DIMS.items():
        name = (encoders or {}).get(modality, f"{modality}-encoder")
        path = folder / f"{modality}.h5"
        column = Column(modality, world.identity(name), dim, storage, 1000)
        with LatentWriter(path, table, column) as writer:
            for rows in writer.pending():
                marked = unreadable if modality == "image" else ()
                writer.write(rows.start, world.vectors(rows, dim), unreadable=marked)
            writer.publish()
        files.append(path)
    return files


def _load(files: list[Path], **values: object) -> LatentSplits:
    evaluation = values.pop("evaluation_files", ())
    return load_latents("latents", files, SubsetOptions(**values), evaluation_files=evaluation)  # type: ignore[arg-type]


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_two_files_of_one_table_become_splits(tmp_path: Path, storage: Storage) -> None:
    table = world.table()

    splits = _load(_write(tmp_path, table, storage=storage))

    assert {name: len(pairs) for name, pairs in (("train", splits.train), ("val", splits.val))} == {
        "train": 72,
        "val": 24,
    }
    assert [(each.name, each.shape) for each in splits.task.modalities] == [("image", (6,)), ("text", (4,))]
    assert splits.encoders["image"].startswith("image-encoder@")
    batch = splits.open_test().batch(torch.tensor([0, 23]))
    for column, (modality, dim) in enumerate(DIMS.items()):
        rows = table.splits["test"][[0, 23], column]
        wanted = np.stack([world.vectors(range(row, row + 1), dim)[0] for row in rows])
        assert np.abs(batch.inputs[modality].numpy() - wanted).max() < 5e-3


def test_latents_of_one_table_stay_mapped_from_the_file(tmp_path: Path) -> None:
    files = _write(tmp_path, world.table())
    splits = _load(files)
    before = splits.train.latents["image"][0, 0].item()

    splits.train.latents["image"][0, 0] = 42  # a private page: never the file

    assert _load(files).train.latents["image"][0, 0].item() == before


def test_pairs_whose_item_is_missing_or_was_unreadable_are_dropped_and_counted(tmp_path: Path) -> None:
    table = world.table()
    table.splits["train"][5, 1] = MISSING

    splits = _load(_write(tmp_path, table, unreadable=(0, 7)))

    assert len(splits.train) == 72 - 1 - 6
    assert MISSING not in splits.train.pairs
    assert splits.provenance["pairs dropped because an item is missing or could not be read"] == 7


def test_collections_are_put_behind_each_other(tmp_path: Path) -> None:
    first = _write(tmp_path / "one", world.table(name="one"))
    second = _write(tmp_path / "two", world.table(20, name="two"))

    splits = _load([*first, *second])

    assert len(splits.train) == 72 + 36
    assert splits.train.latents["text"].shape == (180, 4)
    last = splits.train.pairs[-1].tolist()
    assert last == [40 + 11, 120 + 35]
    wanted = world.vectors(range(11, 12))[0]
    assert np.abs(splits.train.batch(torch.tensor([107])).inputs["image"][0].numpy() - wanted).max() < 1e-3


@pytest.mark.parametrize("subset", ["random", "k_center", "dpp"])
def test_a_set_that_is_only_measured_on_is_loaded_without_training_pairs(tmp_path: Path, subset: str) -> None:
    table = world.table()
    measured = PairTable(table.name, table.ids, {split: table.splits[split] for split in ("val", "test")})

    splits = _load(_write(tmp_path, measured), fraction=0.5, subset=subset)

    assert (len(splits.train), len(splits.val), len(splits.open_test())) == (0, 24, 24)


def test_evaluation_files_alone_give_validation_and_test(tmp_path: Path) -> None:
    first = _write(tmp_path / "one", world.table(name="one"))
    second = _write(tmp_path / "two", world.table(20, name="two"))

    splits = _load(first, evaluation_files=second)

    assert (len(splits.train), len(splits.val), len(splits.open_test())) == (72, 12, 12)
    assert int(splits.val.pairs[:, 0].min()) >= 40


def test_a_fraction_of_the_training_pairs_is_taken(tmp_path: Path) -> None:
    files = _write(tmp_path, world.table())

    assert len(_load(files, fraction=0.25).train) == 18
    assert _load(files, fraction=0.25).fingerprint != _load(files).fingerprint


def test_the_fingerprint_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    first, second = (_load(_write(tmp_path / name, world.table())) for name in ("one", "two"))
    other = _load(_write(tmp_path / "three", world.table(), storage="int8"))

    assert first.fingerprint == second.fingerprint != other.fingerprint


def test_classes_are_kept_where_pairs_share_nothing_else(tmp_path: Path) -> None:
    table = world.table()
    labels = {split: np.arange(len(rows), dtype=np.int64) % 3 for split, rows in table.splits.items()}
    labelled = PairTable(table.name, table.ids, table.splits, labels, stand_in=True)

    splits = _load(_write(tmp_path, labelled))

    assert splits.task.metric == "p1_mean"
    assert splits.val.classes is not None
    assert splits.val.classes.tolist() == [n % 3 for n in range(24)]
    assert splits.label == "latents (stand-in)"


def _alone(folder: Path) -> list[Path]:
    return _write(folder, world.table())[:1]


def _twice(folder: Path) -> list[Path]:
    return [*_write(folder / "one", world.table()), *_write(folder / "two", world.table())]


def _other_pairs(folder: Path) -> list[Path]:
    return [
        _write(folder / "one", world.table())[0],
        _write(folder / "two", world.table(captions_each=2))[1],
    ]


def _other_encoder(folder: Path) -> list[Path]:
    one = _write(folder / "one", world.table(name="one"))
    return [*one, *_write(folder / "two", world.table(name="two"), encoders={"text": "e5-large"})]


def _training_only(folder: Path) -> list[Path]:
    table = world.table()
    return _write(folder, PairTable(table.name, table.ids, {"train": table.splits["train"]}))


def _nan(folder: Path) -> list[Path]:
    files = _write(folder, world.table())
    with h5py.File(files[1], "r+") as file:
        file["mod/text/x"][3] = np.nan
    return files


def _renamed(folder: Path) -> list[Path]:
    files = _write(folder, world.table())
    for path in files:
        with h5py.File(path, "r+") as file:
            file["split/train/pairs"][0] = [1, 1]
    return files


@pytest.mark.parametrize(
    ("make", "kind", "sentence"),
    [
        (lambda folder: [], BadSpec, "no file of latents is named"),
        (_alone, BadSpec, "at least two modalities .* the files hold world: image"),
        (_twice, BadSpec, "both hold image of world"),
        (_other_pairs, BadSpec, "at least two modalities of the same items and pairs"),
        (_other_encoder, DataInvalid, "hold text by different encoders"),
        (_training_only, DataInvalid, "no pairs for val in world"),
        (_nan, DataInvalid, "NaN or infinity in row 3 of text"),
        (_renamed, DataInvalid, "its pairs or items changed"),
    ],
)
def test_files_that_do_not_fit_together_are_refused_in_one_sentence(
    tmp_path: Path, make: Callable[[Path], list[Path]], kind: type[MmfuseError], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence) as caught:
        _load(make(tmp_path))
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_the_dataset_takes_files_by_option_and_tells_what_they_hold(tmp_path: Path) -> None:
    files = _write(tmp_path, world.table())
    options = latents.Options(files=files)

    status = latents.status(tmp_path, options)

    assert (status.source, status.built, dict(status.samples)) == ("real", True, {"train": 72, "val": 24, "test": 24})
    assert latents.check(tmp_path, options).problem == ""
    assert len(latents.load(tmp_path, options).train) == 72
    assert latents.task(options) == latents.load(tmp_path, options).task != latents.TASK


def test_paths_are_taken_from_the_folder_they_are_typed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert latents.Options(files=("image.h5",)).files == (tmp_path / "image.h5",)  # type: ignore[arg-type]


def test_status_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    status = latents.status(tmp_path, latents.Options(files=(tmp_path / "image.h5", tmp_path / "text.h5")))

    assert status.source == "unusable"
    assert "no file of latents" in status.problem


def test_check_finds_what_loading_large_files_does_not_look_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmfuse.data.latents_load.SCANNED", 0)
    options = latents.Options(files=_nan(tmp_path))
    latents.load(tmp_path, options)

    with pytest.raises(DataInvalid, match="NaN or infinity in row 3 of text"):
        latents.check(tmp_path, options)


def test_a_file_that_is_gone_is_missing(tmp_path: Path) -> None:
    files = _write(tmp_path, world.table())
    files[0].unlink()

    with pytest.raises(DataMissing):
        _load(files)
