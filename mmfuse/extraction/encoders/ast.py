"""AST: sounds by the audio spectrogram transformer's two class tokens, averaged.

Gong et al., "AST: Audio Spectrogram Transformer" (2021, arXiv 2104.01778), fine-tuned on AudioSet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmfuse.encoding import PretrainedOptions, Published

if TYPE_CHECKING:
    from mmfuse.extraction.encoder import Encoder

READS: Literal["files", "tensors"] = "files"
MODALITY: str | None = "audio"
SIZES = {"base": Published("MIT/ast-finetuned-audioset-10-10-0.4593", 768)}


class Options(PretrainedOptions):
    """Where the weights are."""

    batch_size: Annotated[int, Field(ge=1)] = 16
    """Items that the encoder sees at once; each is 10 seconds long for it."""


from collections.abc import Sequence

import torch
from torch import Tensor

from mmfuse.data.latents_layout import EncoderIdentity
from mmfuse.extraction.pretrained import content_of, expect_dim, load_model, placed, transformers
from mmfuse.extraction.sounds import read_sound

RATE = 16_000


def open_encoder(size: str, options: Options, *, device: torch.device) -> Encoder:
    """The encoder.

    Raises:
        DataMissing, DataInvalid: when libraries or weights are absent or incomplete.
    """
    from mmfuse.extraction.encoder import Encoder

    published = SIZES[size]
    model = load_model("ASTModel", published, options)
    bins, frames = model.config.num_mel_bins, model.config.max_length
    features = transformers().ASTFeatureExtractor(num_mel_bins=bins, max_length=frames)
    seconds = frames / 100  # one frame each 10 ms
    identity = EncoderIdentity(
        name=f"ast-{size}",
        weights=content_of(model),
        pooling="mean of both class tokens",
        normalised=False,
        preprocessing={"rate": RATE, "seconds": seconds, "bins": bins, "mean": features.mean, "std": features.std},
        computed_in=options.precision,
    )
    dim = expect_dim(model.config.hidden_size, published, options)
    model = placed(model, options, device)
    dtype = getattr(torch, options.precision)

    def prepare(path: str) -> Tensor:
        """Spectrogram (frames, bins)."""
        wave = read_sound(path, rate=RATE, seconds=seconds)
        spectrogram: Tensor = features(wave, sampling_rate=RATE, return_tensors="pt").input_values[0]
        return spectrogram

    def forward(items: Sequence[Tensor]) -> Tensor:
        tokens = model(torch.stack(list(items)).to(device, dtype)).last_hidden_state
        return (tokens[:, 0] + tokens[:, 1]) / 2

    return Encoder(identity, dim, prepare=prepare, forward=forward)
