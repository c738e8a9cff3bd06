"""Runs in the command palette: type a part of a name to go there."""

from __future__ import annotations

from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from mmfuse_tui.clean import clean
from mmfuse_tui.literal import matched
from mmfuse_tui.runs_screen import RunsScreen
from mmfuse_tui.states import look_of

DISCOVERED = 8
"""Runs offered before anything is typed."""


class RunsProvider(Provider):
    """Every run of the store, by name and id."""

    async def discover(self) -> Hits:
        """The newest runs."""
        screen = self.screen
        if isinstance(screen, RunsScreen):
            for run in screen.store.runs[:DISCOVERED]:
                words = f"Go to {clean(run.label)}"
                yield DiscoveryHit(Content(words), partial(screen.go_to, run.id), words, help=look_of(run).word)

    async def search(self, query: str) -> Hits:
        """Runs whose name or id is like the query."""
        screen, matcher = self.screen, self.matcher(query)
        if not isinstance(screen, RunsScreen):
            return
        for run in screen.store.runs:
            words = f"Go to {clean(run.label)}" + (f" ({run.id})" if run.name else "")
            score = matcher.match(words)
            if score > 0:
                yield Hit(score, matched(matcher, words), partial(screen.go_to, run.id), words, help=look_of(run).word)
