"""`mmfuse runs tail`: the rows that a run measures, as they come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse_cli import complete
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Run
from mmfuse_cli.render import out, out_json_line
from mmfuse_runs.journal import JournalReader
from mmfuse_tui.wording import number

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore

POLL_S = 0.1
"""Seconds between two looks at a journal that is followed."""


@examples("mmfuse runs tail latest --follow", "mmfuse runs tail 7f3a --metric val/accuracy --json | jq .metrics")
def tail(
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing until the run ends.")] = False,
    lines: Annotated[int | None, typer.Option("--lines", "-n", help="Only the last rows there are.", min=0)] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="Only rows with this metric; may be repeated.", autocompletion=complete.metrics),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object per row.")] = False,
    home: Home = None,
) -> None:
    """Print what a run measures, row by row.

    Every row there is, of all attempts and trials in the order they were written; a resumed attempt may write a step
    again. Ctrl-C leaves and does not stop the run.
    """
    store = open_store(home, read_only=True)
    run_id = store.find(run)
    reader = JournalReader(store.folder(run_id).path / "metrics.jsonl")
    # Asked before the journal is read: what a run writes last is there before it has ended.
    live = store.record(run_id).live
    attempt = _Attempt()
    for row in deque(_rows(reader, attempt, metric or ()), maxlen=lines):
        _print(row, json=json)
    while follow and live:
        time.sleep(POLL_S)
        live = _live(store, run_id)
        for row in _rows(reader, attempt, metric or ()):
            _print(row, json=json)


class _Attempt:
    """The attempt whose rows are being read: headers in the journal say where one begins."""

    number = 1


def _live(store: RunStore, run_id: str) -> bool:
    return store.record(run_id).live


def _rows(reader: JournalReader, attempt: _Attempt, wanted: Collection[str]) -> Iterator[dict[str, Any]]:
    """New rows of numbers, reduced to the ``wanted`` metrics (all, for none)."""
    for row in reader.rows():
        if "attempt" in row:
            attempt.number = row["attempt"]
            continue
        measured = row.get("m")
        if not isinstance(measured, Mapping):
            continue
        metrics = {name: value for name, value in measured.items() if not wanted or name in wanted}
        if metrics:
            facts = {"step": row.get("s"), "epoch": row.get("e"), "time": row.get("t"), "trial": row.get("n")}
            yield {"attempt": attempt.number, **facts, "metrics": metrics}


def _print(row: Mapping[str, Any], *, json: bool) -> None:
    if json:
        out_json_line(row)
        return
    words = [f"step {row['step']}"]
    words += [f"{name} {row[name]}" for name in ("epoch", "trial") if row[name] is not None]
    words += [f"{name} {number(value)}" for name, value in row["metrics"].items() if isinstance(value, int | float)]
    out("  ".join(words))
