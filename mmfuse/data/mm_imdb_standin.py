"""The stand-in for MM-IMDB: invented films in the published file format, whose genres neither poster nor plot tells.

Every film has genres, drawn with the published frequencies (Drama half of all, Film-Noir one in eighty), and a hidden
*mood*, twelve numbers that poster and plot share and that no other film has: by it a poster can be matched to its plot.

- *Plot*: ten to twenty-eight invented words. Each genre and each direction of the mood has words of its own; the rest
  is filler. The mean of the words' vectors is ``features``, the vector of each word in its place ``embeddings``.
- *Poster*: the mood is background colour and gradients; each genre is a grating of its own direction, width and colour
  with a somewhat random phase; gratings of wrong genres are mixed in. What a poster shows of genres and mood, through a
  random layer with ReLU, is ``vgg_features``; no VGG has seen it.

A third of the genres shows mostly in plots, a third mostly on posters. A third of the plots and, independently, a third
of the posters say little about any genre, so the other modality has to. Rows of a split are grouped by genre, rarest
first, as in the published file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mmfuse.data import mm_imdb_files as files
from mmfuse.data.progress import Progress, silent
from mmfuse.data.staging import staged

VERSION = 1
FREQUENCIES = {
    "Drama": 13967, "Comedy": 8592, "Romance": 5364, "Thriller": 5192, "Crime": 3838, "Action": 3550,
    "Adventure": 2710, "Horror": 2703, "Documentary": 2082, "Mystery": 2057, "Sci-Fi": 1991, "Fantasy": 1933,
    "Family": 1668, "Biography": 1343, "War": 1335, "History": 1143, "Music": 1045, "Animation": 997,
    "Musical": 841, "Western": 705, "Sport": 634, "Short": 471, "Film-Noir": 338,
}  # fmt: skip
"""Films of each genre among the 25,959 of the published file."""

GENRES = len(FREQUENCIES)
MOOD = 12
HEIGHT, WIDTH = 64, 40
"""Size of the stand-in's posters: a quarter of the published 256 x 160."""
LONGEST = 28
_FILLER_WORDS, _GENRE_WORDS, _MOOD_WORDS = 400, 20, 6
_VOWELS, _CONSONANTS = "aeiou", "bdfgklmnprstvz"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """Films of each split, and the seed of everything."""

    train: int
    val: int
    test: int
    seed: int

    @property
    def folder(self) -> str:
        """A folder name that stands for the recipe."""
        return f"v{VERSION}-{self.train}-{self.val}-{self.test}-seed{self.seed}"

    @property
    def splits(self) -> dict[str, range]:
        """Rows of each split."""
        return {
            "train": range(self.train),
            "val": range(self.train, self.train + self.val),
            "test": range(self.train + self.val, self.train + self.val + self.test),
        }


@dataclass(frozen=True)
class Films:
    """N invented films: genres (N, 23), mood (N, 12), and how much of each genre plot and poster show (N, 23)."""

    genres: NDArray[np.bool_]
    mood: Floats
    in_plot: Floats
    on_poster: Floats


def ensure(folder: Path, recipe: Recipe, *, progress: Progress = silent) -> Path:
    """The folder with the stand-in's two files, made now if it is not there.

    Raises:
        DataMissing: when it cannot be written.
    """
    if not folder.is_dir():
        with staged(folder) as work:
            if work is not None:
                progress(0, 1, what="making the stand-in of MM-IMDB")
                _write(work, recipe)
    return folder


def invent(count: int, rng: np.random.Generator) -> Films:
    """Films of one split, grouped by their rarest genre, rarest first."""
    shares = np.array(list(FREQUENCIES.values())) / 25_959
    genres = rng.random((count, GENRES)) < shares
    without = np.flatnonzero(~genres.any(axis=1))
    genres[without, rng.choice(GENRES, len(without), p=shares / shares.sum())] = True
    rarest = GENRES - 1 - genres[:, ::-1].argmax(axis=1)
    genres = genres[np.argsort(-rarest, kind="stable")]
    telling_plot, telling_poster = (np.where(rng.random((count, 1)) < 1 / 3, 0.15, 1.0) for _ in range(2))
    kind = np.arange(GENRES) % 3
    plot_share, poster_share = np.array([1.0, 0.2, 0.7])[kind], np.array([0.2, 1.0, 0.7])[kind]
    loudness = rng.uniform(0.5, 1.0, (2, count, GENRES))
    return Films(
        genres,
        rng.standard_normal((count, MOOD)),
        genres * plot_share * telling_plot * loudness[0],
        genres * poster_share * telling_poster * loudness[1],
    )


