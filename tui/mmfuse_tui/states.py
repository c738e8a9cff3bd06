"""How a run's state looks: a glyph and a word, so that colour is never the only sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord


@dataclass(frozen=True)
class Look:
    """Glyph, word and the component class that colours them."""

    glyph: str
    word: str
    style: str


_LOOKS = {
    "queued": Look("○", "queued", "state--waiting"),
    "starting": Look("◌", "starting", "state--waiting"),
    "running": Look("●", "running", "state--running"),
    "paused": Look("‖", "paused", "state--paused"),
    "stopping": Look("◐", "stopping", "state--paused"),
    "finished": Look("✓", "finished", "state--finished"),
    "stopped": Look("■", "stopped", "state--stopped"),
    "killed": Look("✗", "killed", "state--failed"),
    "crashed": Look("✗", "crashed", "state--failed"),
    "lost": Look("?", "lost", "state--failed"),
    "cancelled": Look("–", "cancelled", "state--stopped"),
    "done": Look("✓", "done", "state--finished"),
    "failed": Look("✗", "failed", "state--failed"),
    "pruned": Look("–", "pruned", "state--stopped"),
    "skipped": Look("–", "skipped", "state--stopped"),
}
DAMAGED = Look("!", "damaged", "state--failed")
ORPHAN = Look("◇", "orphan", "state--paused")
STATE_STYLES = frozenset(look.style for look in (*_LOOKS.values(), DAMAGED, ORPHAN))
"""Every component class a widget that shows states has to list."""


def look_of(run: RunRecord) -> Look:
    """How the run's state is shown; a damaged folder and a run without supervisor say so first."""
    if run.damaged:
        return DAMAGED
    if run.orphan and run.live:
        return ORPHAN
    return look_of_state(str(run.state))


def look_of_state(state: str) -> Look:
    """How a state of a run, or the status of a trial, is shown; an unknown one (newer writer) by its own word."""
    return _LOOKS.get(state, Look("·", state, "state--waiting"))
