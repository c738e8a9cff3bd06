"""M2-Mixer: MLP-Mixer encoders, concatenation, an MLP-Mixer, and a head of its own for every modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmfuse.task import Task
from mmfuse_tui.branches import Part, draw_branches
from mmfuse_tui.families import mixmas
from mmfuse_tui.families.mixmas import block_part, stem_words
from mmfuse_tui.sketch import Line


def draw(params: Mapping[str, Any], width: int, task: Task | None) -> list[Line]:
    """As MixMAS's, with the modalities' own heads named beside their encoders."""
    branches = []
    for name, encoder in params["encoders"].items():
        block = block_part(encoder)
        branches.append([Part(name, stem_words(encoder)), Part(block.title, f"{block.words} · own head")])
    trunk = [Part(str(params.get("fusion", "concat")), "fusion"), block_part(params["network"]), Part("head")]
    return draw_branches(branches, trunk, width=width)


def choices(params: Mapping[str, Any]) -> dict[str, str]:
    """The same decisions as MixMAS's; the fusion is concatenation unless the parameters say otherwise."""
    return mixmas.choices({"fusion": "concat", **params})
