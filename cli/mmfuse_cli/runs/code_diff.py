"""The part of `mmfuse runs diff` about code: what was changed between the runs, as far as there is room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmfuse_cli.render import paint
from mmfuse_tui.clean import neutralise

if TYPE_CHECKING:
    from mmfuse_runs.codediff import FileChange
    from mmfuse_runs.store import RunStore

SHOWN_LINES = 40
"""Lines of a difference that are shown unless all are asked for."""


@dataclass(frozen=True)
class CodeDifference:
    """From one run's code to another's; ``unknown`` says why nobody can tell."""

    before: str
    after: str
    changes: Sequence[FileChange] = ()
    unknown: str = ""

    def to_json(self, *, whole: bool) -> dict[str, Any]:
        """Files with their counts, and the difference itself where the ``whole`` is wanted."""
        files = {each.path: {"added": each.added, "removed": each.removed} for each in self.changes}
        answer: dict[str, Any] = {"from": self.before, "to": self.after, "unknown": self.unknown, "files": files}
        return answer | ({"diff": [line for each in self.changes for line in each.lines]} if whole else {})


def code_differences(store: RunStore, codes: Mapping[str, str | None]) -> list[CodeDifference]:
    """From the code of the first run to that of each other, where they differ or somebody's is not known."""
    (first, digest), *others = codes.items()
    found = [_difference(store, (first, digest), other) for other in others]
    return [each for each in found if each.changes or each.unknown]


def draw_code(difference: CodeDifference, *, whole: bool) -> list[str]:
    """The files, then what was changed in them, up to `SHOWN_LINES`; cleaned and painted."""
    title = paint(f"code from {difference.before} to {difference.after}", "bold")
    if difference.unknown:
        return [title, neutralise(difference.unknown)]
    files = [neutralise(f"{each.path}  +{each.added} -{each.removed}") for each in difference.changes]
    lines = [line for each in difference.changes for line in each.lines]
    shown = lines if whole else lines[:SHOWN_LINES]
    left = [f"[{len(lines) - len(shown)} more lines: --code]"] if len(shown) < len(lines) else []
    return [title, *files, "", *map(_painted, shown), *left]


def _difference(store: RunStore, before: tuple[str, str | None], after: tuple[str, str | None]) -> CodeDifference:
    from mmfuse_runs.codediff import code_changes
    from mmfuse_runs.sourcecode import files_of

    (first, old), (second, new) = before, after
    if old == new:  # none was kept of either, or they share it
        return CodeDifference(first, second)
    for run, code in (before, after):
        if code is None or not files_of(store.home, code):
            return CodeDifference(first, second, unknown=f"the code of {run} was not kept in {store.home / 'code'}")
    return CodeDifference(first, second, code_changes(store.home, str(old), str(new)))


def _painted(line: str) -> str:
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
    return paint(neutralise(line), "bold" if line.startswith(("+++ ", "--- ")) else colour)
