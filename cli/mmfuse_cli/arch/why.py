"""`mmfuse arch why`: the neighbours of an architecture, by one change, and what they scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from mmfuse.errors import BadSpec
from mmfuse_cli.access import open_store
from mmfuse_cli.arch.candidate import Source, candidate_at
from mmfuse_cli.arch.measured import Measured, measured_groups
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json
from mmfuse_cli.render import out, out_json, out_painted, width
from mmfuse_cli.table import Column, draw
from mmfuse_tui.wording import number

NONE = "none"
"""The value of a choice that a candidate does not have."""
COLUMNS = (
    Column("question", "question", leaves=1),
    Column("choice", "choice"),
    Column("chosen", "chosen"),
    Column("instead", "instead"),
    Column("score", "score", right=True),
    Column("difference", "difference", right=True),
    Column("trials", "trials", leaves=2),
)


@dataclass(frozen=True)
class Neighbour:
    """A candidate that differs in one choice; ``difference`` is what the chosen one scored more (in raw scores)."""

    question: str
    choice: str
    chosen: str
    instead: str
    score: float
    difference: float
    trials: tuple[int, ...]


@examples("mmfuse arch why latest", "mmfuse arch why 7f3a:12 --json")
def why(source: Source, json: Json = False, home: Home = None) -> None:
    """Show what every single change to an architecture scored.

    Of all trials of its search, those that differ from it in one choice, and how much its score differs from theirs:
    above zero the chosen one has the larger score. Candidates that were trained several times count with their mean.
    Encoders that were chosen on their own are compared among themselves.
    """
    candidate = candidate_at(open_store(home, read_only=True), source)
    groups = measured_groups(candidate.folder.trials())
    if not groups:
        raise BadSpec(f"run {candidate.record.id} has no scored trials to compare with", "mmfuse runs ls kind:search")
    found = list(neighbours(candidate.choices, groups))
    if json:
        rows = [asdict(neighbour) for neighbour in found]
        out_json(candidate.to_json() | {"maximize": candidate.record.maximize, "neighbours": rows})
        return
    if not found:
        out(f"{candidate.name}: no trial differs from it in one choice alone")
        return
    metric = candidate.record.metric or "score"
    out(f"{candidate.name}  {metric}, {'larger' if candidate.record.maximize else 'smaller'} is better")
    out_painted(draw(COLUMNS, [_row(neighbour) for neighbour in found], width=width()))


def neighbours(choices: Mapping[str, str], groups: Mapping[str, Sequence[Measured]]) -> Iterable[Neighbour]:
    """Every candidate that differs from ``choices`` in one of them, by question and choice, the closest rival first."""
    for question, candidates in groups.items():
        asked = {name for candidate in candidates for name in candidate.choices}
        here = {name: value for name, value in choices.items() if name in asked}
        own = next((candidate for candidate in candidates if candidate.choices == here), None)
        if own is None:
            continue
        found = [_neighbour(question, own, other) for other in candidates]
        yield from sorted(
            (one for one in found if one is not None), key=lambda one: (one.choice, abs(one.difference), one.instead)
        )


def _neighbour(question: str, own: Measured, other: Measured) -> Neighbour | None:
    names = dict.fromkeys((*own.choices, *other.choices))
    differing = [name for name in names if own.choices.get(name, NONE) != other.choices.get(name, NONE)]
    if len(differing) != 1:
        return None
    name = differing[0]
    chosen, instead = own.choices.get(name, NONE), other.choices.get(name, NONE)
    return Neighbour(question, name, chosen, instead, other.mean, own.mean - other.mean, other.trials)


def _row(neighbour: Neighbour) -> dict[str, str]:
    return {
        "question": neighbour.question,
        "choice": neighbour.choice,
        "chosen": neighbour.chosen,
        "instead": neighbour.instead,
        "score": number(neighbour.score),
        "difference": f"{neighbour.difference:+.4f}",
        "trials": ",".join(map(str, neighbour.trials)),
    }
