"""HTS-AT: sounds by the hierarchical transformer inside CLAP, before CLAP's projection.

Chen et al., "HTS-AT: A Hierarchical Token-Semantic Audio Transformer" (2022, arXiv 2202.00874), FuseMix's second audio
encoder, with the weights of LAION-CLAP. Clips longer than 10 seconds are cut at their beginning; CLAP's own feature
extractor cuts at random, which would give another vector each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmfuse.encoding import PretrainedOptions, Published

if TYPE_CHECKING:
    from mmfuse.extraction.encoder import Encoder

READS: Literal["files", "tensors"] = "files"
MODALITY: str | None = "audio"
SIZES = {"clap": Published("laion/clap-htsat-unfused", 768)}


class Options(PretrainedOptions):
    """Where the weights are."""

    batch_size: Annotated[int, Field(ge=1)] = 16
    """Items that the encoder sees at once; each is 10 seconds long for it."""


from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmfuse.data.latents_layout import EncoderIdentity
from mmfuse.extraction.pretrained import content_of, expect_dim, load_model, placed, transformers
from mmfuse.extraction.sounds import read_sound

RATE, SECONDS = 48_000, 10.0


def open_encoder(size: str, options: Options, *, device: torch.device) -> Encoder:
    """The encoder.

    Raises:
        DataMissing, DataInvalid: when libraries or weights are absent or incomplete.
    """
    from mmfuse.extraction.encoder import Encoder

    published = SIZES[size]
    model: Any = load_model("ClapModel", published, options).audio_model
    bins = model.config.num_mel_bins
    features = transformers().ClapFeatureExtractor(feature_size=bins, truncation="rand_trunc", padding="repeatpad")
    identity = EncoderIdentity(
        name=f"htsat-{size}",
        weights=content_of(model),
        pooling="mean over the last stage",
        normalised=False,
        preprocessing={"rate": RATE, "seconds": SECONDS, "bins": bins, "short clips": "repeated"},
        computed_in=options.precision,
    )
    dim = expect_dim(model.config.hidden_size, published, options)
    model = placed(model, options, device)
    dtype = getattr(torch, options.precision)

    def prepare(path: str) -> Tensor:
        """Spectrogram (1, frames, bins)."""
        wave = read_sound(path, rate=RATE, seconds=SECONDS)
        spectrogram: Tensor = features(wave, sampling_rate=RATE, return_tensors="pt").input_features[0]
        return spectrogram

    def forward(items: Sequence[Tensor]) -> Tensor:
        fed = torch.stack(list(items)).to(device, dtype)
        long = torch.zeros(len(items), 1, dtype=torch.bool, device=device)
        pooled: Tensor = model(input_features=fed, is_longer=long).pooler_output
        return pooled

    return Encoder(identity, dim, prepare=prepare, forward=forward)
