"""`mmfuse runs import`: what other programs measured, as runs."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Name, Tags
from mmfuse_cli.render import out, out_json, warn

if TYPE_CHECKING:
    from mmfuse_runs.importing import Table
    from mmfuse_runs.wandb_log import LoggedRun


class Source(StrEnum):
    """What is read: a table, a folder of TensorBoard's, or one of Weights & Biases'."""

    CSV = "csv"
    JSONL = "jsonl"
    TENSORBOARD = "tb"
    WANDB = "wandb"


class Found(NamedTuple):
    """What becomes a run: where it comes from, what the run is called, what was measured, what else is known."""

    source: Path
    name: str
    table: Table
    logged: LoggedRun | None = None


@examples(
    "mmfuse runs import csv history.csv --metric val/accuracy --name baseline",
    "mmfuse runs import jsonl metrics.jsonl --step iteration --dataset avmnist",
    "mmfuse runs import tb runs/ --metric val/loss --tag old",
    "mmfuse runs import wandb wandb/ --metric val/accuracy",
)
def import_(
    format: Annotated[Source, typer.Argument(help="What is read.", metavar="csv|jsonl|tb|wandb")],
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

    Every column of numbers (every scalar of TensorBoard's, every number logged to Weights & Biases) is a metric and
    keeps its values exactly; anything else is left out, and told. Every folder with event files and every offline log
    becomes a run. An imported run is never ranked against others: nobody knows whether it saw the same data.
    """
    from mmfuse_runs.importing import ending_of, import_run

    store = open_store(home)
    found = list(_found(format, place, step=step, name=name))
    known = any(metric in each.table.metrics for each in found)
    made = []
    for source, label, table, logged in found:
        judged = metric is None or metric in table.metrics or not known
        if not judged:
            warn(f"{source} has no metric '{metric}', and its run no score")
        run_id = import_run(
            store,
            table,
            source=source,
            format=format.value,
            dataset=dataset,
            metric=metric if judged else None,
            name=label,
            tags=(*(tags or ()), *(logged.tags if logged else ())),
            logged=logged,
        )
        facts = {"rows": len(table.rows), "metrics": table.metrics, "left_out": table.left_out}
        made.append({"run": run_id, "name": label, **facts})
        for column, cells in table.left_out.items():
            warn(
                f"{cells} values of '{column}' in {source} are no numbers that can be kept exactly; they were left out"
            )
        if logged is not None and logged.exit_code is None:
            warn(f"{source}: {ending_of(logged)}")
        if not json:
            out(run_id)
    if json:
        out_json({"runs": made})


def _found(format: Source, place: Path, *, step: str | None, name: str) -> Iterator[Found]:
    """What becomes a run each.

    Raises:
        BadSpec: there is nothing to import.
    """
    from mmfuse_runs.importing import read_table

    if format in (Source.CSV, Source.JSONL):
        yield Found(place, name, read_table(place, format.value, step=step))
        return
    if step is not None:
        raise BadSpec("these logs say themselves which step a value is of", "leave --step out")
    yield from (_event_folders if format is Source.TENSORBOARD else _offline_logs)(place, name)


def _event_folders(place: Path, name: str) -> Iterator[Found]:
    from mmfuse_runs.importing import read_events
    from mmfuse_runs.tensorboard import event_folders

    folders = [(folder, read_events(folder)) for folder in event_folders(place)]
    measured = [(folder, table) for folder, table in folders if table.metrics]
    if not measured:
        raise BadSpec(f"no event file with a scalar lies in {place}", "events.out.tfevents.* are looked for")
    for folder, table in measured:
        below = folder.relative_to(place).as_posix()
        yield Found(folder, _joined(name, "" if below == "." else below), table)


def _offline_logs(place: Path, name: str) -> Iterator[Found]:
    from mmfuse_runs.importing import read_wandb
    from mmfuse_runs.wandb_log import PATTERN, logs_below

    logs = [(path, *read_wandb(path)) for path in logs_below(place)]
    measured = [(path, table, logged) for path, table, logged in logs if table.metrics]
    if not measured:
        empty = f" ({len(logs)} without one)" if logs else ""
        raise BadSpec(f"no offline log with a number lies in {place}{empty}", f"{PATTERN} are looked for")
    for path, table, logged in measured:
        yield Found(path, _joined(name, logged.name), table, logged)


def _joined(*words: str) -> str:
    return " ".join(filter(None, words))
