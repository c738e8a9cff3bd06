"""`mmfuse runs export`: runs as a table for a paper, a spreadsheet or a program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli import complete
from mmfuse_cli.access import meet, open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Conditions, Home, Output
from mmfuse_cli.render import SCHEMA, say, spelled, warn, write_data
from mmfuse_cli.runs.formats import WRITERS, Cell, Format
from mmfuse_cli.runs.ls import ordered, views_of
from mmfuse_cli.runs.pivot import Agg, Pivot, pivot_of
from mmfuse_runs.fields import field_named

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

FACTS = (
    "id",
    "name",
    "kind",
    "subject",
    "dataset_label",
    "seed",
    "state",
    "architecture",
    "parameters",
    "macs",
    "seconds",
)
"""What every row says before the metrics."""


@examples(
    "mmfuse runs export tag:paper -f latex -o table.tex",
    "mmfuse runs export kind:search --format csv > searches.csv",
    "mmfuse runs export tag:paper --rows subject --cols dataset --agg mean+-std -f latex",
)
def export(
    conditions: Conditions = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How the runs are written.")] = Format.CSV,
    sort: Annotated[
        str, typer.Option("--sort", help="As in mmfuse runs ls.", autocompletion=complete.fields)
    ] = "created",
    rows: Annotated[
        str | None,
        typer.Option("--rows", help="Sum runs up, a row for each value of this field.", autocompletion=complete.fields),
    ] = None,
    cols: Annotated[
        str,
        typer.Option(
            "--cols", help="With --rows: a column for each value of this field.", autocompletion=complete.fields
        ),
    ] = "dataset",
    value: Annotated[
        str, typer.Option("--value", help="With --rows: what is summed up.", autocompletion=complete.fields)
    ] = "score",
    agg: Annotated[Agg, typer.Option("--agg", help="With --rows: how it is summed up.")] = Agg.MEAN_STD,
    output: Output = None,
    home: Home = None,
) -> None:
    """Write runs as CSV, JSON, Markdown or LaTeX.

    One row a run: what it is, what it cost, and every metric that any of the runs has. With --rows a table of two
    fields instead, where the best of each column is bold. The LaTeX table needs the package booktabs.
    """
    store = open_store(home, read_only=True)
    views = ordered(views_of(store, meet(store, store.records(), conditions)), sort)
    if rows is None:
        text = _listed([view.record for view in views], format)
    else:
        named = field_named(rows), field_named(cols), field_named(value)
        summed = pivot_of(views, rows=named[0], cols=named[1], value=named[2])
        if summed.mixed:
            warn(f"no best in {', '.join(sorted(summed.mixed))}: the runs saw different data (fingerprints differ)")
        text = _pivoted(summed, format, agg, corner=rows)
    if output is None:
        write_data(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadSpec(f"{output} cannot be written: {error.strerror}", "name a file in a folder of yours") from error
    say(f"{len(views)} runs written to {output}")


def _listed(records: Sequence[RunRecord], format: Format) -> str:
    """A row for each run; as JSON the same answer as `mmfuse runs ls --json`."""
    if format is Format.JSON:
        return _json({"runs": [record.to_json() for record in records]})
    metrics = sorted({name for record in records for name in record.metrics})
    cells = [
        [_cell(getattr(record, fact)) for fact in FACTS] + [_cell(record.metrics.get(name)) for name in metrics]
        for record in records
    ]
    return WRITERS[format]([*FACTS, *metrics], cells)


def _pivoted(summed: Pivot, format: Format, agg: Agg, *, corner: str) -> str:
    if format is Format.JSON:
        return _json({"rows": summed.rows, "cols": summed.cols, "agg": agg.value, "cells": summed.to_json(agg)})
    return WRITERS[format]([corner, *summed.cols], summed.cells(agg))


def _json(answer: Mapping[str, Any]) -> str:
    return json.dumps({"schema": SCHEMA, **spelled(answer)}, indent=2, ensure_ascii=False) + "\n"


def _cell(value: Any) -> Cell:
    if value is None:
        return Cell("")
    return Cell(f"{value:.6g}" if isinstance(value, float) else str(value))
