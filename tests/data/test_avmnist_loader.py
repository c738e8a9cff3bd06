"""AV-MNIST's files: what is read, and one clear sentence for each way in which they can be wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_sources import write_published

from mmfuse.data import avmnist, avmnist_files
from mmfuse.errors import DataInvalid, DataMissing

SMALL = avmnist.Options(stand_in_size=300)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with files like the public ones, of 20 + 4 and 8 rows instead of 55,000 + 5,000 and 10,000."""
    monkeypatch.setattr(avmnist_files, "PUBLISHED", {"train": 20, "val": 4, "test": 8})
    write_published(tmp_path / "avmnist")
    return tmp_path


def _resave(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    np.save(path, change(np.load(path)))


def test_public_files_without_a_manifest_are_split_55_5_10_thousand_by_default() -> None:
    assert avmnist_files.PUBLISHED == {"train": 55_000, "val": 5_000, "test": 10_000}


def test_validation_is_the_tail_of_the_train_file(published: Path) -> None:
    splits = avmnist.load(published, avmnist.Options(scaling="none"))

    images = np.load(published / "avmnist/image/train_data.npy").astype(np.float32)
    assert not splits.stand_in
    assert splits.label == "avmnist"
    assert np.array_equal(splits.val.all().inputs["image"].flatten(1).numpy(), images[20:])
    assert splits.val.target.tolist() == [0, 1, 2, 3]
    assert splits.val.ids.tolist() == [20, 21, 22, 23]
    assert splits.open_test().ids.tolist() == list(range(24, 32))


def test_the_folder_may_be_called_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: Path) -> None:
    write_published(tmp_path / "other" / "avmnist", images="images")

    splits = avmnist.load(tmp_path / "other", avmnist.Options())

    assert splits.fingerprint == avmnist.load(published, avmnist.Options()).fingerprint


@pytest.mark.parametrize("kind", ["uint8", "float16", "float32", "float64", ">f4", "uint16"])
def test_images_and_audio_of_any_number_type_become_float32(published: Path, kind: str) -> None:
    for name in ("image/train_data", "audio/train_data"):
        _resave(published / f"avmnist/{name}.npy", lambda values: np.abs(values).astype(kind))

    batch = avmnist.load(published, avmnist.Options()).train.all()

    assert {str(values.dtype) for values in batch.inputs.values()} == {"torch.float32"}
    assert all(abs(float(values.mean())) < 1e-3 for values in batch.inputs.values())


def test_statistics_are_those_of_the_training_rows_alone(published: Path) -> None:
    path = published / "avmnist/image/train_data.npy"
    before = avmnist.load(published, avmnist.Options()).train.scales["image"]

    _resave(path, lambda values: np.concatenate([values[:20], values[20:] + 1e4]))

    after = avmnist.load(published, avmnist.Options()).train.scales["image"]
    assert (float(before.mean), float(before.std)) == (float(after.mean), float(after.std))


def test_the_fingerprint_knows_content_and_treatment(published: Path) -> None:
    def fingerprint(**values: object) -> str:
        return avmnist.load(published, avmnist.Options(**values)).fingerprint

    marks = [fingerprint(), fingerprint(scaling="none"), fingerprint(limit=10)]
    _resave(published / "avmnist/audio/test_data.npy", lambda values: values[::-1])

    assert len({*marks, fingerprint()}) == 4
    assert fingerprint(source="real") == fingerprint()


def test_a_limit_takes_the_first_rows_of_each_split(stand_in_root: Path) -> None:
    whole = avmnist.load(stand_in_root, SMALL)
    few = avmnist.load(stand_in_root, avmnist.Options(stand_in_size=300, limit=20))

    assert (len(few.train), len(few.val), len(few.open_test())) == (20, 20, 20)
    assert few.train.target.tolist() == whole.train.target[:20].tolist()


def test_the_test_file_is_not_opened_before_it_is_asked_for(published: Path) -> None:
    splits = avmnist.load(published, avmnist.Options())
    _resave(published / "avmnist/test_labels.npy", lambda labels: labels + 90)

    with pytest.raises(DataInvalid, match="label 90"):
        splits.open_test()


def test_loading_never_changes_the_files(published: Path) -> None:
    path = published / "avmnist/image/train_data.npy"
    before = path.read_bytes()

    split = avmnist.load(published, avmnist.Options(scaling="none")).train
    split.inputs["image"].zero_()

    assert path.read_bytes() == before


def _truncate(folder: Path) -> None:
    path = folder / "audio/train_data.npy"
    path.write_bytes(path.read_bytes()[:-1000])


def _lengthen(folder: Path) -> None:
    path = folder / "train_labels.npy"
    path.write_bytes(path.read_bytes() + b"more")


def _no_array(folder: Path) -> None:
    (folder / "image/test_data.npy").write_text("<html>not found</html>")


def _archive(folder: Path) -> None:
    with (folder / "image/test_data.npy").open("wb") as file:
        np.savez(file, np.zeros(3))


def _flat_audio(folder: Path) -> None:
    _resave(folder / "audio/train_data.npy", lambda values: values.reshape(len(values), -1))


def _text(folder: Path) -> None:
    _resave(folder / "train_labels.npy", lambda values: values.astype(str))


def _pickled(folder: Path) -> None:
    np.save(folder / "train_labels.npy", np.array([{}] * 24), allow_pickle=True)


def _fractions(folder: Path) -> None:
    _resave(folder / "train_labels.npy", lambda values: values.astype(np.float32))


