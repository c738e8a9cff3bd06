"""Whisper: sounds by the mean of its encoder's frames.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022, arXiv 2212.04356); FuseMix uses it
beside HTS-AT. The published pooling is not documented in detail; here the mean is over the frames that hold sound, not
over the silence that fills every clip up to 30 seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmfuse.encoding import PretrainedOptions, Published

if TYPE_CHECKING:
    from mmfuse.extraction.encoder import Encoder

READS: Literal["files", "tensors"] = "files"
MODALITY: str | None = "audio"
SIZES = {
    "tiny": Published("openai/whisper-tiny", 384),
    "base": Published("openai/whisper-base", 512),
    "small": Published("openai/whisper-small", 768),
    "medium": Published("openai/whisper-medium", 1024),
    "large": Published("openai/whisper-large-v2", 1280),
}


class Options(PretrainedOptions):
    """Where the weights are."""

    batch_size: Annotated[int, Field(ge=1)] = 16
    """Items that the encoder sees at once; each is 30 seconds long for it."""


from collections.abc import Sequence
from math import ceil
from typing import Any

import torch
from torch import Tensor

from mmfuse.data.latents_layout import EncoderIdentity
from mmfuse.extraction.pretrained import content_of, expect_dim, load_model, placed, transformers
from mmfuse.extraction.sounds import read_sound

RATE, SECONDS, SAMPLES_PER_FRAME = 16_000, 30.0, 320
"""Samples per second, longest clip, and samples that one frame of the encoder stands for."""


def open_encoder(size: str, options: Options, *, device: torch.device) -> Encoder:
    """The encoder of that size.

    Raises:
        DataMissing, DataInvalid: when libraries or weights are absent or incomplete.
    """
    from mmfuse.extraction.encoder import Encoder, masked_mean

    published = SIZES[size]
    model: Any = load_model("WhisperModel", published, options).encoder
    features = transformers().WhisperFeatureExtractor(feature_size=model.config.num_mel_bins)
    identity = EncoderIdentity(
        name=f"whisper-{size}",
        weights=content_of(model),
        pooling="mean of sounding frames",
        normalised=False,
        preprocessing={"rate": RATE, "seconds": SECONDS, "bins": model.config.num_mel_bins},
        computed_in=options.precision,
    )
    model = placed(model, options, device)
    dtype = getattr(torch, options.precision)

    def prepare(path: str) -> tuple[Tensor, int]:
        """Spectrogram (bins, 3000) and the number of the encoder's frames that hold sound."""
        wave = read_sound(path, rate=RATE, seconds=SECONDS)
        spectrogram = features(wave, sampling_rate=RATE, return_tensors="pt").input_features[0]
        return spectrogram, max(1, ceil(len(wave) / SAMPLES_PER_FRAME))

    def forward(items: Sequence[tuple[Tensor, int]]) -> Tensor:
        frames = model(torch.stack([spectrogram for spectrogram, _ in items]).to(device, dtype)).last_hidden_state
        lengths = torch.tensor([length for _, length in items], device=device)
        return masked_mean(frames, torch.arange(frames.shape[1], device=device)[None] < lengths[:, None])

    dim = expect_dim(model.config.d_model, published, options)
    return Encoder(identity, dim, prepare=prepare, forward=forward)
