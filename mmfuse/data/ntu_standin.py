"""The stand-in of NTU RGB+D: figures made up by rule, in the dataset's own two file formats.

A class is a movement of a limb (one of 20) before one of three objects, so 60 classes at most. Skeletons show the
movement and know nothing of the object. Videos show the object, a coloured patch somewhere in the scene, and the figure
only faintly behind noise. So a perfect reader of skeletons gets a third right, a reader of videos sees the object at
once and the movement hardly, and fusion pays (tests/data/test_ntu_standin.py holds it to that). Every subject has
a stature, a pace and a colour of its own, and subjects are split as those of the real data.
Nothing in it is anybody's real movement.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmfuse.architecture import canonical_json
from mmfuse.data.ntu_avi import write_avi
from mmfuse.data.ntu_files import SKELETON_FOLDERS, VIDEO_FOLDERS
from mmfuse.data.progress import Progress, silent
from mmfuse.data.staging import staged

logger = logging.getLogger(__name__)

VERSION = 1
"""Of the code below; raised when equal recipes give other data than before."""
SIDE = 32
"""Pixels of a frame's side."""
SUBJECTS = range(1, 41)

Array = NDArray[np.float64]

# Kinect's 25 joints of a person 1.7 m tall who stands facing the camera: x to the right, y up, z away, in metres.
_STANDING = np.array(
    [
        *([0.00, 0.00, 3.0], [0.00, 0.28, 3.0], [0.00, 0.55, 3.0], [0.00, 0.70, 3.0]),
        *([-0.18, 0.48, 3.0], [-0.25, 0.22, 3.0], [-0.27, 0.00, 3.0], [-0.27, -0.06, 3.0]),
        *([0.18, 0.48, 3.0], [0.25, 0.22, 3.0], [0.27, 0.00, 3.0], [0.27, -0.06, 3.0]),
        *([-0.09, 0.00, 3.0], [-0.11, -0.40, 3.0], [-0.12, -0.78, 3.0], [-0.12, -0.82, 2.9]),
        *([0.09, 0.00, 3.0], [0.11, -0.40, 3.0], [0.12, -0.78, 3.0], [0.12, -0.82, 2.9]),
        *([0.00, 0.50, 3.0], [-0.27, -0.14, 3.0], [-0.24, -0.08, 3.0], [0.27, -0.14, 3.0], [0.24, -0.08, 3.0]),
    ]
)
_LIMBS: tuple[tuple[dict[int, float], ...], ...] = (
    ({9: 0.5, 10: 0.9, 11: 1.0, 23: 1.05, 24: 1.0},),
    ({5: 0.5, 6: 0.9, 7: 1.0, 21: 1.05, 22: 1.0},),
    ({17: 0.45, 18: 0.9, 19: 1.0},),
    ({13: 0.45, 14: 0.9, 15: 1.0},),
    ({9: 0.5, 10: 0.9, 11: 1.0, 23: 1.05, 24: 1.0}, {5: 0.5, 6: 0.9, 7: 1.0, 21: 1.05, 22: 1.0}),
)
"""Right arm, left arm, right leg, left leg, both arms: which joints move, and how far."""
_COLOURS = np.array([[230, 60, 60], [60, 200, 80], [70, 90, 235]], dtype=np.float64)
_FACTS = "72057594037944738 0 1 1 1 1 0 0.0 0.0 2"
_UNMEASURED = "0 0 0 0 0 0 0 0 2"


@dataclass(frozen=True)
class Recipe:
    """Everything the stand-in follows from. Noise of joints is in metres, of pixels in grey levels."""

    classes: int = 12
    repeats: int = 2
    seed: int = 0
    fewest_frames: int = 16
    most_frames: int = 28
    joint_noise: float = 0.015
    pixel_noise: float = 20.0
    figure: float = 14.0
    bystanders: float = 0.2

    @property
    def folder(self) -> str:
        """Name of the folder that holds what this recipe makes; another recipe has another."""
        content = canonical_json({"version": VERSION, **asdict(self)})
        mark = hashlib.sha256(content.encode()).hexdigest()[:8]
        return f"{self.classes}-classes-{self.repeats}-repeats-seed{self.seed}-{mark}"

    def keys(self) -> list[str]:
        """Every clip, in order."""
        return [
            f"S001C001P{subject:03d}R{repeat:03d}A{action:03d}"
            for subject in SUBJECTS
            for repeat in range(1, self.repeats + 1)
            for action in range(1, self.classes + 1)
        ]


def ensure(folder: Path, recipe: Recipe, *, progress: Progress = silent) -> Path:
    """``folder``, built first if it is not there. Of several processes that ask at once, one builds and the rest wait.

    Raises:
        DataMissing: when ``folder`` can be neither found nor written.
    """
    if folder.is_dir():
        return folder
    with staged(folder) as work:
        if work is not None:
            logger.warning("building the stand-in of NTU RGB+D in %s (once; real data: mmfuse data info ntu)", folder)
            _build(work, recipe, progress)
    return folder


