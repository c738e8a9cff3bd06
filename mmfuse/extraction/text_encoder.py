"""BERT-like text encoders: captions in, one token or the mean of the real tokens out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from mmfuse.data.latents_layout import EncoderIdentity
from mmfuse.encoding import Published
from mmfuse.extraction.captions import read_caption
from mmfuse.extraction.encoder import Encoder, masked_mean, unit_length
from mmfuse.extraction.pretrained import content_of, expect_dim, load_model, load_tokenizer, placed
from mmfuse.extraction.text_options import TextOptions

Pooling = Literal["cls", "mean"]


def open_text_encoder(
    name: str, published: Published, options: TextOptions, *, pooling: Pooling, device: torch.device
) -> Encoder:
    """The encoder of published weights that pools as its authors say.

    Captions of one batch are padded to the longest; the mask keeps padding out of attention and mean.

    Raises:
        DataMissing, DataInvalid: when libraries or weights are absent or incomplete.
    """
    tokenizer = load_tokenizer(published, options)
    # BERT's pooler is a tanh layer of its pretraining, not the token: it is left out.
    model = load_model("BertModel", published, options, add_pooling_layer=False)
    identity = EncoderIdentity(
        name=name,
        weights=content_of(model),
        pooling=pooling,
        normalised=options.normalise,
        preprocessing={
            "clean": options.clean,
            "words": options.words if options.clean else None,
            "prompt": options.prompt,
            "tokens": options.tokens,
            "vocabulary": len(tokenizer),
        },
        computed_in=options.precision,
    )
    dim = expect_dim(model.config.hidden_size, published, options)
    model = placed(model, options, device)

    def forward(captions: Sequence[str]) -> Tensor:
        fed = tokenizer(
            list(captions), padding=True, truncation=True, max_length=options.tokens, return_tensors="pt"
        ).to(device)
        tokens = model(**fed).last_hidden_state
        pooled = tokens[:, 0] if pooling == "cls" else masked_mean(tokens, fed["attention_mask"])
        return unit_length(pooled) if options.normalise else pooled

    prepare = partial(read_caption, clean=options.clean, words=options.words, prompt=options.prompt)
    return Encoder(identity, dim, prepare=prepare, forward=forward)
