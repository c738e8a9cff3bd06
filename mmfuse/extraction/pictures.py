"""Image files as the tensors that image encoders are fed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmfuse.errors import DataMissing
from mmfuse.extraction.encoder import UnreadableItem
from mmfuse.extraction.pretrained import INSTALL

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours, by which most image encoders were trained."""


def pillow() -> Any:
    """The imaging library.

    Raises:
        DataMissing: when it is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DataMissing("image files need the pillow library", INSTALL) from error
    return Image


def read_picture(path: str, *, size: int) -> Tensor:
    """The image as (3, size, size): shorter side to ``size`` (bicubic), centre cropped, normalised.

    Raises:
        UnreadableItem: when the file is absent or no image.
    """
    library = pillow()
    try:
        with library.open(Path(path)) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, library.DecompressionBombError) as error:
        raise UnreadableItem(path) from error
    width, height = picture.size
    if min(width, height) < 1:
        raise UnreadableItem(path)
    scale = size / min(width, height)
    new = (max(size, int(width * scale)), max(size, int(height * scale)))
    picture = picture.resize(new, resample=library.Resampling.BICUBIC)
    left, top = round((new[0] - size) / 2), round((new[1] - size) / 2)
    pixels = np.asarray(picture.crop((left, top, left + size, top + size)), dtype=np.float32) / 255.0
    normalised = (pixels - np.array(MEAN, dtype=np.float32)) / np.array(STD, dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(normalised.transpose(2, 0, 1)))


def described(size: int) -> dict[str, Any]:
    """What `read_picture` does, for the file of latents."""
    return {"colours": "RGB", "resize": size, "filter": "bicubic", "crop": size, "mean": list(MEAN), "std": list(STD)}
