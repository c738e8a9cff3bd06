"""E5: captions by the mean of their tokens, after the prompt "query: ".

Wang et al., "Text Embeddings by Weakly-Supervised Contrastive Pre-training" (2022, arXiv 2212.03533). The mean is over
real tokens only, those of the prompt included. As in FuseMix, vectors are not scaled to length 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mmfuse.encoding import Published
from mmfuse.extraction.text_options import TextOptions

if TYPE_CHECKING:
    from mmfuse.extraction.encoder import Encoder

READS: Literal["files", "tensors"] = "files"
MODALITY: str | None = "text"
SIZES = {
    "small": Published("intfloat/e5-small-v2", 384),
    "base": Published("intfloat/e5-base-v2", 768),
    "large": Published("intfloat/e5-large-v2", 1024),
}


class Options(TextOptions):
    """How captions are made ready, and where the weights are."""

    prompt: str = "query: "
    """Put before every caption (the model's card, and FuseMix: "query: ")."""


import torch

from mmfuse.extraction.text_encoder import open_text_encoder


def open_encoder(size: str, options: Options, *, device: torch.device) -> Encoder:
    """The encoder of that size.

    Raises:
        DataMissing, DataInvalid: when libraries or weights are absent or incomplete.
    """
    return open_text_encoder(f"e5-{size}", SIZES[size], options, pooling="mean", device=device)
