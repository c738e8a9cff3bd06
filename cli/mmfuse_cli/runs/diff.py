"""`mmfuse runs diff`: where the settings, results, code and packages of runs differ."""

from __future__ import annotations

import json as codec
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Runs
from mmfuse_cli.render import out_json, out_painted, say, width
from mmfuse_cli.runs.code_diff import code_differences, draw_code
from mmfuse_cli.runs.ls import views_of
from mmfuse_cli.table import Column, draw
from mmfuse_runs.comparison import differing, flattened
from mmfuse_runs.fields import RunView, field_named
from mmfuse_tui.wording import number

if TYPE_CHECKING:
    from mmfuse_runs.folder import RunFolder
    from mmfuse_runs.records import RunRecord


@examples(
    "mmfuse runs diff 7f3a 91bc", "mmfuse runs diff 7f3a latest --code", "mmfuse runs diff 7f3a 91bc 0d1e --no-curves"
)
def diff(
    runs: Runs,
    everything: Annotated[bool, typer.Option("--all", help="Show what is equal, too.")] = False,
    curves: Annotated[
        bool, typer.Option("--curves/--no-curves", help="Show where each metric's curve ended and was best, too.")
    ] = True,
    code: Annotated[bool, typer.Option("--code", help="Show all changes of the code, not only the first.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show where the settings, results, code and packages of runs differ.

    Settings first, then how the last attempts were started (versions, git, device), then results, with the last and
    the best value of every metric that was measured along the way; then what was changed in the code from the first
    run to each other, and packages of other versions.
    """
    store = open_store(home, read_only=True)
    ids = list(dict.fromkeys(store.find(run) for run in runs))
    if len(ids) < 2:
        raise BadSpec(f"a difference needs two runs, got {len(ids)}", "mmfuse runs diff RUN RUN")
    views = views_of(store, [store.record(run_id) for run_id in ids])
    attempts = [_last_attempt(store.folder(run_id)) for run_id in ids]
    sections = {
        "settings": [flattened(store.folder(run_id).spec()) for run_id in ids],
        "started": [flattened({key: each.get(key) for key in _STARTED}, "started.") for each in attempts],
        "results": [_results(store.folder(view.record.id), view, curves=curves) for view in views],
    }
    differences = {title: differing(facts, everything=everything) for title, facts in sections.items()}
    packages = differing([each.get("packages") or {} for each in attempts], everything=everything)
    codes = code_differences(store, {run: each.get("code") for run, each in zip(ids, attempts, strict=True)})
    if json:
        flat = {key: values for rows in differences.values() for key, values in rows.items()}
        told = [each.to_json(whole=code) for each in codes]
        out_json({"runs": ids, "differences": flat, "code": told, "packages": packages})
        return
    titles = _titles([view.record for view in views])
    parts = [_table(name, titles, rows) for name, rows in differences.items() if rows]
    parts += [draw_code(each, whole=code) for each in codes]
    parts += [_table("packages", titles, packages)] if packages else []
    if not parts:
        say("no difference")
        return
    out_painted([line for part in parts for line in ("", *part)][1:])


_STARTED = ("mmfuse", "python", "host", "device", "git")


def _titles(records: Sequence[RunRecord]) -> list[str]:
    """Names, where all runs have their own; else the ends of the ids, which stay readable in narrow columns."""
    names = [record.name for record in records]
    return names if all(names) and len(set(names)) == len(names) else [each.id.rpartition("-")[2] for each in records]


def _table(name: str, titles: Sequence[str], rows: Mapping[str, Sequence[Any]]) -> list[str]:
    columns = [Column("key", name), *(Column(str(place), title) for place, title in enumerate(titles))]
    cells = [
        {"key": key} | {str(place): _shown(value) for place, value in enumerate(values)} for key, values in rows.items()
    ]
    return draw(columns, cells, width=width())


def _last_attempt(folder: RunFolder) -> Mapping[str, Any]:
    attempts = folder.launch().get("attempts") or [{}]
    return attempts[-1] if isinstance(attempts[-1], Mapping) else {}


def _results(folder: RunFolder, view: RunView, *, curves: bool) -> dict[str, Any]:
    result = (folder.exit() or {}).get("result") or {}
    told = {f"result.{key}": result[key] for key in ("fingerprint", "architecture_key", "parameters") if key in result}
    return {**told, **view.record.metrics, **(_reached(view) if curves else {})}


def _reached(view: RunView) -> dict[str, Any]:
    """Where every curve ended, and its best value."""
    names = [] if view.curves is None else view.curves.names()
    fields = [field_named(f"{function}({name})") for name in names for function in ("last", "best")]
    return {field.name: field.read(view) for field in fields}


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, str) else codec.dumps(value, ensure_ascii=False)
