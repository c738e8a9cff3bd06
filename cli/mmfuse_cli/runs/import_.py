"""`mmfuse runs import`: what other programs measured, as runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Name, Tags
from mmfuse_cli.render import out, out_json, warn


class Source(StrEnum):
    """What a file is written in."""

    CSV = "csv"
    JSONL = "jsonl"


@examples(
    "mmfuse runs import csv history.csv --metric val/accuracy --name baseline",
    "mmfuse runs import jsonl metrics.jsonl --step iteration --dataset avmnist",
)
def import_(
    format: Annotated[Source, typer.Argument(help="What the file is written in.", metavar="csv|jsonl")],
    file: Annotated[Path, typer.Argument(help="A row for every step.", metavar="FILE", dir_okay=False)],
    metric: Annotated[
        str | None, typer.Option("--metric", help="What the run is judged by; its best value is the score.")
    ] = None,
    step: Annotated[
        str | None, typer.Option("--step", help="The column that counts [step, iteration, epoch, ...].")
    ] = None,
    dataset: Annotated[str, typer.Option("--dataset", help="What it was measured on, for the listing.")] = "imported",
    name: Name = "",
    tags: Tags = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Make a run of a table that another program wrote.

    Every column of numbers is a metric and keeps its values exactly. Columns of text are left out, and told. An
    imported run is never ranked against others: nobody knows whether it saw the same data.
    """
    from mmfuse_runs.importing import import_run, read_table

    table = read_table(file, format.value, step=step)
    run_id = import_run(
        open_store(home),
        table,
        source=file,
        format=format.value,
        dataset=dataset,
        metric=metric,
        name=name,
        tags=tags or (),
    )
    for column, cells in table.left_out.items():
        warn(f"{cells} cells of '{column}' are no numbers and were left out")
    if json:
        facts = {"rows": len(table.rows), "metrics": table.metrics, "left_out": table.left_out}
        out_json({"run": run_id, **facts})
    else:
        out(run_id)
