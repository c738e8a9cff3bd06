"""Runs in groups: by dataset, by what was run, by tag; the first row of a group names it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from mmfuse_tui.clean import clean
from mmfuse_tui.columns import Column, Piece

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

GROUPS: Mapping[str, Callable[[RunRecord], str]] = {
    "": lambda run: "",
    "dataset": lambda run: run.dataset_label or run.dataset,
    "search": lambda run: run.subject,
    "tag": lambda run: run.tags[0] if run.tags else "no tag",
}
"""What runs can be grouped by; a run with several tags stands under the first of them."""


def next_group(name: str) -> str:
    """The grouping after this one, round and round."""
    names = list(GROUPS)
    return names[(names.index(name) + 1) % len(names)] if name in names else names[0]


def grouped(runs: Sequence[RunRecord], name: str) -> tuple[tuple[RunRecord, ...], dict[str, str]]:
    """The runs group by group, each in the order given, and the heading of each group by the id of its first run."""
    if not name:
        return tuple(runs), {}
    key = GROUPS[name]
    ordered = sorted(runs, key=lambda run: key(run).casefold())
    sizes = Counter(map(key, ordered))
    heads: dict[str, str] = {}
    seen: set[str] = set()
    for run in ordered:
        label = key(run)
        if label not in seen:
            seen.add(label)
            heads[run.id] = f"{clean(label)} {sizes[label]}"
    return tuple(ordered), heads


def group_column(heads: Mapping[str, str]) -> Column[RunRecord]:
    """The leading column of a grouped table; ``heads`` is read at every drawing."""

    def pieces(run: RunRecord, width: int) -> list[Piece]:
        return [(heads.get(run.id, "│"), "cell--accent" if run.id in heads else "cell--dim")]

    return Column("group", "Group", pieces, 12, 0, most=24)
