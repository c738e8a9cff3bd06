"""MixMAS and its baseline: an encoder per modality, a fusion function, a fusion network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmfuse.architecture import Architecture
from mmfuse.task import Task
from mmfuse_tui.branches import Part, draw_branches
from mmfuse_tui.sketch import Line


def draw(params: Mapping[str, Any], width: int, task: Task | None) -> list[Line]:
    """Modalities and their encoders, joined by the fusion function, then network and head."""
    encoders = params["encoders"]
    branches = [[Part(name, stem_words(encoder)), block_part(encoder)] for name, encoder in encoders.items()]
    trunk = [Part(str(params.get("fusion", "concat")), "fusion"), block_part(params["network"]), Part("head")]
    return draw_branches(branches, trunk, width=width)


def choices(params: Mapping[str, Any]) -> dict[str, str]:
    """Which block encodes what, and how the encodings are fused."""
    chosen = {f"encoder of {name}": str(encoder["block"]) for name, encoder in sorted(params["encoders"].items())}
    return chosen | {"fusion": str(params["fusion"]), "network": str(params["network"]["block"])}


def parents(child: Architecture, earlier: Sequence[Architecture]) -> list[int]:
    """A fusion is made of the encoders chosen, one of each modality; a network is put behind the fusion chosen."""
    encoders, fusion = child.params["encoders"], child.params["fusion"]
    if child.stage == "network":
        before = [("fusion", {"encoders": encoders, "fusion": fusion})]
    elif child.stage == "fusion":
        before = [(f"encoder/{name}", {"encoder": encoder}) for name, encoder in encoders.items()]
    else:  # of another search over the same models, which makes its candidates of nothing
        return []
    found = (_place(earlier, stage, choices) for stage, choices in before)
    return [place for place in found if place is not None]


def _place(earlier: Sequence[Architecture], stage: str, choices: Mapping[str, Any]) -> int | None:
    """The first architecture of a stage that has these choices."""
    fitting = (
        place
        for place, other in enumerate(earlier)
        if other.stage == stage and all(other.params.get(name) == choice for name, choice in choices.items())
    )
    return next(fitting, None)


def block_part(choice: Mapping[str, Any]) -> Part:
    """A mixer block with its sizes."""
    sizes = [f"{choice['depth']} deep"] if "depth" in choice else []
    sizes += [f"{choice['dim']} wide"] if "dim" in choice else []
    return Part(str(choice["block"]), " · ".join(sizes))


def stem_words(choice: Mapping[str, Any]) -> str:
    """How a modality is cut up before its encoder."""
    return f"patch {choice['patch']}" if "patch" in choice else ""
