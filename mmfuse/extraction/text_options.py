"""What text encoders can be told, free of torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmfuse.encoding import PretrainedOptions


class TextOptions(PretrainedOptions):
    """How captions are made ready, and where the weights are."""

    clean: bool = True
    """Lower case, no punctuation, the first words only, as in FuseMix's released code."""
    words: Annotated[int, Field(ge=1)] = 50
    """Words that cleaning keeps (FuseMix: 50)."""
    prompt: str = ""
    """Put before every caption."""
    tokens: Annotated[int, Field(ge=8)] = 512
    """Most tokens of a caption; the rest is cut off (published: 512)."""
    normalise: bool = False
    """Whether vectors get length 1 (the models' own cards: yes; FuseMix trains on them as they are)."""