class World:
    """What all films of one seed share: the language, the look of genres, and the layer behind the VGG features."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 0])
        self.words = _invent_words(rng, GENRES * _GENRE_WORDS + 2 * MOOD * _MOOD_WORDS + _FILLER_WORDS)
        topics = np.concatenate([rng.standard_normal((GENRES, 300)), rng.standard_normal((2 * MOOD, 300))])
        topic_of = np.repeat(np.arange(len(topics)), [_GENRE_WORDS] * GENRES + [_MOOD_WORDS] * 2 * MOOD)
        vectors = rng.standard_normal((len(self.words), 300))
        vectors[: len(topic_of)] += topics[topic_of]
        self.vectors = 0.1 * vectors
        self.to_bert = rng.standard_normal((300, 768)) / np.sqrt(30.0)
        self.to_vgg = rng.standard_normal((GENRES + MOOD, 4096)) / np.sqrt(GENRES + MOOD)
        angle, cycles = rng.uniform(0, np.pi, GENRES), rng.uniform(3.0, 9.0, GENRES) / WIDTH
        y, x = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
        along = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
        self.gratings = 2 * np.pi * cycles[:, None, None] * along
        colours = rng.standard_normal((GENRES, 3))
        self.colours = colours / np.linalg.norm(colours, axis=1, keepdims=True)
        self.phases = rng.uniform(0, 2 * np.pi, GENRES)
        self.backgrounds = rng.standard_normal((MOOD, 3, 3)) / np.sqrt(MOOD)

    def plots(self, films: Films, rng: np.random.Generator) -> list[NDArray[np.int32]]:
        """Word numbers of each film's plot."""
        count = len(films.genres)
        shown = films.in_plot.sum(axis=1, keepdims=True)
        talk = np.array([0.5, 0.25]) * np.concatenate([np.minimum(shown, 1.0), np.ones((count, 1))], axis=1)
        kind = (rng.random((count, LONGEST, 1)) >= talk.cumsum(axis=1)[:, None]).sum(axis=2)
        genre = _draw(films.in_plot + 0.02, LONGEST, rng)
        direction = _draw(np.abs(films.mood) ** 2, LONGEST, rng)
        pole = 2 * direction + (np.take_along_axis(films.mood, direction, axis=1) > 0)
        first_mood = GENRES * _GENRE_WORDS
        first_filler = first_mood + 2 * MOOD * _MOOD_WORDS
        words = np.choose(
            kind,
            [
                genre * _GENRE_WORDS + rng.integers(_GENRE_WORDS, size=genre.shape),
                first_mood + pole * _MOOD_WORDS + rng.integers(_MOOD_WORDS, size=genre.shape),
                first_filler + rng.integers(_FILLER_WORDS, size=genre.shape),
            ],
        )
        lengths = rng.integers(10, LONGEST + 1, count)
        # Number 0 is the published vocabulary's unknown word.
        return [(plot[:length] + 1).astype(np.int32) for plot, length in zip(words, lengths, strict=True)]

    def shown(self, films: Films, rng: np.random.Generator) -> Floats:
        """How strongly each grating is drawn (N, 23): what the poster shows, and traces of what it does not."""
        traces = rng.random(films.genres.shape) ** 4
        return np.asarray(np.maximum(films.on_poster, 0.4 * traces))

    def posters(self, films: Films, shown: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
        """(N, 3, 64, 40) in RGB."""
        count = len(films.genres)
        phase = self.phases + rng.uniform(-0.8, 0.8, (count, GENRES))
        picture = np.full((count, 3, HEIGHT * WIDTH), 128.0)
        waves = self.gratings.reshape(GENRES, -1)
        for colour in range(3):
            strength = 60.0 * shown * self.colours[:, colour]
            picture[:, colour] += (strength * np.cos(phase)) @ np.cos(waves) - (strength * np.sin(phase)) @ np.sin(
                waves
            )
        y, x = np.linspace(-1, 1, HEIGHT), np.linspace(-1, 1, WIDTH)
        slopes = np.stack([np.ones((HEIGHT, WIDTH)), *np.meshgrid(y, x, indexing="ij")]).reshape(3, -1)
        picture += 25.0 * np.einsum("nm,mcs,sp->ncp", films.mood, self.backgrounds, slopes, optimize=True)
        picture += 8.0 * rng.standard_normal(picture.shape, dtype=np.float32)
        return picture.reshape(count, 3, HEIGHT, WIDTH).round().clip(0, 255).astype(np.uint8)

    def vgg_features(self, films: Films, shown: Floats, rng: np.random.Generator) -> NDArray[np.float32]:
        """(N, 4096), about half of them 0."""
        hidden = np.concatenate([3.0 * shown, films.mood], axis=1) @ self.to_vgg
        noise = 0.5 * rng.standard_normal(hidden.shape)
        return np.asarray(np.maximum(hidden + noise, 0.0), dtype=np.float32)

    def features(self, plots: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        """(N, 300): the mean of each plot's word vectors."""
        return np.stack([self.vectors[plot - 1].mean(axis=0) for plot in plots]).astype(np.float32)

    def embeddings(self, plots: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        """(N, 28, 768): each word's vector mixed with its neighbours'; zeros behind a plot's end."""
        table = self.vectors @ self.to_bert
        result = np.zeros((len(plots), LONGEST, 768), dtype=np.float32)
        for row, plot in enumerate(plots):
            own = table[plot - 1]
            around = (np.roll(own, 1, axis=0) + np.roll(own, -1, axis=0)) / 2
            result[row, : len(plot)] = own + 0.3 * around
        return result


def _write(folder: Path, recipe: Recipe) -> None:
    world = World(recipe.seed)
    unknown = ("_UNK_", *world.words)
    numbered = dict(enumerate(unknown))
    vocabulary = {"ix_to_word": numbered, "word_to_ix": {word: n for n, word in numbered.items()}}
    np.save(folder / files.VOCABULARY, np.array(vocabulary | {"vocab_size": len(unknown)}, dtype=object))
    with h5py.File(folder / files.FILE, "w") as file:
        _create(file, recipe)
        for number, rows in enumerate(recipe.splits.values()):
            rng = np.random.default_rng([recipe.seed, 1 + number])
            films = invent(len(rows), rng)
            plots = world.plots(films, rng)
            shown = world.shown(films, rng)
            part = slice(rows.start, rows.stop)
            file["genres"][part] = films.genres
            file["features"][part] = world.features(plots)
            file["embeddings"][part] = world.embeddings(plots)
            file["images"][part] = _stored(world.posters(films, shown, rng))
            file["vgg_features"][part] = world.vgg_features(films, shown, rng)
            file["imdb_ids"][part] = np.array([f"{9_000_000 + row}" for row in rows], dtype="S7")
            for row, plot in zip(rows, plots, strict=True):
                file["sequences"][row] = plot


def _create(file: h5py.File, recipe: Recipe) -> None:
    """Empty keys, and the attributes that say what they are; posters are packed, since they need nine bits of 32."""
    count = recipe.train + recipe.val + recipe.test
    file.attrs[files.MADE_BY] = f"mmfuse stand-in {recipe.folder}"
    file.create_dataset("genres", (count, GENRES), "int32").attrs["target_names"] = json.dumps(list(FREQUENCIES))
    file.create_dataset("features", (count, 300), "float32")
    file.create_dataset("vgg_features", (count, 4096), "float32")
    file.create_dataset("embeddings", (count, LONGEST, 768), "float16")
    packed: dict[str, Any] = {"chunks": (min(count, 64), 3, HEIGHT, WIDTH), "scaleoffset": 0}
    file.create_dataset("images", (count, 3, HEIGHT, WIDTH), "int32", **packed)
    file.create_dataset("imdb_ids", (count,), "S7")
    file.create_dataset("sequences", (count,), h5py.vlen_dtype(np.dtype("int32")))
    file.attrs["split"] = split_array(recipe.splits, sources=sorted(file))


def split_array(splits: dict[str, range], *, sources: list[str]) -> NDArray[Any]:
    """The attribute ``split`` in Fuel's format: one entry per split and key."""
    entries = [
        (stored.encode(), source.encode(), splits[split].start, splits[split].stop, h5py.Reference(), True, b".")
        for split, stored in (("train", "train"), ("val", "dev"), ("test", "test"))
        for source in sources
    ]
    fields = [
        ("split", "S5"),
        ("source", f"S{max(map(len, sources))}"),
        ("start", np.int64),
        ("stop", np.int64),
        ("indices", h5py.ref_dtype),
        ("available", np.bool_),
        ("comment", "S1"),
    ]
    return np.array(entries, dtype=fields)


def _stored(posters: NDArray[np.uint8]) -> NDArray[np.int32]:
    """RGB bytes as the published file has them: BGR, minus ImageNet's mean, without decimals."""
    mean = files.MEAN_BGR.astype(np.float32).reshape(3, 1, 1)
    return (posters[:, ::-1].astype(np.float32) - mean).astype(np.int32)


def _draw(weights: Floats, times: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """For each row of ``weights`` (N, K) ``times`` draws of a column, (N, times)."""
    edges = (weights / weights.sum(axis=1, keepdims=True)).cumsum(axis=1)
    drawn = (rng.random((len(weights), times, 1)) >= edges[:, None, :]).sum(axis=2)
    return np.asarray(np.minimum(drawn, weights.shape[1] - 1))


def _invent_words(rng: np.random.Generator, count: int) -> list[str]:
    """Distinct words of two to four syllables."""
    words: dict[str, None] = {}
    while len(words) < count:
        syllables = rng.integers(2, 5)
        pairs = rng.integers([len(_CONSONANTS), len(_VOWELS)], size=(syllables, 2))
        words["".join(_CONSONANTS[first] + _VOWELS[second] for first, second in pairs)] = None
    return list(words)
