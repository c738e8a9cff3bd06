"""`mmfuse runs diff`: where the settings and results of runs differ."""

from __future__ import annotations

import json as codec
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Runs
from mmfuse_cli.render import out_json, out_painted, say, width
from mmfuse_cli.runs.ls import views_of
from mmfuse_cli.table import Column, draw
from mmfuse_runs.comparison import differing, flattened
from mmfuse_runs.fields import RunView, field_named
from mmfuse_tui.wording import number

if TYPE_CHECKING:
    from mmfuse_runs.folder import RunFolder


@examples(
    "mmfuse runs diff 7f3a 91bc", "mmfuse runs diff 7f3a latest --all", "mmfuse runs diff 7f3a 91bc 0d1e --curves"
)
def diff(
    runs: Runs,
    everything: Annotated[bool, typer.Option("--all", help="Show what is equal, too.")] = False,
    curves: Annotated[bool, typer.Option("--curves", help="Add where each metric's curve ended and was best.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show where the settings and results of runs differ.

    Settings first, then how the last attempts were started (versions, git, device), then results; with --curves also
    the last and the best value of every metric that was measured along the way.
    """
    store = open_store(home, read_only=True)
    ids = [store.find(run) for run in runs]
    if len(set(ids)) < 2:
        raise BadSpec(f"a difference needs two runs, got {len(set(ids))}", "mmfuse runs diff RUN RUN")
    views = views_of(store, [store.record(run_id) for run_id in ids])
    facts = [_facts(store.folder(view.record.id), view.record.metrics) for view in views]
    if curves:
        facts = [known | _reached(view) for known, view in zip(facts, views, strict=True)]
    rows = differing(facts, everything=everything)
    if json:
        out_json({"runs": ids, "differences": rows})
        return
    if not rows:
        say("no difference")
        return
    columns = [Column("key", ""), *(Column(run_id, run_id) for run_id in ids)]
    cells = [
        {"key": key} | {run: _shown(value) for run, value in zip(ids, values, strict=True)}
        for key, values in rows.items()
    ]
    out_painted(draw(columns, cells, width=width()))


def _facts(folder: RunFolder, metrics: Mapping[str, float]) -> dict[str, Any]:
    attempts = folder.launch().get("attempts") or [{}]
    started = {key: attempts[-1].get(key) for key in ("mmfuse", "python", "host", "device", "git")}
    result = (folder.exit() or {}).get("result") or {}
    told = {f"result.{key}": result[key] for key in ("fingerprint", "architecture_key", "parameters") if key in result}
    return {**flattened(folder.spec()), **flattened(started, "started."), **told, **metrics}


def _reached(view: RunView) -> dict[str, Any]:
    """Where every curve ended, and its best value."""
    names = [] if view.curves is None else view.curves.names()
    fields = [field_named(f"{function}({name})") for name in names for function in ("last", "best")]
    return {field.name: field.read(view) for field in fields}


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, str) else codec.dumps(value, ensure_ascii=False)
