"""`mmfuse arch lineage`: which candidate of a search came from which, and the way to the best."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Run
from mmfuse_cli.plots import ROLE_COLOURS
from mmfuse_cli.render import out, out_json, out_painted, paint, safe_lines, width

SHOWN = 40
COLOURS = {**ROLE_COLOURS, "cell--accent": "green", "cell--strong": "bold"}


@examples("mmfuse arch lineage latest", "mmfuse arch lineage 7f3a --limit 0", "mmfuse arch lineage 7f3a --json")
def lineage(
    run: Run,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Draw at most so many candidates, the best; 0 draws all.")
    ] = SHOWN,
    json: Json = False,
    home: Home = None,
) -> None:
    """Draw which candidate of a search came from which.

    A chain of MFAS below the one of which it changes or appends a layer; with MixMAS the fusions below the encoders
    chosen, the networks below the fusion chosen. Stars mark the way to what was found, or to what leads. Random
    networks come from nothing. The JSON holds every candidate with its parents.
    """
    from mmfuse_runs.origin import architecture_at
    from mmfuse_tui.lineage import lineage_lines, lineage_of, winning_path

    store = open_store(home, read_only=True)
    record = store.record(store.find(run))
    folder = store.folder(record.id)
    candidates = lineage_of(folder.trials(), maximize=record.maximize)
    if not candidates:
        raise BadSpec(f"run {record.id} has no trials", "mmfuse runs ls kind:search")
    winner = None
    with suppress(BadSpec):  # it goes on, or was cut off: the best so far leads
        winner = architecture_at(store, record.id)[2]
    if json:
        path = [candidate.trial for candidate in winning_path(candidates, winner, maximize=record.maximize)]
        rows = [candidate.to_json() for candidate in candidates]
        named = {"run": record.id, "metric": record.metric, "maximize": record.maximize}
        out_json(named | {"path": path, "candidates": rows})
        return
    if not any(candidate.parents for candidate in candidates):
        out(f"{record.id}: none of its {len(candidates)} candidates came from another")
        return
    lines = lineage_lines(candidates, winner, width(), maximize=record.maximize, shown=limit or None)
    painted = ("".join(paint(safe_lines(text), COLOURS.get(role, "")) for text, role in line) for line in lines)
    out_painted([line.rstrip() for line in painted])
