"""DINOv2: images by their class token, after the last layer norm.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (2023, arXiv 2304.07193), the image encoder
of FuseMix's best pair. The token is not scaled to length 1. Images are resized to 224 on their shorter side, as in
FuseMix's released code; DINOv2's own evaluation resizes to 256 before it crops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmfuse.encoding import PretrainedOptions, Published

if TYPE_CHECKING:
    from mmfuse.extraction.encoder import Encoder

READS: Literal["files", "tensors"] = "files"
MODALITY: str | None = "image"
SIZES = {
    "small": Published("facebook/dinov2-small", 384),
    "base": Published("facebook/dinov2-base", 768),
    "large": Published("facebook/dinov2-large", 1024),
    "giant": Published("facebook/dinov2-giant", 1536),
}


class Options(PretrainedOptions):
    """How images are made ready, and where the weights are."""

    image_size: Annotated[int, Field(ge=14)] = 224
    """Side of the square that is cut from the image; a multiple of the patch, 14 (published: 224)."""


from functools import partial

import torch

from mmfuse.data.latents_layout import EncoderIdentity
from mmfuse.extraction.pictures import described, pillow, read_picture
from mmfuse.extraction.pretrained import content_of, expect_dim, load_model, placed


def open_encoder(size: str, options: Options, *, device: torch.device) -> Encoder:
    """The encoder of that size.

    Raises:
        DataMissing, DataInvalid: when libraries or weights are absent or incomplete.
    """
    from mmfuse.extraction.encoder import Encoder

    pillow()
    published = SIZES[size]
    model = load_model("Dinov2Model", published, options)
    identity = EncoderIdentity(
        name=f"dinov2-{size}",
        weights=content_of(model),
        pooling="cls",
        normalised=False,
        preprocessing=described(options.image_size),
        computed_in=options.precision,
    )
    model = placed(model, options, device)
    dtype = getattr(torch, options.precision)
    return Encoder(
        identity,
        expect_dim(model.config.hidden_size, published, options),
        prepare=partial(read_picture, size=options.image_size),
        forward=lambda items: model(torch.stack(list(items)).to(device, dtype)).last_hidden_state[:, 0],
    )
