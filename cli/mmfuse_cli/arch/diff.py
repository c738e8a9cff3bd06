"""`mmfuse arch diff`: what was added, removed or changed between two architectures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mmfuse_cli.access import open_store
from mmfuse_cli.arch.candidate import Candidate, Source, candidate_at
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json
from mmfuse_cli.render import out, out_json, out_painted, say, width
from mmfuse_cli.table import Column, draw
from mmfuse_runs.comparison import flattened
from mmfuse_tui.wording import count, number

COLUMNS = (
    Column("change", "", colours={"+": "green", "-": "red", "~": "yellow"}),
    Column("what", "choice"),
    Column("first", "first"),
    Column("second", "second"),
)


@examples("mmfuse arch diff 7f3a 91bc", "mmfuse arch diff 7f3a:3 7f3a:12 --params")
def diff(
    first: Source,
    second: Source,
    params: Annotated[bool, typer.Option("--params", help="Compare every parameter, not only the choices.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show where two architectures differ.

    Choices that are only in the second (+), only in the first (-) or in both and different (~), then what was measured.
    Architectures of the same choices are compared by their parameters.
    """
    store = open_store(home, read_only=True)
    pair = candidate_at(store, first), candidate_at(store, second)
    changes = changed(*([_parameters(one) for one in pair] if params else [one.choices for one in pair]))
    if not changes and not params:
        changes = changed(*map(_parameters, pair))
    if json:
        out_json({"first": pair[0].to_json(), "second": pair[1].to_json(), "changes": changes})
        return
    out_painted(draw(COLUMNS[1:], [_measured(*pair)], width=width()))
    out("")
    if changes:
        out_painted(draw(COLUMNS, [_row(each) for each in changes], width=width()))
    else:
        say("the same architecture")


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was removed, added and changed between two sets of choices, in the order of their names' first mention."""
    rows = []
    for name in dict.fromkeys((*before, *after)):
        if name in before and name in after and before[name] == after[name]:
            continue
        change = "changed" if name in before and name in after else "removed" if name in before else "added"
        rows.append({"change": change, "what": name, "first": before.get(name), "second": after.get(name)})
    return rows


def _parameters(candidate: Candidate) -> dict[str, Any]:
    return {"family": candidate.architecture.family} | flattened(candidate.architecture.params)


def _measured(first: Candidate, second: Candidate) -> dict[str, str]:
    return {"what": "", "first": _words(first), "second": _words(second)}


def _words(candidate: Candidate) -> str:
    words = [candidate.name]
    words += [] if candidate.score is None else [number(candidate.score)]
    return ", ".join([*words, *([f"{count(candidate.parameters)} parameters"] if candidate.parameters else [])])


def _row(change: Mapping[str, Any]) -> dict[str, str]:
    mark = {"added": "+", "removed": "-", "changed": "~"}[change["change"]]
    return {
        "change": mark,
        "what": change["what"],
        "first": "" if change["first"] is None else str(change["first"]),
        "second": "" if change["second"] is None else str(change["second"]),
    }
