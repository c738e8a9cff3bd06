"""MFAS: the taps of every backbone as columns, the fusion layers as rows, and a dot where a layer reads a tap."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len

from mmfuse.architecture import Architecture
from mmfuse.backbones import BackboneChoice, choose_backbones, tap_widths
from mmfuse.errors import MmfuseError
from mmfuse.task import Modality, Task
from mmfuse_tui.clean import clean, fit
from mmfuse_tui.sketch import Line, Sketch

ACTIVATIONS = ("relu", "sigmoid", "leaky relu")
"""Words for the activation codes of the published arrays."""
_STEP = re.compile(r"sweep \d+/level (\d+)")
LEFT = 9
"""Cells before the first tap: room for the names of the layers."""
TAP, TAP_NARROW, GAP = 4, 3, 4
"""Cells per tap, and between the last tap of a backbone and the first of the next."""


def draw(params: Mapping[str, Any], width: int, task: Task | None) -> list[Line]:
    """Backbones from shallow to deep on top; below them each layer with the taps it reads, down to the head."""
    layers = [[int(value) for value in row] for row in params["layers"]]
    counts = tap_counts(params, task)
    names = [clean(str(name)) for name in params["modalities"]]
    step = TAP if _right_edge(counts, TAP) + 24 <= width else TAP_NARROW
    columns = _columns(counts, step)
    sketch = Sketch()
    _draw_backbones(sketch, names, _families(params), columns, layers, step)
    right = max(max(column) for column in columns) + step
    for nth, row in enumerate(layers):
        _draw_layer(sketch, nth, row, columns, right, words=f"{ACTIVATIONS[row[-1]]} {params.get('width', '')}")
    _draw_spine(sketch, layers, right)
    return sketch.lines()


def choices(params: Mapping[str, Any]) -> dict[str, str]:
    """How deep the network is, and what each layer reads; "none" for layers it does not have."""
    layers = params["layers"]
    chosen = {"depth": str(len(layers))}
    for nth, row in enumerate(layers, start=1):
        for name, tap in zip(params["modalities"], row[:-1], strict=True):
            chosen[f"layer {nth} {name} tap"] = str(tap)
        chosen[f"layer {nth} activation"] = ACTIVATIONS[row[-1]]
    return chosen


def baseline(params: Mapping[str, Any], task: Task | None) -> str:
    """Late fusion: one ReLU layer that reads the last tap of every backbone."""
    late = [*(count - 1 for count in tap_counts(params, task)), 0]
    return "late fusion" if [list(row) for row in params["layers"]] == [late] else ""


def parents(child: Architecture, earlier: Sequence[Architecture]) -> list[int]:
    """The chain of which a step changed the layer of its level, or to which it appended one; of several the best.

    In the first sweep there is but one such chain as long as nothing longer is known. Networks of other strategies,
    and those of the first step, are made of nothing.
    """
    step = _STEP.fullmatch(child.stage)
    if step is None:
        return []
    level, layers = int(step[1]) - 1, child.params["layers"]
    place = min(level, len(layers) - 1)
    chains = [other.params["layers"] if other.family == child.family else [] for other in earlier]
    return [nth for nth, chain in enumerate(chains) if chain and _leads_to(chain, layers, place, level)][:1]


def _leads_to(chain: Sequence[Any], child: Sequence[Any], place: int, level: int) -> bool:
    """Whether the step at ``level`` (from 0), which touched layer ``place`` of the child, may have had the chain."""
    if len(chain) == place == len(child) - 1:
        return bool(chain == child[:place])
    changed = len(chain) == len(child) > level
    return changed and (chain[:place], chain[place + 1 :]) == (child[:place], child[place + 1 :])


def tap_counts(params: Mapping[str, Any], task: Task | None) -> list[int]:
    """Taps of each backbone: as the backbones declare, or at least those that are read where nobody knows them.

    Without a task the backbones are the LeNets, unless ``params`` name them.
    """
    used = [1 + max(int(row[place]) for row in params["layers"]) for place in range(len(params["modalities"]))]
    try:
        given = {
            name: BackboneChoice.model_validate(choice) for name, choice in (params.get("backbones") or {}).items()
        }
        known = task or _unknown(params["modalities"])
        chosen = choose_backbones(known, given, modalities=params["modalities"])
        declared = [len(tap_widths(choice, known)) for choice in chosen.values()]
    except (MmfuseError, ValueError):
        return used
    return [max(pair) for pair in zip(used, declared, strict=True)]


def _unknown(modalities: Sequence[str]) -> Task:
    """A task of which nothing is known but its modalities."""
    return Task("", "multiclass", tuple(Modality(name, "vector", (1,)) for name in modalities), 1, "")


def _families(params: Mapping[str, Any]) -> list[str]:
    given = params.get("backbones") or {}
    return [clean(str((given.get(name) or {}).get("family", f"lenet_{name}"))) for name in params["modalities"]]


def _columns(counts: Sequence[int], step: int) -> list[list[int]]:
    """Where each tap stands, per modality."""
    columns, x = [], LEFT
    for count in counts:
        columns.append([x + step * nth for nth in range(count)])
        x += step * count + GAP
    return columns


def _right_edge(counts: Sequence[int], step: int) -> int:
    return max(_columns(counts, step)[-1])


def _draw_backbones(
    sketch: Sketch,
    names: Sequence[str],
    families: Sequence[str],
    columns: Sequence[Sequence[int]],
    layers: Sequence[Sequence[int]],
    step: int,
) -> None:
    sketch.text(0, 2, "tap", "plot--label")
    for place, (name, family, taps) in enumerate(zip(names, families, columns, strict=True)):
        room = step * len(taps) + GAP - 1
        both = f"{name} · {family}"
        sketch.text(taps[0], 0, both if cell_len(both) <= room else fit(name, room).strip(), f"series--{place % 6}")
        if len(taps) > 1:
            sketch.wire((taps[0], 1), (taps[-1], 1))
        for tap, x in enumerate(taps):
            read = [nth for nth, row in enumerate(layers) if row[place] == tap]
            sketch.text(x, 1, "●" if read else "○", f"series--{place % 6}" if read else "plot--axis")
            sketch.text(x, 2, str(tap), "plot--label")
            if read:
                sketch.wire((x, 3), (x, _row_of(read[-1])))


def _draw_layer(
    sketch: Sketch, nth: int, row: Sequence[int], columns: Sequence[Sequence[int]], right: int, *, words: str
) -> None:
    y = _row_of(nth)
    sketch.text(0, y, f"layer {nth + 1}", "plot--title")
    first = min(columns[place][tap] for place, tap in enumerate(row[:-1]))
    sketch.wire((first, y), (right, y))
    for place, tap in enumerate(row[:-1]):
        sketch.text(columns[place][tap], y, "●", f"series--{place % 6}")
    sketch.text(right + 1, y, "▶ ", "plot--axis")
    sketch.text(right + 3, y, words.strip(), "plot--title")


def _draw_spine(sketch: Sketch, layers: Sequence[Sequence[int]], right: int) -> None:
    """From each layer's output down into the next layer, and from the last to the head."""
    for nth in range(len(layers)):
        sketch.text(right + 3, _row_of(nth) + 1, "│", "plot--axis")
    sketch.text(right + 3, _row_of(len(layers)), "▼ head", "series--0")


def _row_of(layer: int) -> int:
    return 4 + 2 * layer
