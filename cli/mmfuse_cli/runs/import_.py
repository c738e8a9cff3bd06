"""`mmfuse runs import`: what other programs measured, as runs."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Name, Tags
from mmfuse_cli.render import out, out_json, warn

if TYPE_CHECKING:
    from mmfuse_runs.importing import Table


class Source(StrEnum):
    """What is read: a table, or a folder of TensorBoard's."""

    CSV = "csv"
    JSONL = "jsonl"
    TENSORBOARD = "tb"


@examples(
    "mmfuse runs import csv history.csv --metric val/accuracy --name baseline",
    "mmfuse runs import jsonl metrics.jsonl --step iteration --dataset avmnist",
    "mmfuse runs import tb runs/ --metric val/loss --tag old",
)
def import_(
    format: Annotated[Source, typer.Argument(help="What is read.", metavar="csv|jsonl|tb")],
    place: Annotated[
        Path, typer.Argument(help="A file with a row for every step, or a folder with event files.", metavar="PATH")
    ],
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
    """Make runs of what another program measured.

    Every column of numbers (every scalar of TensorBoard's) is a metric and keeps its values exactly; anything else is
    left out, and told. Every folder with event files becomes a run, named after it. An imported run is never ranked
    against others: nobody knows whether it saw the same data.
    """
    from mmfuse_runs.importing import import_run

    store = open_store(home)
    found = list(_tables(format, place, step=step, name=name))
    made = []
    for source, label, table in found:
        run_id = import_run(
            store,
            table,
            source=source,
            format=format.value,
            dataset=dataset,
            metric=metric,
            name=label,
            tags=tags or (),
        )
        facts = {"rows": len(table.rows), "metrics": table.metrics, "left_out": table.left_out}
        made.append({"run": run_id, "name": label, **facts})
        for column, cells in table.left_out.items():
            warn(f"{cells} values of '{column}' in {source} are no numbers and were left out")
        if not json:
            out(run_id)
    if json:
        out_json({"runs": made})


def _tables(format: Source, place: Path, *, step: str | None, name: str) -> Iterator[tuple[Path, str, Table]]:
    """What becomes a run each: where it comes from, what the run is called, and what was measured.

    Raises:
        BadSpec: there is nothing to import.
    """
    from mmfuse_runs.importing import read_events, read_table
    from mmfuse_runs.tensorboard import event_folders

    if format is not Source.TENSORBOARD:
        yield place, name, read_table(place, format.value, step=step)
        return
    if step is not None:
        raise BadSpec("event files say themselves which step a value is of", "leave --step out")
    folders = [(folder, read_events(folder)) for folder in event_folders(place)]
    measured = [(folder, table) for folder, table in folders if table.metrics]
    if not measured:
        raise BadSpec(f"no event file with a scalar lies in {place}", "events.out.tfevents.* are looked for")
    for folder, table in measured:
        below = folder.relative_to(place).as_posix()
        yield folder, " ".join(word for word in (name, "" if below == "." else below) if word), table
