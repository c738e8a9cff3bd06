"""Videos of NTU RGB+D: a few frames of each, evenly spread, as small pictures.

Uncompressed files are read here (`ntu_avi`), all others through PyAV, which brings FFmpeg with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmfuse.data.ntu_avi import open_raw
from mmfuse.errors import DataInvalid, DataMissing

Picture = NDArray[np.uint8]
Fit = Literal["stretch", "crop"]
PUBLISHED_SLOTS = 24
_AGAIN = "fetch it again, or name it in a list: --set data.exclude=FILE"
_LEAST = 0.9
"""Share of the promised frames that must be there; some encoders promise one or two more than they write."""


def clip_of(path: Path, *, frames: int, size: int, fit: Fit, compat: bool = False) -> Picture:
    """``frames`` frames of a video as pictures of ``size`` x ``size`` pixels, (3, frames, size, size).

    They lie evenly from the first to the last frame, red first. ``compat`` is the published reader: blue first, and of
    24 slots, evenly spread over one frame more than there is, the last stays black.

    Raises:
        DataMissing: when a compressed video needs PyAV and it is not installed.
        DataInvalid: when the file is no video, damaged, or cut off.
    """
    choose = published_slots if compat else evenly
    chosen = read_frames(path, lambda count: choose(count, frames))
    pictures = [fitted(picture, size, fit) for picture in chosen]
    pictures += [np.zeros((size, size, 3), dtype=np.uint8)] * (frames - len(pictures))
    clip = np.stack(pictures).transpose(3, 0, 1, 2)
    return np.ascontiguousarray(clip[::-1] if compat else clip)


def evenly(count: int, frames: int) -> list[int]:
    """``frames`` of ``count`` frames, the first and the last among them."""
    return [int(place) for place in np.linspace(0, count - 1, frames).round()]


def published_slots(count: int, frames: int) -> list[int]:
    """The frames in those of MFAS's 24 slots that its 8-frame sampler takes; the last slot is never filled."""
    slots = np.linspace(0, count, PUBLISHED_SLOTS).astype(np.int64)
    taken = np.linspace(0, PUBLISHED_SLOTS - 1, frames).astype(np.int64)
    return [int(slots[slot]) for slot in taken if slot < PUBLISHED_SLOTS - 1]


def read_frames(path: Path, choose: Callable[[int], Sequence[int]]) -> list[Picture]:
    """The frames (H, W, 3), red first, whose numbers ``choose`` gives for the number of frames there are.

    Raises:
        DataMissing, DataInvalid: as `clip_of`.
    """
    try:
        raw = open_raw(path)
    except OSError as error:
        raise DataInvalid(f"{path} cannot be read: {error.strerror}", _AGAIN) from error
    if raw is None:
        return _decoded(path, choose)
    _check_count(path, len(raw), raw.promised)
    return [raw.frame(number) for number in choose(len(raw))]


def fitted(picture: Picture, size: int, fit: Fit) -> Picture:
    """The picture at ``size`` x ``size``: stretched, or first cut to its middle square."""
    height, width, _ = picture.shape
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        picture = picture[top : top + side, left : left + side]
    if picture.shape[:2] == (size, size):
        return picture
    import torch

    planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float()
    scaled = torch.nn.functional.interpolate(
        planes, size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return scaled[0].round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


def _decoded(path: Path, choose: Callable[[int], Sequence[int]]) -> list[Picture]:
    """Through PyAV: what the header promises is believed first, and chosen again if it was wrong."""
    promised, kept, count = _decode(path, lambda promised: choose(promised) if promised else ())
    _check_count(path, count, promised)
    if count != promised:
        _, kept, _ = _decode(path, lambda _: choose(count))
    return [kept[number] for number in choose(count)]


def _decode(path: Path, choose: Callable[[int], Sequence[int]]) -> tuple[int, dict[int, Picture], int]:
    """How many frames the header promises, those chosen on that ground by number, and how many there are."""
    try:
        import av
    except ImportError:
        raise DataMissing(
            f"{path.name} is a compressed video, and PyAV, which reads those, is not installed",
            "pip install 'mmfuse[video]'",
        ) from None
    kept: dict[int, Picture] = {}
    count = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataInvalid(f"{path} holds no video", _AGAIN)
            stream = container.streams.video[0]
            promised = int(stream.frames)
            wanted = set(choose(promised))
            for frame in container.decode(stream):
                if count in wanted:
                    kept[count] = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
                count += 1
    except av.FFmpegError as error:
        raise DataInvalid(f"{path} is no video that can be read ({error.strerror})", _AGAIN) from error
    return promised, kept, count


def _check_count(path: Path, count: int, promised: int) -> None:
    if count == 0 or count < _LEAST * promised:
        raise DataInvalid(f"{path} holds {count} of the {promised} frames that its header promises", _AGAIN)
