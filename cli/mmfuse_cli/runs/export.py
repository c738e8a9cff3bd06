"""`mmfuse runs export`: runs as a table for a paper, a spreadsheet or a program."""

from __future__ import annotations

import csv as csv_format
import io
import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse_cli.access import meet, open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Conditions, Home, Output
from mmfuse_cli.render import SCHEMA, say, spelled, write_data
from mmfuse_cli.runs.ls import ordered, views_of

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


class Format(StrEnum):
    """How runs are written."""

    CSV = "csv"
    JSON = "json"
    MARKDOWN = "md"
    LATEX = "latex"


@examples(
    "mmfuse runs export tag:paper -f latex -o table.tex",
    "mmfuse runs export kind:search --format csv > searches.csv",
)
def export(
    conditions: Conditions = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How the runs are written.")] = Format.CSV,
    sort: Annotated[str, typer.Option("--sort", help="As in mmfuse runs ls.")] = "created",
    output: Output = None,
    home: Home = None,
) -> None:
    """Write runs as CSV, JSON, Markdown or LaTeX.

    One row a run: what it is, what it cost, and every metric that any of the runs has. The LaTeX table needs the
    package booktabs.
    """
    store = open_store(home, read_only=True)
    views = ordered(views_of(store, meet(store, store.records(), conditions)), sort)
    records = [view.record for view in views]
    text = WRITERS[format](records)
    if output is None:
        write_data(text)
    else:
        output.write_text(text, encoding="utf-8")
        say(f"{len(records)} runs written to {output}")


def as_csv(records: Sequence[RunRecord]) -> str:
    """Comma-separated values with a title row; text that a spreadsheet would take for a formula is quoted."""
    file = io.StringIO()
    writer = csv_format.writer(file, lineterminator="\n")
    writer.writerow(_titles(records))
    writer.writerows([_defused(cell) for cell in row] for row in _rows(records))
    return file.getvalue()


def as_json(records: Sequence[RunRecord]) -> str:
    """The same answer as `mmfuse runs ls --json`."""
    answer = {"schema": SCHEMA, "runs": [spelled(record.to_json()) for record in records]}
    return json.dumps(answer, indent=2, ensure_ascii=False) + "\n"


def as_markdown(records: Sequence[RunRecord]) -> str:
    """A pipe table."""
    titles = _titles(records)
    lines = [titles, ["---"] * len(titles), *_rows(records)]
    return "".join(f"| {' | '.join(_markdown(cell) for cell in line)} |\n" for line in lines)


def as_latex(records: Sequence[RunRecord]) -> str:
    """A tabular with booktabs rules."""
    titles = _titles(records)
    lines = [" & ".join(map(_latex, line)) + r" \\" for line in (titles, *_rows(records))]
    head = [rf"\begin{{tabular}}{{{'l' * len(titles)}}}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join((*head, *lines[1:], r"\bottomrule", r"\end{tabular}", ""))


WRITERS: dict[Format, Callable[[Sequence[RunRecord]], str]] = {
    Format.CSV: as_csv,
    Format.JSON: as_json,
    Format.MARKDOWN: as_markdown,
    Format.LATEX: as_latex,
}


def _metrics(records: Sequence[RunRecord]) -> list[str]:
    return sorted({name for record in records for name in record.metrics})


def _titles(records: Sequence[RunRecord]) -> list[str]:
    return [*FACTS, *_metrics(records)]


def _rows(records: Sequence[RunRecord]) -> list[list[str]]:
    metrics = _metrics(records)
    return [
        [_cell(getattr(record, fact)) for fact in FACTS] + [_cell(record.metrics.get(name)) for name in metrics]
        for record in records
    ]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _defused(cell: str) -> str:
    return f"'{cell}" if cell[:1] in ("=", "@", "\t") or (cell[:1] in ("+", "-") and not _is_number(cell)) else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _markdown(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\n": " ",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _latex(cell: str) -> str:
    return "".join(_LATEX.get(character, character) for character in cell)
