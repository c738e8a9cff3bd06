"""MM-IMDB's file: what is read from it, what is made of it, and the sentence for each way in which it can be wrong."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import film_files
import h5py
import numpy as np
import pytest
import torch
from loopback import Site, serving

from mmfuse.data import mm_imdb, mm_imdb_staged
from mmfuse.errors import DataInvalid, DataMissing, MmfuseError
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_parameters
from mmfuse.spec import resolve_search, resolve_train, task_of

Options = mm_imdb.Options


@pytest.fixture
def films() -> dict[str, Any]:
    return film_files.content()


@pytest.fixture
def root(tmp_path: Path, films: dict[str, Any]) -> Path:
    film_files.write(tmp_path, films)
    return tmp_path


def load(root: Path, **options: Any) -> Any:
    return mm_imdb.load(root, Options(**options))


def test_splits_and_genre_names_are_those_of_the_file(root: Path, films: dict[str, Any]) -> None:
    splits = load(root)

    test = splits.open_test()
    assert (splits.train.ids.tolist(), splits.val.ids.tolist()) == (list(range(24)), list(range(24, 34)))
    assert test.ids.tolist() == list(range(34, 48))
    assert np.array_equal(test.target.numpy(), films["genres"][34:])
    assert splits.task.classes == tuple(film_files.NAMES)
    assert (splits.stand_in, splits.label) == (False, "mm_imdb")


def test_posters_come_back_as_rgb_but_for_the_decimals_that_were_cut_off(root: Path, films: dict[str, Any]) -> None:
    splits = load(root, image_height=20, image_width=12, scaling="none")

    restored = splits.train.all().inputs["image"].numpy()

    assert np.abs(restored - films["rgb"][:24]).max() <= 1
    assert np.abs(restored - films["rgb"][:24]).mean() < 0.5


def test_posters_are_reduced_to_the_wanted_size(root: Path, films: dict[str, Any]) -> None:
    splits = load(root, image_height=10, image_width=8, scaling="none")

    reduced = splits.train.batch(torch.tensor([3])).inputs["image"]

    assert reduced.shape == (1, 3, 10, 8)
    assert reduced.mean() == pytest.approx(films["rgb"][3].mean(), abs=2)


def test_posters_are_reduced_once_and_again_only_when_the_file_changes(root: Path, films: dict[str, Any]) -> None:
    first = load(root).fingerprint
    folder = root / "mm_imdb" / "staged"
    (before,) = folder.glob("posters-*")
    moment = (before / "values.npy").stat().st_mtime_ns

    again = load(root).fingerprint
    unchanged = (before / "values.npy").stat().st_mtime_ns
    films["images"] = films["images"][::-1]
    film_files.write(root, films)
    os.utime(root / "mm_imdb" / "multimodal_imdb.hdf5", (1, 1))
    changed = load(root).fingerprint

    (after,) = folder.glob("posters-*")
    assert (first, moment) == (again, unchanged)
    assert changed != first
    assert after != before


def test_a_copy_of_the_file_elsewhere_has_the_same_fingerprint(root: Path, tmp_path: Path) -> None:
    film_files.write(tmp_path / "elsewhere", film_files.content())

    assert load(root).fingerprint == load(tmp_path / "elsewhere").fingerprint


def test_keys_that_are_not_used_do_not_change_the_fingerprint(root: Path) -> None:
    before = load(root).fingerprint
    with h5py.File(root / "mm_imdb" / "multimodal_imdb.hdf5", "r+") as file:
        file["embeddings"] = np.zeros((48, 4, 768), dtype=np.float64)
        file["vgg_features"][0] = 7.0

    assert load(root).fingerprint == before
    assert load(root, image="vgg").fingerprint != before


@pytest.mark.parametrize(
    "options",
    [
        {"image": "vgg"},
        {"text": "pnlp"},
        {"text": "pnlp", "text_length": 5},
        {"scaling": "none"},
        {"scaling": "imagenet"},
        {"image_height": 32},
        {"threshold": 0.3},
        {"limit": 10},
    ],
)
def test_whatever_is_done_to_the_data_is_part_of_the_fingerprint(root: Path, options: dict[str, Any]) -> None:
    assert load(root, **options).fingerprint != load(root).fingerprint


def test_no_option_of_another_representation_is(root: Path) -> None:
    assert load(root, text_length=9, hash_features=32).fingerprint == load(root).fingerprint


def test_a_plot_without_known_words_is_a_zero_vector(root: Path, films: dict[str, Any]) -> None:
    films["features"][5] = np.nan
    film_files.write(root, films)

    text = load(root, scaling="none").train.all().inputs["text"]

    assert text[5].eq(0).all()
    assert torch.equal(text[6], torch.from_numpy(films["features"][6]))


def test_vgg_features_are_scaled_by_training_rows_alone(root: Path, films: dict[str, Any]) -> None:
    before = load(root, image="vgg").train.scales["image"]
    films["vgg_features"][24:] += 1e4
    film_files.write(root, films)

    after = load(root, image="vgg").train.scales["image"]

    assert torch.equal(before.mean, after.mean)
    assert torch.equal(before.std, after.std)


def test_imagenets_scaling_is_for_pixels_and_leaves_vectors_raw(root: Path, films: dict[str, Any]) -> None:
    batch = load(root, scaling="imagenet", image_height=20, image_width=12).train.all().inputs

    red = (films["rgb"][:24, 0] / 255 - 0.485) / 0.229
    assert np.abs(batch["image"][:, 0].numpy() - red).max() < 0.02
    assert torch.equal(batch["text"], torch.from_numpy(films["features"][:24]))


def test_hashed_words_are_looked_up_when_a_batch_is_made(root: Path, films: dict[str, Any]) -> None:
    from mmfuse.data.hashed_words import hash_words

    split = load(root, text="pnlp", text_length=4, hash_features=32).train

    table = hash_words(film_files.WORDS, features=32)
    plot = films["sequences"][1]  # three words
    (looked_up,) = split.batch(torch.tensor([1])).inputs["text"]
    assert split.inputs["text"].shape == (24, 4)
    assert np.array_equal(looked_up[:3].numpy(), table[plot])
    assert looked_up[3].eq(0).all()
    everything = split.all().inputs["text"]
    for other in (split.materialise(), split.to("cpu"), split.take(torch.arange(24))):
        assert torch.equal(other.all().inputs["text"], everything)


def test_token_vectors_are_cut_and_filled_to_the_wanted_length(root: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((48, 6, 768))
    with h5py.File(root / "mm_imdb" / "multimodal_imdb.hdf5", "r+") as file:
        file["embeddings"] = vectors

    short, long = (load(root, text="bert", text_length=length).train.all().inputs["text"] for length in (4, 9))

    assert (short.shape, long.shape) == ((24, 4, 768), (24, 9, 768))
    assert np.abs(short.numpy() - vectors[:24, :4]).max() < 4e-3
    assert torch.equal(long[:, :4], short)
    assert long[:, 6:].eq(0).all()


def test_a_limited_number_of_rows_is_a_random_choice_in_stored_order(root: Path) -> None:
    ids = load(root, limit=12).train.ids.tolist()

    assert len(ids) == 12
    assert ids == sorted(set(ids)) != list(range(12))
    assert ids == load(root, limit=12).train.ids.tolist()


def test_posters_are_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    """Peak memory while 61 MB of posters are reduced stays below what a copy of them would take."""
    films = film_files.content()
    with h5py.File(film_files.write(tmp_path, films), "r+") as file:
        del file["images"]
        file.create_dataset("images", (48, 3, 512, 208), "int32", fillvalue=7)
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "import torch.nn.functional\n"
        "from mmfuse.data import mm_imdb, mm_imdb_staged\n"
        "from mmfuse.data.mm_imdb_files import survey\n"
        "mm_imdb_staged._BLOCK_BYTES = 1 << 21\n"
        "surveyed = survey(Path(sys.argv[1]) / 'mm_imdb' / 'multimodal_imdb.hdf5')\n"
        "mm_imdb_staged._resized(__import__('numpy').zeros((1, 3, 512, 208), dtype='uint8'), 16, 16)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "mm_imdb_staged.posters(surveyed, height=16, width=16)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )

    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)

    assert int(done.stdout) < 40_000  # kilobytes


Change = Callable[[h5py.File], None]


def _delete(name: str) -> Change:
    return lambda file: file.__delitem__(name)


def _replace(name: str, values: Any) -> Change:
    def change(file: h5py.File) -> None:
        names = file[name].attrs.get("target_names")
        del file[name]
        file[name] = values
        if names is not None:
            file[name].attrs["target_names"] = names

    return change


def _set(name: str, row: int, value: Any) -> Change:
    return lambda file: file[name].__setitem__(row, value)


def _splits(**changes: tuple[int, int]) -> Change:
    parts = film_files.SPLITS | changes
    return lambda file: file.attrs.__setitem__("split", film_files.fuel_splits(parts, sorted(file)))


WRONG: list[tuple[Change, dict[str, Any], type[MmfuseError], str]] = [
    (_delete("images"), {}, DataMissing, "has no key 'images'; it has features, genres"),
    (_delete("vgg_features"), {"image": "vgg"}, DataMissing, "has no key 'vgg_features'"),
    (_delete("sequences"), {"text": "pnlp"}, DataMissing, "has no key 'sequences'"),
    (lambda file: None, {"text": "bert"}, DataMissing, "has no key 'embeddings'"),
    (_delete("genres"), {}, DataMissing, "has no key 'genres'"),
    (_replace("images", np.zeros((48, 20, 12, 3), "i4")), {}, DataInvalid, r"\(48, 20, 12, 3\), expected \(N, 3, any"),
    (_replace("images", np.zeros((48, 3, 20), "i4")), {}, DataInvalid, r"images holds int32 of shape \(48, 3, 20\)"),
    (_replace("images", np.zeros((48, 3, 20, 12))), {}, DataInvalid, "images holds float64"),
    (_replace("features", np.zeros((48, 100))), {}, DataInvalid, r"features .*\(48, 100\), expected \(N, 300\)"),
    (_replace("features", np.zeros((47, 300))), {}, DataInvalid, "features has 47 rows, genres 48"),
    (_replace("genres", np.ones((48, 22), "i4")), {}, DataInvalid, r"genres .*\(48, 22\)"),
    (_set("genres", 3, 2), {}, DataInvalid, "genres of row 3 are not 0 and 1"),
    (_set("genres", 4, 0), {}, DataInvalid, "row 4 has no genre"),
    (_set("vgg_features", 7, np.inf), {"image": "vgg"}, DataInvalid, "vgg_features holds NaN or infinity in row 7"),
    (_set("features", 8, np.inf), {}, DataInvalid, "features holds NaN or infinity in row 8"),
    (_set("sequences", 2, [99]), {"text": "pnlp"}, DataInvalid, "uses word 99, .* has 7 words"),
    (_splits(dev=(20, 34)), {}, DataInvalid, "its splits are train 0 to 24, val 20 to 34"),
    (_splits(test=(34, 60)), {}, DataInvalid, "test 34 to 60, of 48 films"),
    (_splits(dev=(24, 24)), {}, DataInvalid, "val 24 to 24"),
    (lambda file: file.attrs.__delitem__("split"), {}, DataInvalid, "no attribute 'split' and 48 films, not 25,959"),
    (lambda file: file.attrs.__setitem__("split", 3), {}, DataInvalid, "names no train, dev and test rows"),
    (lambda file: file["genres"].attrs.__setitem__("target_names", "[1]"), {}, DataInvalid, "not a list of 23 names"),
    (lambda file: file["genres"].attrs.__delitem__("target_names"), {}, DataInvalid, "no list of names"),
]


@pytest.mark.parametrize(("change", "options", "kind", "sentence"), WRONG, ids=[case[3] for case in WRONG])
def test_whatever_is_wrong_with_the_file_is_told_in_a_sentence(
    root: Path, change: Change, options: dict[str, Any], kind: type[MmfuseError], sentence: str
) -> None:
    with h5py.File(root / "mm_imdb" / "multimodal_imdb.hdf5", "r+") as file:
        change(file)

    with pytest.raises(kind, match=sentence) as caught:
        load(root, **options)
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_damaged_and_not_mistaken_for_the_stand_in(root: Path, keep: float) -> None:
    path = root / "mm_imdb" / "multimodal_imdb.hdf5"
    size = path.stat().st_size
    os.truncate(path, int(keep * size) if 0 < keep < 1 else int(keep))

    with pytest.raises(DataInvalid, match="is damaged or incomplete"):
        load(root)
    status = mm_imdb.status(root)
    assert (status.source, "damaged" in status.problem) == ("unusable", True)


def test_vocabularies_that_are_none_are_refused_without_running_them(root: Path) -> None:
    path = root / "mm_imdb" / "metadata.npy"
    whole = path.read_bytes()

    for content, sentence in (
        (whole[:-20], "not a complete pickle"),
        (whole[:5], "not a complete .npy file"),
        (b"", "not a complete .npy file"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataInvalid, match=sentence):
            load(root, text="pnlp")
    np.save(path, np.arange(3))
    with pytest.raises(DataInvalid, match="holds an array of int64"):
        load(root, text="pnlp")
    np.save(path, np.array({"ix_to_word": {1: "one"}}, dtype=object))
    with pytest.raises(DataInvalid, match="no numbered list of words"):
        load(root, text="pnlp")
    path.unlink()
    with pytest.raises(DataMissing, match="need the vocabulary"):
        load(root, text="pnlp")
    assert load(root).train is not None


def test_a_film_that_is_there_twice_is_found_by_the_check(root: Path, films: dict[str, Any]) -> None:
    mm_imdb.check(root)
    films["imdb_ids"][9] = films["imdb_ids"][40]
    film_files.write(root, films)

    with pytest.raises(DataInvalid, match="holds the film 0028259 2 times"):
        mm_imdb.check(root)


def test_reduced_posters_that_changed_are_found_by_the_check(root: Path) -> None:
    load(root)
    (values,) = (root / "mm_imdb" / "staged").glob("posters-*/values.npy")
    content = bytearray(values.read_bytes())
    content[-1] ^= 1
    values.write_bytes(content)

    with pytest.raises(DataInvalid, match="changed since it was made"):
        mm_imdb.check(root)


def test_the_real_file_is_wanted_and_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="is not there") as caught:
        load(tmp_path, source="real")
    assert "mmfuse data get mm_imdb" in caught.value.hint
    assert mm_imdb.status(tmp_path, Options(source="real")).source == "unusable"
    assert mm_imdb.status(tmp_path).missing == ("multimodal_imdb.hdf5", "metadata.npy")


def test_get_fetches_file_and_vocabulary_and_goes_on_where_it_broke(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("multimodal_imdb.hdf5", "metadata.npy")
    whole = {f"/mmimdb/{name}": (root / "mm_imdb" / name).read_bytes() for name in names}
    with serving(Site(whole)) as site:
        site.breaks = [10**6, 50_000]
        monkeypatch.setenv("MMFUSE_MM_IMDB_URL", f"{site.address}/mmimdb/")

        folder = mm_imdb.prepare(tmp_path / "new")

    assert [request[1] for request in site.requests] == [None, None, "bytes=50000-"]
    assert load(tmp_path / "new").fingerprint == load(root).fingerprint
    assert mm_imdb.status(tmp_path / "new").samples == {"train": 24, "val": 10, "test": 14}
    assert folder == tmp_path / "new" / "mm_imdb"


def test_what_is_fetched_and_no_film_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Site({"/multimodal_imdb.hdf5": b"<html>", "/metadata.npy": b"x"})) as site:
        monkeypatch.setenv("MMFUSE_MM_IMDB_URL", site.address)
        with pytest.raises(DataInvalid, match="is damaged or incomplete"):
            mm_imdb.prepare(tmp_path)


def test_the_published_address_is_the_authors_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMFUSE_MM_IMDB_URL", raising=False)

    assert mm_imdb.files.address() == "https://archive.org/download/mmimdb"


@pytest.mark.parametrize(
    ("preset", "count"), [("mm_imdb", 16_484_997), ("mm_imdb_pnlp", 12_263_301), ("mm_imdb_small", 135_727)]
)
def test_a_preset_of_m2_mixer_brings_the_representations_it_was_made_for(preset: str, count: int) -> None:
    spec = resolve_train("m2_mixer", "mm_imdb", preset=preset)

    with torch.device("meta"):
        model = build_model(spec.architecture, task_of("mm_imdb", spec.data))

    assert count_parameters(model) == count


def test_a_choice_of_data_reaches_the_checks_before_a_process_starts() -> None:
    with pytest.raises(MmfuseError, match="vgg halves its input 5 times, and image of mm_imdb has shape"):
        resolve_search("mfas", "mm_imdb", settings=["data.image=vgg"])

    flat = resolve_search(
        "mfas", "mm_imdb", settings=["data.image=vgg", "benchmark.backbones.image.family=maxout_text"]
    )
    words = resolve_search("mixmas", "mm_imdb", settings=["data.text=pnlp", 'space.blocks=["mlp","pnlp"]'])

    assert flat.data["image"] == "vgg"
    assert words.data["text"] == "pnlp"


def test_the_size_of_blocks_changes_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film_files.write(tmp_path / "again", film_files.content())
    whole = load(root, image_height=9).train

    monkeypatch.setattr(mm_imdb_staged, "_BLOCK_BYTES", 7 * 3 * 20 * 12 * 4)
    pieces = load(tmp_path / "again", image_height=9).train

    assert torch.equal(whole.inputs["image"], pieces.inputs["image"])
    assert torch.equal(whole.scales["image"].std, pieces.scales["image"].std)


def test_a_feature_that_never_varies_is_not_blown_up(root: Path, films: dict[str, Any]) -> None:
    films["vgg_features"][:, 5] = 0.7
    films["vgg_features"][:24, 6] = 0.0
    film_files.write(root, films)

    image = load(root, image="vgg").val.all().inputs["image"]

    assert image[:, 5].abs().max() < 1e-5
    assert torch.equal(image[:, 6], torch.from_numpy(films["vgg_features"][24:34, 6]))
