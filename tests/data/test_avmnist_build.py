"""AV-MNIST from its sources: rows in order, nothing leaks between splits, the same bytes each time."""

import gzip
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile
from small_sources import write_esc50, write_fsdd, write_idx, write_mnist

from mmfuse.data import avmnist, avmnist_build, avmnist_files
from mmfuse.data.avmnist_build import Plan, build
from mmfuse.data.avmnist_inputs import list_esc50, list_fsdd, read_mnist, read_wav
from mmfuse.errors import BadSpec, DataInvalid, DataMissing, MmfuseError


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny MNIST (48 + 20), FSDD (3 speakers, 4 takes) and ESC-50 (4 classes)."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        "mnist": write_mnist(folder / "mnist"),
        "fsdd": write_fsdd(folder / "fsdd"),
        "esc50": write_esc50(folder / "esc50"),
    }


@pytest.fixture(scope="module")
def built(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AV-MNIST built from the tiny sources with one worker."""
    return build(tmp_path_factory.mktemp("built") / "avmnist", **sources)


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".hashes.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_same_sources_and_seed_give_the_same_bytes_with_any_number_of_workers(
    sources: dict[str, Path], built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(avmnist_build, "_CHUNK", 3)

    again = build(tmp_path / "avmnist", **sources, workers=4)

    assert _contents(again) == _contents(built)


def test_another_seed_gives_other_noise_and_the_same_images(
    sources: dict[str, Path], built: Path, tmp_path: Path
) -> None:
    other = _contents(build(tmp_path / "avmnist", **sources, plan=Plan(seed=1)))

    first = _contents(built)
    assert other["image/train_data.npy"] == first["image/train_data.npy"]
    assert other["audio/train_data.npy"] != first["audio/train_data.npy"]


def test_each_row_is_said_as_it_is_labelled(sources: dict[str, Path], built: Path) -> None:
    utterances = list_fsdd(sources["fsdd"])

    for part in ("train", "test"):
        pairs, labels = np.load(built / f"{part}_pairs.npy"), np.load(built / f"{part}_labels.npy")
        assert [utterances[row].digit for row in pairs[:, 0]] == labels.tolist()


def test_each_row_holds_the_sound_of_its_pair(sources: dict[str, Path], tmp_path: Path) -> None:
    quiet = build(tmp_path / "avmnist", **sources, plan=Plan(snr_db=200.0))
    utterances, pairs = list_fsdd(sources["fsdd"]), np.load(quiet / "train_pairs.npy")

    pictures = np.load(quiet / "audio/train_data.npy")

    for picture, (utterance, _) in zip(pictures, pairs, strict=True):
        clean = avmnist_build.spectrogram(read_wav(utterances[utterance].path)[None])[0]
        assert np.array_equal(picture, clean)


def test_labels_are_mnists_in_mnists_order(sources: dict[str, Path], built: Path) -> None:
    mnist = read_mnist(sources["mnist"])

    assert np.array_equal(np.load(built / "train_labels.npy"), mnist["train"][1])
    assert np.array_equal(np.load(built / "test_labels.npy"), mnist["test"][1])


def test_the_result_loads_and_validation_is_the_last_twelfth(built: Path) -> None:
    splits = avmnist.load(built.parent, avmnist.Options())

    assert (len(splits.train), len(splits.val), len(splits.open_test())) == (44, 4, 20)
    assert not splits.stand_in
    assert splits.provenance["generator"] == avmnist_build.VERSION


def test_the_image_basis_never_sees_validation_or_test(sources: dict[str, Path], built: Path, tmp_path: Path) -> None:
    changed = tmp_path / "mnist"
    shutil.copytree(sources["mnist"], changed)
    mnist = read_mnist(changed)
    images = mnist["train"][0].reshape(-1, 28, 28).copy()
    images[44:] = 255 - images[44:]
    write_idx(changed / "train-images-idx3-ubyte.gz", images)
    write_idx(changed / "t10k-images-idx3-ubyte.gz", 255 - mnist["test"][0].reshape(-1, 28, 28))

    other = build(tmp_path / "avmnist", **(sources | {"mnist": changed}))

    bases = [avmnist_files.read_manifest(folder).facts["basis_sha256"] for folder in (built, other)]
    rows = [np.load(folder / "image/train_data.npy")[:44] for folder in (built, other)]
    assert bases[0] == bases[1]
    assert np.array_equal(rows[0], rows[1])


def test_images_keep_the_asked_share_of_their_variance_and_their_mean(sources: dict[str, Path], built: Path) -> None:
    original = read_mnist(sources["mnist"])["train"][0][:44].astype(np.float64)

    kept = np.load(built / "image/train_data.npy")[:44].astype(np.float64)

    facts = avmnist_files.read_manifest(built).facts
    share = kept.var(axis=0).sum() / original.var(axis=0).sum()
    assert share == pytest.approx(facts["variance_kept"], abs=1e-3)
    assert share >= 0.25
    assert kept.mean(axis=0) == pytest.approx(original.mean(axis=0), abs=0.2)


@pytest.mark.parametrize("split_by", ["take", "speaker"])
def test_no_utterance_and_no_class_of_noise_is_in_two_splits(
    sources: dict[str, Path], tmp_path: Path, split_by: str
) -> None:
    folder = build(tmp_path / "avmnist", **sources, plan=Plan(split_by=split_by))

    pairs = np.load(folder / "train_pairs.npy")
    of = {"train": pairs[:44], "val": pairs[44:], "test": np.load(folder / "test_pairs.npy")}
    facts = avmnist_files.read_manifest(folder).facts
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not set(of[first][:, 0]) & set(of[second][:, 0])
        assert not set(of[first][:, 1]) & set(of[second][:, 1])
        assert not set(facts["noise_classes"][first]) & set(facts["noise_classes"][second])
        assert split_by == "take" or not set(facts["speakers"][first]) & set(facts["speakers"][second])


def test_pairing_is_round_robin_within_a_digit() -> None:
    labels = np.array([1, 0, 1, 1, 0, 1], dtype=np.uint8)
    digits = [0, 0, 1, 1, 1, 1]

    pairs = avmnist_build.pair(labels, digits, speech=[0, 2, 3, 4], noise=[7, 8])

    assert pairs[:, 0].tolist() == [2, 0, 3, 4, 0, 2]
    assert pairs[:, 1].tolist() == [7, 8, 7, 8, 7, 8]


def test_the_first_tenth_of_takes_is_for_test_as_fsdd_has_it(tmp_path: Path) -> None:
    utterances = list_fsdd(write_fsdd(tmp_path, speakers=("ann",), takes=50))

    split = avmnist_build.split_speech(utterances, by="take")

    assert sorted({utterances[row].take for row in split["test"]}) == [0, 1, 2, 3, 4]
    assert sorted({utterances[row].take for row in split["val"]}) == [5, 6, 7, 8, 9]


def test_the_manifest_names_every_file_by_hash(built: Path) -> None:
    manifest = avmnist_files.read_manifest(built)

    assert set(manifest.files) >= set(avmnist_files.names(built))
    assert avmnist_files.verified_hashes(avmnist_files.survey(built), fresh=True)


def test_progress_ends_at_the_total(sources: dict[str, Path], tmp_path: Path) -> None:
    told: list[tuple[float, float]] = []

    build(tmp_path / "avmnist", **sources, progress=lambda done, total, *, what: told.append((done, total)))

    assert told[-1] == (68, 68)


def test_what_is_there_is_never_overwritten(sources: dict[str, Path], built: Path) -> None:
    before = _contents(built)

    with pytest.raises(BadSpec, match="exists already"):
        build(built, **sources)

    assert _contents(built) == before


def _no_labels(sources: dict[str, Path]) -> None:
    (sources["mnist"] / "t10k-labels-idx1-ubyte.gz").unlink()


def _cut_gzip(sources: dict[str, Path]) -> None:
    path = sources["mnist"] / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-40])


def _cut_idx(sources: dict[str, Path]) -> None:
    path = sources["mnist"] / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-40]))


def _labels_for_images(sources: dict[str, Path]) -> None:
    shutil.copy(sources["mnist"] / "train-labels-idx1-ubyte.gz", sources["mnist"] / "train-images-idx3-ubyte.gz")


def _other_count(sources: dict[str, Path]) -> None:
    write_idx(sources["mnist"] / "train-labels-idx1-ubyte.gz", np.zeros(47))


def _letters(sources: dict[str, Path]) -> None:
    write_idx(sources["mnist"] / "train-labels-idx1-ubyte.gz", np.arange(48))


def _no_speech(sources: dict[str, Path]) -> None:
    for path in sources["fsdd"].glob("4_*.wav"):
        path.unlink()


def _cut_speech(sources: dict[str, Path]) -> None:
    path = sources["fsdd"] / "5_bob_1.wav"
    path.write_bytes(path.read_bytes()[:20])


def _empty_speech(sources: dict[str, Path]) -> None:
    wavfile.write(sources["fsdd"] / "5_bob_1.wav", 8000, np.zeros(0, dtype=np.int16))


def _two_takes(sources: dict[str, Path]) -> None:
    for path in [*sources["fsdd"].glob("*_2.wav"), *sources["fsdd"].glob("*_3.wav")]:
        path.unlink()


def _no_noise(sources: dict[str, Path]) -> None:
    shutil.rmtree(sources["esc50"])


def _two_kinds(sources: dict[str, Path]) -> None:
    for path in [*sources["esc50"].rglob("*-2.wav"), *sources["esc50"].rglob("*-3.wav")]:
        path.unlink()


FAULTS: list[tuple[Callable[[dict[str, Path]], None], type[MmfuseError], str]] = [
    (_no_labels, DataMissing, "lacks t10k-labels-idx1-ubyte.gz"),
    (_cut_gzip, DataInvalid, "train-images-idx3-ubyte.gz is not a complete gzip file"),
    (_cut_idx, DataInvalid, r"holds 37,592 bytes, its header promises 37,632"),
    (_labels_for_images, DataInvalid, "is not an IDX file of bytes with 3 axes"),
    (_other_count, DataInvalid, "48 images but .* 47 labels"),
    (_letters, DataInvalid, "holds no labels from 0 to 9"),
    (_no_speech, DataMissing, "of digit 4"),
    (_cut_speech, DataInvalid, "5_bob_1.wav is not a complete WAV file"),
    (_empty_speech, DataInvalid, "5_bob_1.wav holds no samples"),
    (_two_takes, DataMissing, "too few recordings to split by take: train has none of digit 0, 1"),
    (_no_noise, DataMissing, "holds no recording like 1-100032-A-0.wav"),
    (_two_kinds, DataMissing, "noise of 2 classes cannot be split in three"),
]


@pytest.mark.parametrize(("fault", "kind", "sentence"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_faulty_source_is_named_and_no_half_dataset_is_left(
    sources: dict[str, Path],
    tmp_path: Path,
    fault: Callable[[dict[str, Path]], None],
    kind: type[MmfuseError],
    sentence: str,
) -> None:
    copies = {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in sources.items()}
    fault(copies)

    with pytest.raises(kind, match=sentence) as caught:
        build(tmp_path / "data" / "avmnist", **copies)

    assert "\n" not in caught.value.message
    assert not (tmp_path / "data" / "avmnist").exists()


def test_recordings_come_at_8_khz_in_one_channel_from_minus_1_to_1(sources: dict[str, Path]) -> None:
    noise = read_wav(list_esc50(sources["esc50"])[0].path)

    assert noise.shape == (4000,)
    assert np.abs(noise).max() < 1


def test_bytes_and_floats_are_recordings_too(tmp_path: Path) -> None:
    tone = np.sin(np.arange(800) / 3)
    wavfile.write(tmp_path / "float.wav", 8000, tone.astype(np.float32))
    wavfile.write(tmp_path / "byte.wav", 8000, np.rint(tone * 127 + 128).astype(np.uint8))

    assert read_wav(tmp_path / "byte.wav") == pytest.approx(read_wav(tmp_path / "float.wav"), abs=0.02)


@pytest.mark.parametrize("kept", [44, 45, 1043, -1])
def test_a_recording_that_was_cut_off_is_refused_and_not_half_used(tmp_path: Path, kept: int) -> None:
    wavfile.write(tmp_path / "whole.wav", 8000, np.arange(1000, dtype=np.int16))
    (tmp_path / "cut.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:kept])

    with pytest.raises(DataInvalid, match=r"cut.wav is cut off: [\d,]+ bytes of its samples are missing"):
        read_wav(tmp_path / "cut.wav")
    assert len(read_wav(tmp_path / "whole.wav")) == 1000


def test_a_recording_of_no_channels_is_refused(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "odd.wav", 8000, np.arange(1000, dtype=np.int16))
    content = bytearray((tmp_path / "odd.wav").read_bytes())
    content[22:24] = bytes(2)
    (tmp_path / "odd.wav").write_bytes(content)

    with pytest.raises(DataInvalid, match="not a complete WAV file"):
        read_wav(tmp_path / "odd.wav")


def test_chunks_beside_the_samples_make_no_remarks(sources: dict[str, Path], tmp_path: Path) -> None:
    speech = shutil.copytree(sources["fsdd"], tmp_path / "fsdd")
    for path in speech.glob("5_*.wav"):
        content = path.read_bytes()
        path.write_bytes(content[:36] + b"note" + bytes([4, 0, 0, 0]) + b"take" + content[36:])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(tmp_path / "made", **(sources | {"fsdd": speech}))
