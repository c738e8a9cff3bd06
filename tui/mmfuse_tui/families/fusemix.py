"""FuseMix: latents of frozen encoders, blended by one share, through an adapter each into one space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmfuse.task import Task
from mmfuse_tui.branches import Part, draw_branches
from mmfuse_tui.sketch import Line


def draw(params: Mapping[str, Any], width: int, task: Task | None) -> list[Line]:
    """A branch per modality: its latents, what is done to them, the adapter; then the common space and the loss."""
    depths = params["depth"]
    names = list(depths) if isinstance(depths, Mapping) else _modalities(task)
    augmented = _augmented(params)
    branches = []
    for name in names:
        depth = depths[name] if isinstance(depths, Mapping) else depths
        adapter = Part("adapter", f"{depth} deep · x{params['expansion']}")
        branches.append([Part(name), *augmented, adapter])
    start = f"{'from' if params['learn_temperature'] else 'fixed'} {params['temperature']:g}"
    trunk = [Part("space", f"{params['embed']} wide"), Part("InfoNCE", f"τ {start}")]
    return draw_branches(branches, trunk, width=width)


def choices(params: Mapping[str, Any]) -> dict[str, str]:
    """What FuseMix's ablations change."""
    chosen = {"blend": str(params["blend"]), "noise": f"{params['noise']:g}", "dropout": f"{params['dropout']:g}"}
    if params["blend"] != "none":
        chosen |= {"share per": str(params["share_per"]), "alpha": f"{params['alpha']:g}"}
    return chosen | {
        "depth": str(params["depth"]),
        "embed": str(params["embed"]),
        "positives": str(params["positives"]),
    }


def _modalities(task: Task | None) -> list[str]:
    return [modality.name for modality in task.modalities] if task is not None else ["each modality"]


def _augmented(params: Mapping[str, Any]) -> list[Part]:
    parts = []
    if params["blend"] != "none":
        parts.append(Part("blend", str(params["blend"]) + (" · per pair" if params["share_per"] == "pair" else "")))
    if params["noise"]:
        parts.append(Part("noise", f"σ {params['noise']:g}"))
    return parts