def _ten(folder: Path) -> None:
    _resave(folder / "train_labels.npy", lambda values: np.where(np.arange(24) == 17, 10, values))


def _negative(folder: Path) -> None:
    _resave(folder / "train_labels.npy", lambda values: values.astype(np.int64) - 1)


def _gap(folder: Path) -> None:
    def spoil(values: np.ndarray) -> np.ndarray:
        values[22, 5] = np.nan
        return values

    _resave(folder / "image/train_data.npy", spoil)


def _swapped(folder: Path) -> None:
    train, test = folder / "audio/train_data.npy", folder / "audio/test_data.npy"
    train.rename(folder / "aside")
    test.rename(train)
    (folder / "aside").rename(test)


def _fewer(folder: Path) -> None:
    _resave(folder / "audio/train_data.npy", lambda values: values[:-1])


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (_truncate, r"audio/train_data.npy is not a complete .npy array"),
    (_lengthen, r"train_labels.npy is longer than its header says"),
    (_no_array, r"image/test_data.npy is not a complete .npy array"),
    (_archive, r"image/test_data.npy holds an archive"),
    (_flat_audio, r"audio/train_data.npy holds shape \(24, 12544\), expected \(N, 112, 112\)"),
    (_text, r"train_labels.npy holds <U\d+ values, expected unsigned integer or integer"),
    (_pickled, r"train_labels.npy is not a complete .npy array"),
    (_fractions, r"train_labels.npy holds float32 values"),
    (_ten, r"train_labels.npy holds the label 10 in row 17"),
    (_negative, r"train_labels.npy holds the label -1 in row 0"),
    (_gap, r"image/train_data.npy holds NaN or infinity in row 22"),
    (_swapped, r"audio/train_data.npy and audio/test_data.npy .* seem to be swapped"),
    (_fewer, r"audio/train_data.npy holds 23 rows .*, expected 24"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_damaged_files_are_refused_in_one_sentence_and_never_half_used(
    published: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    damage(published / "avmnist")

    with pytest.raises(DataInvalid, match=sentence) as caught:
        avmnist.load(published, avmnist.Options())

    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert [path.name for path in published.iterdir()] == ["avmnist"]


def test_every_missing_file_is_named_and_the_stand_in_does_not_step_in(published: Path) -> None:
    (published / "avmnist/image/test_data.npy").unlink()
    (published / "avmnist/train_labels.npy").unlink()

    with pytest.raises(DataMissing, match=r"lacks train_labels.npy, image/test_data.npy") as caught:
        avmnist.load(published, avmnist.Options())

    assert "mmfuse data get avmnist" in caught.value.hint


def test_real_data_that_is_asked_for_and_absent_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"lacks image/train_data.npy"):
        avmnist.load(tmp_path, avmnist.Options(source="real"))


def test_files_that_are_not_those_of_the_manifest_are_refused(stand_in_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(stand_in_root, root)
    _resave(_stand_in(root) / "train_labels.npy", lambda labels: np.roll(labels, 1))

    with pytest.raises(DataInvalid, match=r"train_labels.npy in .* changed since the manifest was written"):
        avmnist.load(root, SMALL)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "cannot be read"),
        ("[]", "is not a manifest"),
        ('{"format": 1}', "is not a manifest"),
        (
            '{"format": 1, "splits": {"train": 65000, "val": -5000, "test": 10000}, "generator": "x",'
            ' "stand_in": false, "files": {}, "facts": {}}',
            "splits of .*-5000",
        ),
        ('{"format": 2}', "has format 2, this mmfuse reads 1"),
    ],
)
def test_a_damaged_manifest_is_refused(published: Path, content: str, sentence: str) -> None:
    (published / "avmnist/manifest.json").write_text(content)

    with pytest.raises(DataInvalid, match=sentence):
        avmnist.load(published, avmnist.Options())


def test_status_tells_what_is_there_without_opening_it(published: Path, stand_in_root: Path, tmp_path: Path) -> None:
    real = avmnist.status(published)
    built = avmnist.status(stand_in_root, SMALL)
    nothing = avmnist.status(tmp_path / "nowhere")
    (published / "avmnist/train_labels.npy").unlink()
    half = avmnist.status(published)

    assert (real.source, real.built, dict(real.samples)) == ("real", True, {"train": 20, "val": 4, "test": 8})
    assert (built.source, built.built, built.samples["train"]) == ("stand-in", True, 300)
    assert (nothing.source, nothing.built, len(nothing.missing)) == ("stand-in", False, 6)
    assert (half.source, half.missing) == ("unusable", ("train_labels.npy",))
    assert "lacks train_labels.npy" in half.problem


def test_check_reads_content_that_loading_trusts_the_cache_for(stand_in_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(stand_in_root, root)
    avmnist.check(root, SMALL)
    path = _stand_in(root) / "audio/test_data.npy"
    cache = json.loads((path.parents[1] / ".hashes.json").read_text())
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    cache["audio/test_data.npy"]["mark"] = [path.stat().st_size, path.stat().st_mtime_ns]
    (path.parents[1] / ".hashes.json").write_text(json.dumps(cache))

    avmnist.load(root, SMALL)

    with pytest.raises(DataInvalid, match=r"audio/test_data.npy in .* changed"):
        avmnist.check(root, SMALL)


def _stand_in(root: Path) -> Path:
    (folder,) = (root / "avmnist-stand-in").glob("300-*")
    return folder
