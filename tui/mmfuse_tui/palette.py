"""The command palette: every action of the screen, every run, and every metric of the run that is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import Screen

from mmfuse_tui.bindings import Part, in_order, keys_in_words
from mmfuse_tui.clean import clean
from mmfuse_tui.literal import matched
from mmfuse_tui.runs_screen import RunsScreen
from mmfuse_tui.states import look_of

if TYPE_CHECKING:
    from mmfuse_tui.app import Dashboard

DISCOVERED = 8
"""Runs and metrics offered before anything is typed."""


class Action(NamedTuple):
    """Something that can be done now: its name, what it does with the key that does the same, and who does it how."""

    title: str
    words: str
    node: DOMNode
    action: str


def actions_of(app: Dashboard, screen: Screen[Any]) -> Iterator[Action]:
    """What keys can do now, then what they could do if another part of the screen had the focus."""
    told: set[str] = set()
    for active in in_order(screen.active_bindings.values()):
        if active.enabled and _is_new(active.binding, told):
            yield _action(app, active.binding, active.node)
    for widget in screen.focus_chain:
        for part in _parts_of(type(widget)):
            for binding in part.bindings:
                if _is_new(binding, told):
                    yield _action(app, binding, widget, where=f" {part.title.lower()}")


def _is_new(binding: Binding, told: set[str]) -> bool:
    """Whether the action is worth a command of its own, and has none yet."""
    is_new = bool(binding.id and binding.description) and binding.id not in told
    told.add(binding.id or "")
    return is_new


def _action(app: Dashboard, binding: Binding, node: DOMNode, *, where: str = "") -> Action:
    words = f"{binding.tooltip or binding.description} ({keys_in_words(app, binding)}{where})"
    return Action(f"{binding.description}{where}", words, node, binding.action)


def _parts_of(owner: type[DOMNode]) -> list[Part]:
    from mmfuse_tui.places import places  # here, because it loads every screen

    parts = {part.owner: part for place in places() for part in place.parts}
    return [part for part in parts.values() if issubclass(owner, part.owner)]


class RunsProvider(Provider):
    """Every run of the store, by name and id."""

    async def discover(self) -> Hits:
        """The newest runs."""
        for run in self._dashboard.feed.store.runs[:DISCOVERED]:
            words = f"Go to {clean(run.label)}"
            yield DiscoveryHit(Content(words), self._going_to(run.id), words, help=look_of(run).word)

    async def search(self, query: str) -> Hits:
        """Runs whose name or id is like the query."""
        matcher = self.matcher(query)
        for run in self._dashboard.feed.store.runs:
            words = f"Go to {clean(run.label)}" + (f" ({run.id})" if run.name else "")
            score = matcher.match(words)
            if score > 0:
                yield Hit(score, matched(matcher, words), self._going_to(run.id), words, help=look_of(run).word)

    def _going_to(self, run_id: str) -> Callable[[], None]:
        return partial(self._dashboard.go_to, run_id)

    @property
    def _dashboard(self) -> Dashboard:
        return self.app  # type: ignore[return-value]


class MetricsProvider(Provider):
    """Every metric: its chart where the run has one, and a filter that asks for it."""

    async def discover(self) -> Hits:
        """Those of the run that is shown."""
        for title, words, do in list(self._offers())[:DISCOVERED]:
            yield DiscoveryHit(Content(title), do, title, help=words)

    async def search(self, query: str) -> Hits:
        """Metrics whose name is like the query."""
        matcher = self.matcher(query)
        for title, words, do in self._offers():
            score = matcher.match(title)
            if score > 0:
                yield Hit(score, matched(matcher, title), do, title, help=words)

    def _offers(self) -> Iterator[tuple[str, str, Callable[[], None]]]:
        screen = self.screen
        if not isinstance(screen, RunsScreen):
            return
        curves = screen.metrics
        for name in curves:
            yield f"Chart of {clean(name)}", "Go to the curves that it is among", partial(screen.show_metric, name)
        for name in dict.fromkeys((*curves, *screen.store.metrics)):
            yield f"Filter by {clean(name)}", "Show only runs that reach a value", partial(screen.filter_by, name)
