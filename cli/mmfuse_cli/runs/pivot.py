"""Runs summed up in a table of two fields: algorithms against datasets, mean and deviation over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mmfuse.errors import BadSpec
from mmfuse_cli.runs.formats import Cell
from mmfuse_runs.comparison import is_number
from mmfuse_runs.fields import Field, RunView, check_settings, less_is_better
from mmfuse_tui.wording import number

NOTHING = "-"
"""Stands for a field that a run does not have."""


class Agg(StrEnum):
    """What one cell says of its runs."""

    MEAN_STD = "mean+-std"
    MEAN = "mean"
    MEDIAN = "median"
    BEST = "best"
    COUNT = "count"


@dataclass(frozen=True)
class Pivot:
    """The values of runs by the words of two fields.

    ``less`` is better in a column; columns whose runs saw ``mixed`` data have no best cell.
    """

    rows: tuple[str, ...]
    cols: tuple[str, ...]
    values: Mapping[tuple[str, str], tuple[float, ...]]
    less: bool
    mixed: frozenset[str]

    def best_of(self, col: str, agg: Agg) -> float | None:
        """The best figure of a column; None where there is no contest."""
        figures = [self.figure(row, col, agg) for row in self.rows]
        known = [figure for figure in figures if figure is not None]
        if agg is Agg.COUNT or col in self.mixed or len(known) < 2:
            return None
        return min(known) if self.less else max(known)

    def figure(self, row: str, col: str, agg: Agg) -> float | None:
        """What the runs of a cell come to; None for a cell without any."""
        values = self.values.get((row, col))
        if not values:
            return None
        if agg is Agg.BEST:
            return min(values) if self.less else max(values)
        if agg is Agg.COUNT:
            return float(len(values))
        return statistics.median(values) if agg is Agg.MEDIAN else statistics.fmean(values)

    def to_json(self, agg: Agg) -> list[dict[str, Any]]:
        """Every cell that has runs."""
        return [
            {
                "row": row,
                "col": col,
                "value": self.figure(row, col, agg),
                "mean": statistics.fmean(values),
                "std": statistics.stdev(values) if len(values) > 1 else None,
                "n": len(values),
                "best": self.figure(row, col, agg) == self.best_of(col, agg),
            }
            for row in self.rows
            for col in self.cols
            if (values := self.values.get((row, col)))
        ]

    def cells(self, agg: Agg) -> list[list[Cell]]:
        """The rows of the table, the best of each column bold."""
        return [[Cell(row), *(self._cell(row, col, agg) for col in self.cols)] for row in self.rows]

    def _cell(self, row: str, col: str, agg: Agg) -> Cell:
        figure, values = self.figure(row, col, agg), self.values.get((row, col), ())
        if figure is None:
            return Cell("")
        if agg is Agg.COUNT:
            return Cell(str(len(values)))
        text = number(figure)
        if agg is Agg.MEAN_STD and len(values) > 1:
            text += f" ± {statistics.stdev(values):.{_decimals(text)}f}"
        return Cell(text, bold=figure == self.best_of(col, agg))


def pivot_of(views: Sequence[RunView], *, rows: Field, cols: Field, value: Field) -> Pivot:
    """The finite values of ``value`` by the words of ``rows`` and ``cols``; words in the order of their sorting.

    Raises:
        BadSpec: no run has a value, or the value is no number.
        UnknownName: a setting that none of the runs has.
    """
    if not value.numeric and not value.setting:
        raise BadSpec(f"'{value.name}' is no number to sum up", "--value score, a metric, best(METRIC), seconds, ...")
    check_settings((rows, cols, value), views)
    values: dict[tuple[str, str], list[float]] = {}
    seen: dict[str, set[str]] = {}
    judged = []
    for view in views:
        measured = value.read(view)
        if isinstance(measured, int | float) and is_number(measured):
            row, col = _word(rows.read(view)), _word(cols.read(view))
            values.setdefault((row, col), []).append(float(measured))
            seen.setdefault(col, set()).add(view.record.fingerprint)
            judged.append(view.record)
    if not judged:
        raise BadSpec(f"none of {len(views)} runs has a {value.name}", "mmfuse runs ls")
    return Pivot(
        rows=tuple(sorted({row for row, _ in values})),
        cols=tuple(sorted(seen)),
        values={place: tuple(found) for place, found in values.items()},
        less=_less(value, judged[0]),
        mixed=frozenset(col for col, fingerprints in seen.items() if len(fingerprints) > 1),
    )


def _less(value: Field, record: Any) -> bool:
    """Whether a smaller value is better: as for the metric it is about; costs are better small."""
    if value.name == "score":
        return not record.maximize
    if "/" in value.name:
        return less_is_better(record, value.name.rpartition("(")[2].rstrip(")"))
    return True


def _word(value: Any) -> str:
    text = "" if value is None else str(value).replace("\n", " ")
    return text or NOTHING


def _decimals(text: str) -> int:
    """Digits behind the point of a figure, so that its deviation gets as many."""
    return 2 if not math.isfinite(float(text)) else len(text.partition(".")[2].partition("e")[0])