def _build(folder: Path, recipe: Recipe, progress: Progress) -> None:
    videos, skeletons = folder / VIDEO_FOLDERS[0], folder / SKELETON_FOLDERS[0]
    videos.mkdir(parents=True)
    skeletons.mkdir()
    keys = recipe.keys()
    for number, key in enumerate(keys):
        if number % 40 == 0:
            progress(number, len(keys), what="building the stand-in of ntu")
        people, frames = perform(key, recipe)
        (skeletons / f"{key}.skeleton").write_text(skeleton_text(people), encoding="ascii")
        write_avi(videos / f"{key}_rgb.avi", frames)


def perform(key: str, recipe: Recipe) -> tuple[list[Array], NDArray[np.uint8]]:
    """One clip: the joints of each person in it (T, 25, 3), and its frames (T, 32, 32, 3)."""
    subject, repeat, action = int(key[9:12]), int(key[13:16]), int(key[17:20])
    stature, pace, shirt = _traits(subject, recipe)
    rng = np.random.default_rng([recipe.seed, 1, subject, repeat, action])
    movement, shown = divmod(action - 1, len(_COLOURS))
    limb, count = movement % len(_LIMBS), int(rng.integers(recipe.fewest_frames, recipe.most_frames + 1))
    joints = np.repeat(_STANDING[None], count, axis=0)
    moment = np.linspace(0, 1, count)
    for side, moving in enumerate(_LIMBS[limb]):
        shift = _path((movement // len(_LIMBS) + limb) % 4, moment, pace * rng.uniform(0.9, 1.1), mirrored=side == 1)
        for joint, far in moving.items():
            joints[:, joint] += far * rng.uniform(0.8, 1.2) * shift
    joints *= [stature, stature, 1.0]
    joints += rng.normal(0, [0.15, 0.05, 0.3]) + recipe.joint_noise * rng.standard_normal(joints.shape)
    people = [joints]
    if rng.random() < recipe.bystanders:
        place = np.array([rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 0.9), 0.0, rng.uniform(0.0, 0.5)])
        people.append(_STANDING + place + recipe.joint_noise * rng.standard_normal(joints.shape))
    place = rng.uniform(-0.8, 0.8, (1, 1, 2)) + np.cumsum(rng.normal(0, 0.02, (count, 1, 2)), axis=0)
    frames = _film(people, place, _COLOURS[shown] * rng.uniform(0.7, 1.1), shirt, recipe, rng)
    return people, frames


def skeleton_text(people: list[Array]) -> str:
    """Joints (T, 25, 3) of each person as a ``.skeleton`` file; what is not a place is filled with zeros."""
    lines = [str(len(people[0]))]
    for frame in range(len(people[0])):
        lines.append(str(len(people)))
        for body in people:
            lines += [_FACTS, "25"]
            lines += [f"{x:.4f} {y:.4f} {z:.4f} {_UNMEASURED}" for x, y, z in body[frame].tolist()]
    return "\n".join(lines) + "\n"


def _traits(subject: int, recipe: Recipe) -> tuple[float, float, Array]:
    """Stature, pace and the colour of the shirt."""
    rng = np.random.default_rng([recipe.seed, 0, subject])
    return float(rng.uniform(0.85, 1.15)), float(rng.uniform(0.8, 1.25)), rng.uniform(40, 180, 3)


def _path(kind: int, moment: Array, pace: float, *, mirrored: bool) -> Array:
    """Where the end of the limb is at each moment (0 to 1), relative to its rest: (T, 3)."""
    angle = 2 * np.pi * pace * moment
    still = np.zeros_like(moment)
    rise = np.clip(1.5 * pace * moment, 0, 1)
    paths = (
        (still, 0.6 * rise, still),  # raise
        (0.35 * np.sin(2 * angle), 0.2 + still, still),  # wave
        (0.3 * np.sin(angle), 0.3 - 0.3 * np.cos(angle), still),  # circle
        (still, 0.25 + still, -0.5 * np.abs(np.sin(angle))),  # push
    )
    path = np.stack(paths[kind], axis=1)
    return path * [-1, 1, 1] if mirrored else path


def _film(
    people: list[Array], thing: Array, colour: Array, shirt: Array, recipe: Recipe, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The scene (T, 32, 32, 3): faint figures before a plain wall, the object at its places (T, 1, 2), and noise."""
    scene = np.empty((len(thing), SIDE, SIDE, 3))
    scene[:] = rng.uniform(70, 150, 3)
    for body in people:
        scene += recipe.figure * (shirt / 110 - 1.2) * _blobs(body, width=1.0)[..., None]
    cover = np.minimum(_blobs(thing, width=4.0), 1.0)[..., None]
    scene += cover * (colour - scene)
    scene += recipe.pixel_noise * rng.standard_normal(scene.shape, dtype=np.float32)
    return np.asarray(np.rint(scene).clip(0, 255), dtype=np.uint8)


def _blobs(places: Array, *, width: float) -> Array:
    """Soft dots of ``width`` pixels at places (T, J, 2 or 3) seen from the front: (T, 32, 32)."""
    pixels = np.arange(SIDE) + 0.5
    column = (places[..., 0] / 2.4 + 0.5) * SIDE
    row = (0.5 - (places[..., 1] + 0.05) / 2.4) * SIDE
    across, down = (np.exp(-0.5 * ((pixels - centre[..., None]) / width) ** 2) for centre in (column, row))
    return np.asarray(np.einsum("tjh,tjw->thw", down, across))
