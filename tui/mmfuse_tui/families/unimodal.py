"""One modality with an encoder and a head: a candidate of MixMAS's first questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmfuse.task import Task
from mmfuse_tui.branches import Part, draw_branches
from mmfuse_tui.families.mixmas import block_part, stem_words
from mmfuse_tui.sketch import Line


def draw(params: Mapping[str, Any], width: int, task: Task | None) -> list[Line]:
    """Modality, encoder, head."""
    encoder = params["encoder"]
    branch = [Part(str(params["modality"]), stem_words(encoder)), block_part(encoder)]
    return draw_branches([branch], [Part("head", f"{params.get('head_hidden', '')} hidden".strip())], width=width)


def choices(params: Mapping[str, Any]) -> dict[str, str]:
    """Which block encodes the modality."""
    return {f"encoder of {params['modality']}": str(params["encoder"]["block"])}
