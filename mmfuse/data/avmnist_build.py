"""Build AV-MNIST's files from MNIST, the Free Spoken Digit Dataset and ESC-50.

After MFAS (arXiv 1903.06496, section 4) and CentralNet (arXiv 1808.07275): images keep the fewest strongest PCA
directions that explain a quarter of the variance, speech gets environmental noise and becomes a 112 x 112 spectrogram,
and a written digit is paired with a spoken one of the same class, round-robin. Where we differ from the published
generators, each time because theirs cannot be repeated or leaks:

- rows are written at their own index (the published ones append in order of completion, which separates many labels
  from their sound), and the same inputs and seed give the same bytes, with any number of workers;
- one PCA basis, fitted on the training rows, for all splits; its mean is added back;
- speech is split by take or by speaker, and validation gets recordings of its own, not train's;
- noise is added at a stated signal-to-noise ratio, its classes disjoint between splits (published: a factor of 0.009,
  or 0).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.io.wavfile import WavFileWarning

from mmfuse.data import avmnist_files as files
from mmfuse.data.avmnist_inputs import Noise, Utterance, list_esc50, list_fsdd, read_mnist, read_wav
from mmfuse.data.energy import fit_basis
from mmfuse.data.progress import Progress, silent
from mmfuse.data.spectrogram import SIDE, at_signal_to_noise, spectrogram
from mmfuse.data.speech import RATE
from mmfuse.data.staging import staged
from mmfuse.errors import BadSpec, DataMissing

VERSION = "build 1"
SPLITS = ("train", "val", "test")
_CHUNK = 256


@dataclass(frozen=True)
class Plan:
    """What is done to the sources.

    ``energy`` is the share of the images' variance to keep, ``add_mean`` whether they get their mean back (published:
    no), ``noises_per_class`` how many recordings of each ESC-50 class are drawn (published: 1). ``split_by`` "take": of
    each speaker's takes of a digit the first tenth is for test (FSDD's own rule), the next tenth for validation;
    "speaker": the last speaker by name is heard in test only, the one before in validation only.
    """

    seed: int = 0
    energy: float = 0.25
    add_mean: bool = True
    snr_db: float = 10.0
    noises_per_class: int = 4
    split_by: Literal["take", "speaker"] = "take"


def build(
    folder: Path,
    *,
    mnist: Path,
    fsdd: Path,
    esc50: Path,
    plan: Plan = Plan(),
    workers: int = 1,
    sources: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Path:
    """Write AV-MNIST to ``folder``, whole or not at all; gives the folder.

    The validation split is the last twelfth of MNIST's training rows (5,000 of 60,000). ``sources`` names downloaded
    files and their SHA-256 for the manifest.

    Raises:
        BadSpec: when ``folder`` exists already.
        DataMissing, DataInvalid: when a source is absent, damaged or too small to be split.
    """
    if folder.exists():
        raise BadSpec(f"{folder} exists already", "remove it first to build it again")
    digits = read_mnist(mnist)
    splits = _sizes(digits)
    utterances, noises = list_fsdd(fsdd), _draw_noises(list_esc50(esc50), plan)
    speech_of, noise_of = split_speech(utterances, by=plan.split_by), split_noise(noises)
    images, facts = _images(digits, splits, plan)
    labels = {"train": digits["train"][1][: splits["train"]], "val": digits["train"][1][splits["train"] :]}
    labels["test"] = digits["test"][1]
    pairs = {
        split: pair(labels[split], [utterance.digit for utterance in utterances], speech_of[split], noise_of[split])
        for split in SPLITS
    }
    audio = _audio(pairs, utterances, noises, plan, workers=workers, progress=progress)
    with staged(folder) as work:
        if work is None:
            raise BadSpec(f"{folder} was made by another process meanwhile", "remove it first to build it again")
        _write(work, images, audio, labels, pairs)
        speakers = {split: sorted({utterances[row].speaker for row in speech_of[split]}) for split in SPLITS}
        kinds = {split: sorted({noises[row].kind for row in noise_of[split]}) for split in SPLITS}
        facts |= {"plan": asdict(plan), "speakers": speakers, "noise_classes": kinds, "rate_hz": RATE}
        facts |= {"sources": dict(sources)} if sources else {}
        facts["pairs"] = "columns: number of the utterance by digit, speaker and take; number of the noise drawn"
        files.write_manifest(work, generator=VERSION, stand_in=False, splits=splits, facts=facts)
    return folder


def split_speech(utterances: Sequence[Utterance], *, by: Literal["take", "speaker"]) -> dict[str, list[int]]:
    """The numbers of the utterances of each split; no speaker or no take is in two of them.

    Raises:
        DataMissing: when there are too few speakers or takes for three splits of every digit.
    """
    split: dict[str, list[int]] = {name: [] for name in SPLITS}
    if by == "speaker":
        speakers = sorted({utterance.speaker for utterance in utterances})
        homes = dict.fromkeys(speakers[-1:], "test") | dict.fromkeys(speakers[-2:-1], "val")
        for number, utterance in enumerate(utterances):
            split[homes.get(utterance.speaker, "train")].append(number)
    else:
        for takes in _by_voice(utterances).values():
            tenth = max(1, len(takes) // 10)
            split["test"] += takes[:tenth]
            split["val"] += takes[tenth : 2 * tenth]
            split["train"] += takes[2 * tenth :]
    for name, numbers in split.items():
        absent = sorted(set(range(10)) - {utterances[number].digit for number in numbers})
        if absent:
            raise DataMissing(
                f"too few recordings to split by {by}: {name} has none of digit {', '.join(map(str, absent))}",
                "at least 3 takes of each digit (or 3 speakers) are needed",
            )
    return split


def split_noise(noises: Sequence[Noise]) -> dict[str, list[int]]:
    """The numbers of the noises of each split: the last tenth of the classes for test, the tenth before for validation.

    Raises:
        DataMissing: when there are fewer than three classes.
    """
    kinds = sorted({noise.kind for noise in noises})
    if len(kinds) < 3:
        raise DataMissing(f"noise of {len(kinds)} classes cannot be split in three", "give the whole of ESC-50")
    tenth = max(1, len(kinds) // 10)
    homes = dict.fromkeys(kinds[-tenth:], "test") | dict.fromkeys(kinds[-2 * tenth : -tenth], "val")
    split: dict[str, list[int]] = {name: [] for name in SPLITS}
    for number, noise in enumerate(noises):
        split[homes.get(noise.kind, "train")].append(number)
    return split


def pair(
    labels: NDArray[np.uint8], digits: Sequence[int], speech: Sequence[int], noise: Sequence[int]
) -> NDArray[np.int32]:
    """Round-robin: the n-th image of a digit gets that digit's n-th utterance, the n-th image of all the n-th noise.

    ``digits`` says what each utterance says; ``speech`` and ``noise`` are the numbers to deal. Gives (N, 2).
    """
    pairs = np.empty((len(labels), 2), dtype=np.int32)
    for digit in range(10):
        rows = np.flatnonzero(labels == digit)
        pairs[rows, 0] = np.resize([number for number in speech if digits[number] == digit], len(rows))
    pairs[:, 1] = np.resize(np.asarray(noise), len(labels))
    return pairs


def _sizes(digits: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> dict[str, int]:
    count = len(digits["train"][1])
    val = max(1, count // 12)
    return {"train": count - val, "val": val, "test": len(digits["test"][1])}


def _by_voice(utterances: Sequence[Utterance]) -> dict[tuple[int, str], list[int]]:
    voices: dict[tuple[int, str], list[int]] = {}
    for number, utterance in enumerate(utterances):
        voices.setdefault((utterance.digit, utterance.speaker), []).append(number)
    return voices


def _draw_noises(noises: Sequence[Noise], plan: Plan) -> list[Noise]:
    """A few recordings of each class, by the plan's seed, in their old order."""
    drawn = []
    for kind in sorted({noise.kind for noise in noises}):
        members = [noise for noise in noises if noise.kind == kind]
        rng = np.random.default_rng([plan.seed, 0, kind])
        chosen = rng.choice(len(members), min(plan.noises_per_class, len(members)), replace=False)
        drawn += [members[number] for number in sorted(chosen)]
    return drawn


