"""Captions as text encoders are fed them."""

from __future__ import annotations

import re

from mmfuse.extraction.encoder import UnreadableItem


def clean_caption(caption: str, *, words: int) -> str:
    """Lower case, punctuation to spaces, spaces run together, the first ``words`` words.

    These are the rules that FuseMix's released code takes from BLIP. They leave commas, apostrophes and hyphens.
    """
    text = re.sub(r"([.!\"()*#:;~])", " ", caption.lower())
    text = re.sub(r"\s{2,}", " ", text).rstrip("\n").strip(" ")
    return " ".join(text.split(" ")[:words])


def read_caption(caption: str, *, clean: bool, words: int, prompt: str) -> str:
    """The prompt and the caption, cleaned if wanted.

    Raises:
        UnreadableItem: for one that has no words.
    """
    text = clean_caption(caption, words=words) if clean else " ".join(caption.split())
    if not text:
        raise UnreadableItem(caption)
    return prompt + text
