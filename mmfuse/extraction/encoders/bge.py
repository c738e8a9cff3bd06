"""BGE: captions by their first token, without an instruction.

Xiao et al., "C-Pack: Packed Resources for General Chinese Embeddings" (2023, arXiv 2309.07597), the text encoder of
FuseMix's best pair. As there, vectors are not scaled to length 1 (the model's card does: ``normalise=true``).
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
    "small": Published("BAAI/bge-small-en-v1.5", 384),
    "base": Published("BAAI/bge-base-en-v1.5", 768),
    "large": Published("BAAI/bge-large-en-v1.5", 1024),
}


class Options(TextOptions):
    """How captions are made ready, and where the weights are."""


import torch

from mmfuse.extraction.text_encoder import open_text_encoder


def open_encoder(size: str, options: Options, *, device: torch.device) -> Encoder:
    """The encoder of that size.

    Raises:
        DataMissing, DataInvalid: when libraries or weights are absent or incomplete.
    """
    return open_text_encoder(f"bge-{size}", SIZES[size], options, pooling="cls", device=device)
