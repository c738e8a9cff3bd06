"""`mmfuse arch show`: the picture of an architecture."""

from __future__ import annotations

from typing import Annotated

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli.access import open_store
from mmfuse_cli.arch.candidate import Candidate, Source, candidate_at
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json
from mmfuse_cli.plots import ROLE_COLOURS
from mmfuse_cli.render import out, out_json, out_painted, paint, safe_lines, width, write_data
from mmfuse_tui.wording import count, number

PLAIN = str.maketrans("╭╮╰╯┌┐└┘├┤┬┴┼│─▶▼●○·ρ…", "+++++++++++++|->v*o-r.")
"""What boxes and wires become where only ASCII can be shown."""


@examples(
    "mmfuse arch show latest",
    "mmfuse arch show 7f3a:12 --ascii",
    "mmfuse arch show 7f3a --dot | dot -Tsvg -o found.svg",
)
def show(
    source: Source,
    dot: Annotated[bool, typer.Option("--dot", help="Print it as a graph for Graphviz.")] = False,
    ascii: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII characters only.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Draw an architecture that a run found or tried.

    Modalities, encoders, taps, fusion and head, from left to right. The JSON holds the architecture itself, from which
    the same model can be built again, and its graph.
    """
    if dot and (json or ascii):
        raise BadSpec("--dot prints a graph and draws nothing", "leave --json or --ascii out")
    from mmfuse_cli.arch.graph import graph_of

    candidate = candidate_at(open_store(home, read_only=True), source)
    architecture = candidate.architecture
    if json:
        from mmfuse_cli.arrays import arrays_of

        arrays = arrays_of(architecture.to_json())
        out_json(candidate.to_json() | {"arrays": arrays, "graph": graph_of(architecture).to_json()})
        return
    if dot:
        write_data(graph_of(architecture).to_dot(architecture.key))
        return
    out("  ".join(_facts(candidate)))
    out("")
    out_painted(drawn(candidate, columns=width(), ascii=ascii))


def drawn(candidate: Candidate, *, columns: int, ascii: bool = False) -> list[str]:
    """The lines of its picture."""
    from mmfuse_tui.families import draw_architecture

    rows = draw_architecture(candidate.architecture, columns, task=candidate.task)
    lines = ["".join(paint(safe_lines(text), ROLE_COLOURS.get(role, "")) for text, role in row) for row in rows]
    if ascii:
        lines = [line.translate(PLAIN).encode("ascii", "replace").decode() for line in lines]
    return [line.rstrip() for line in lines]


def _facts(candidate: Candidate) -> list[str]:
    """Name, key and what was measured, in words."""
    words = [candidate.name, candidate.architecture.key]
    if candidate.score is not None:
        words.append(f"{candidate.record.metric or 'score'} {number(candidate.score)}")
    words += [f"{count(candidate.parameters)} parameters"] if candidate.parameters else []
    return [*words, *([f"{count(candidate.macs)} MACs"] if candidate.macs else [])]