def _images(
    digits: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]], splits: Mapping[str, int], plan: Plan
) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    """Both parts' images (N, 784), reduced, and what is to be known about the basis.

    Values are quarters of a grey level: coarser than what linear-algebra libraries differ by.
    """
    basis = fit_basis(digits["train"][0][: splits["train"]], energy=plan.energy)
    images = {}
    for part, (pixels, _) in digits.items():
        images[part] = np.empty(pixels.shape, dtype=np.float32)
        for start in range(0, len(pixels), _CHUNK):
            rows = slice(start, start + _CHUNK)
            kept = basis.project(pixels[rows].astype(np.float64), add_mean=plan.add_mean)
            images[part][rows] = np.rint(4.0 * kept) / 4.0
    facts = {
        "basis_sha256": basis.sha256,
        "components": len(basis.directions),
        "variance_kept": round(basis.kept, 6),
    }
    return images, facts


def _audio(
    pairs: Mapping[str, NDArray[np.int32]],
    utterances: Sequence[Utterance],
    noises: Sequence[Noise],
    plan: Plan,
    *,
    workers: int,
    progress: Progress,
) -> dict[str, NDArray[np.uint8]]:
    """Spectrograms (N, 112, 112) per split; workers fill the rows they are given, so the order is that of ``pairs``."""
    progress(0, 1, what="reading recordings")
    total, done = sum(map(len, pairs.values())), 0
    pictures = {split: np.empty((len(rows), SIDE, SIDE), dtype=np.uint8) for split, rows in pairs.items()}
    # Remarks on chunks that are not sound; the filter is the process's, so it is set before there are threads.
    with warnings.catch_warnings(action="ignore", category=WavFileWarning), ThreadPoolExecutor(workers) as pool:
        clips = list(pool.map(read_wav, [utterance.path for utterance in utterances]))
        sounds = list(pool.map(read_wav, [noise.path for noise in noises]))

        def fill(split: str, start: int) -> int:
            rows = range(start, min(start + _CHUNK, len(pairs[split])))
            for row in rows:
                clip, sound = pairs[split][row]
                rng = np.random.default_rng([plan.seed, 1 + SPLITS.index(split), row])
                pictures[split][row] = _picture(clips[clip], sounds[sound], rng, plan.snr_db)
            return len(rows)

        jobs = [(split, start) for split in pairs for start in range(0, len(pairs[split]), _CHUNK)]
        for filled in pool.map(lambda job: fill(*job), jobs):
            done += filled
            progress(done, total, what="building AV-MNIST")
    return pictures


def _picture(
    clip: NDArray[np.float64], noise: NDArray[np.float64], rng: np.random.Generator, snr_db: float
) -> NDArray[np.uint8]:
    """The spectrogram of one clip with noise of the same length under it, from a random place of its recording."""
    start = int(rng.integers(0, max(1, len(noise) - len(clip) + 1)))
    under = np.resize(noise[start:], len(clip))
    noisy = at_signal_to_noise(clip[None], under[None], decibels=snr_db)
    picture: NDArray[np.uint8] = spectrogram(noisy)[0]
    return picture


def _write(
    folder: Path,
    images: Mapping[str, NDArray[np.float32]],
    audio: Mapping[str, NDArray[np.uint8]],
    labels: Mapping[str, NDArray[np.uint8]],
    pairs: Mapping[str, NDArray[np.int32]],
) -> None:
    members: dict[files.Part, tuple[str, ...]] = {"train": ("train", "val"), "test": ("test",)}
    for part, splits in members.items():
        files.write_part(
            folder,
            part,
            images=images[part],
            audio=np.concatenate([audio[split] for split in splits]),
            labels=np.concatenate([labels[split] for split in splits]),
            pairs=np.concatenate([pairs[split] for split in splits]),
        )
