"""The stand-in for MM-IMDB: the published format, neither modality enough, and a mood by which posters find plots."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score

from mmfuse.data import mm_imdb, mm_imdb_standin
from mmfuse.data.mm_imdb_standin import FREQUENCIES, Films, Recipe, World, invent


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "films"
    return mm_imdb_standin.ensure(folder, Recipe(train=600, val=100, test=200, seed=0)) / "multimodal_imdb.hdf5"


def test_it_has_the_published_keys_types_and_attributes(file: Path) -> None:
    with h5py.File(file) as films:
        found = {name: (films[name].dtype.kind, films[name].shape[1:]) for name in films}
        splits = {(entry["split"], entry["source"]): (entry["start"], entry["stop"]) for entry in films.attrs["split"]}

    assert found == {
        "features": ("f", (300,)),
        "vgg_features": ("f", (4096,)),
        "images": ("i", (3, 64, 40)),
        "genres": ("i", (23,)),
        "imdb_ids": ("S", ()),
        "sequences": ("O", ()),
        "embeddings": ("f", (28, 768)),
    }
    assert [splits[name, b"images"] for name in (b"train", b"dev", b"test")] == [(0, 600), (600, 700), (700, 900)]


def test_genres_are_as_frequent_as_in_the_published_file() -> None:
    genres = invent(20_000, np.random.default_rng(0)).genres

    published = np.array(list(FREQUENCIES.values())) / 25_959
    assert np.abs(genres.mean(axis=0) - published).max() < 0.04
    assert genres.any(axis=1).all()
    assert genres[:, -1].mean() < genres[:, 0].mean() / 20


def test_rows_are_grouped_by_genre_rarest_first_as_published() -> None:
    genres = invent(500, np.random.default_rng(0)).genres

    rarest = 22 - genres[:, ::-1].argmax(axis=1)

    assert rarest.tolist() == sorted(rarest, reverse=True)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_films(tmp_path: Path) -> None:
    def make(name: str, seed: int) -> dict[str, NDArray[np.generic]]:
        folder = mm_imdb_standin.ensure(tmp_path / name, Recipe(train=20, val=5, test=5, seed=seed))
        with h5py.File(folder / "multimodal_imdb.hdf5") as films:
            return {key: films[key][()] for key in films if key != "sequences"}

    one, again, other = make("one", 3), make("again", 3), make("other", 4)

    assert all(np.array_equal(one[key], again[key]) for key in one)
    assert not any(np.array_equal(one[key], other[key]) for key in one if key != "imdb_ids")


def test_a_stand_in_is_known_as_one_wherever_it_is_put(file: Path, tmp_path: Path) -> None:
    (tmp_path / "mm_imdb").mkdir()
    for name in ("multimodal_imdb.hdf5", "metadata.npy"):
        (tmp_path / "mm_imdb" / name).write_bytes(file.with_name(name).read_bytes())

    splits = mm_imdb.load(tmp_path, mm_imdb.Options(image="vgg"))

    assert splits.label == "mm_imdb (stand-in)"


def test_word_vectors_are_the_mean_of_the_plots_words(file: Path) -> None:
    world = World(0)
    with h5py.File(file) as films:
        plot, vector = films["sequences"][5], films["features"][5]

    assert vector == pytest.approx(world.vectors[plot - 1].mean(axis=0), abs=1e-6)
    assert 10 <= len(plot) <= 28


def _seen(file: Path) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int32]]:
    """What a linear model sees of each film: the plot's mean word vector, and the poster, coarse."""
    with h5py.File(file) as films:
        pixels, text, genres = films["images"][()], films["features"][()], films["genres"][()]
    coarse = pixels.reshape(len(pixels), 3, 32, 2, 20, 2).mean((3, 5)).reshape(len(pixels), -1) / 60.0
    return {"image": coarse, "text": 3.0 * text.astype(np.float64)}, genres


def test_fusion_pays_over_the_better_modality_even_for_a_linear_model(file: Path) -> None:
    seen, genres = _seen(file)
    seen["both"] = np.concatenate([seen["image"], seen["text"]], axis=1)
    scores = {}
    for name, values in seen.items():
        values = (values - values[:600].mean(axis=0)) / values[:600].std(axis=0)
        guessed = Ridge(0.3 * values.shape[1]).fit(values[:600], genres[:600]).predict(values[700:])
        scores[name] = average_precision_score(genres[700:], guessed, average="weighted")

    chance = float(np.average(genres[700:].mean(axis=0), weights=genres[700:].sum(axis=0)))
    assert min(scores["image"], scores["text"]) > 1.8 * chance
    assert scores["both"] > max(scores["image"], scores["text"]) + 0.1


def test_posters_can_be_matched_to_their_plots_and_by_the_mood_alone(file: Path) -> None:
    seen, _ = _seen(file)
    train, val = slice(0, 600), slice(600, 900)
    guessed = Ridge(30.0).fit(seen["text"][train], seen["image"][train]).predict(seen["text"][val])
    true = seen["image"][val] - seen["image"][train].mean(axis=0)
    guessed -= seen["image"][train].mean(axis=0)
    alike = (guessed / np.linalg.norm(guessed, axis=1, keepdims=True)) @ (
        true / np.linalg.norm(true, axis=1, keepdims=True)
    ).T

    place = (alike > np.diag(alike)[:, None]).sum(axis=1)

    assert (place < 10).mean() > 5 * 10 / 300
    assert np.median(place) < 300 / 6


def test_some_plots_and_other_posters_say_little() -> None:
    films: Films = invent(3000, np.random.default_rng(1))

    quiet_plot = films.in_plot.sum(axis=1) < 0.2 * films.genres.sum(axis=1)
    quiet_poster = films.on_poster.sum(axis=1) < 0.2 * films.genres.sum(axis=1)

    assert 0.25 < quiet_plot.mean() < 0.5
    assert 0.25 < quiet_poster.mean() < 0.5
    assert (quiet_plot & quiet_poster).mean() < 0.2
