"""Keys in words, read from the bindings themselves: for the help, the palette, dialogs and the user's own key map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

from textual.app import App
from textual.binding import ActiveBinding, Binding
from textual.dom import DOMNode

Group = tuple[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class Part:
    """A part of a screen, or the screen itself, whose keys belong together."""

    title: str
    owner: type[DOMNode]

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """What the owner itself declares; what it inherits is a part of its own."""
        return tuple(_declared(self.owner))

    def meets(self, other: Part) -> bool:
        """Whether one widget has the keys of both."""
        return issubclass(self.owner, other.owner) or issubclass(other.owner, self.owner)


class Place(NamedTuple):
    """All keys that a screen knows: its own, which always work, and those of parts, which work in the focused one."""

    name: str
    screen: tuple[Part, ...]
    parts: tuple[Part, ...] = ()
    with_help: bool = True

    @property
    def everything(self) -> tuple[Part, ...]:
        """The screen and its parts."""
        return (*self.screen, *self.parts)

    def pairs(self) -> Iterator[tuple[Binding, Binding]]:
        """Bindings whose keys are looked for at the same time, each pair once."""
        known = [(part, binding) for part in self.everything for binding in part.bindings]
        for (part, binding), (other, another) in combinations(known, 2):
            if part in self.screen or other in self.screen or part.meets(other):
                yield binding, another


def help_rows(app: App[Any], part: Part) -> list[tuple[str, str]]:
    """(keys, what they do) of a part, with the user's own keys."""
    shown = (binding for binding in part.bindings if binding.description)
    return [(keys_in_words(app, binding), binding.tooltip or binding.description) for binding in shown]


def keys_in_words(app: App[Any], binding: Binding) -> str:
    """Every key that does it, as keys are written."""
    return " ".join(app.get_key_display(Binding(key, "")) for key in keys_of(app, binding))


def key_in_words(app: App[Any], owner: type[DOMNode], binding_id: str) -> str:
    """The first key of one of the owner's bindings, for a button or a remark beside it."""
    binding = next(binding for binding in _declared(owner) if binding.id == binding_id)
    return app.get_key_display(Binding(keys_of(app, binding)[0], ""))


def keys_of(app: App[Any], binding: Binding) -> list[str]:
    """The keys of a binding: the user's, else its own. (Textual keeps the map but offers no look at it.)"""
    return split_keys(app._keymap.get(binding.id or "", binding.key))


def split_keys(keys: str) -> list[str]:
    """The names in a binding's string of keys."""
    return [key.strip() for key in keys.split(",")]


def in_order(found: Iterable[ActiveBinding]) -> list[ActiveBinding]:
    """Active bindings as their owners declare them: Textual puts those with keys of the user's behind all others."""
    found = list(found)
    nodes = list(dict.fromkeys(active.node for active in found))
    ids = {node: [binding.id for binding in _declared(type(node))] for node in nodes}

    def place(active: ActiveBinding) -> tuple[int, int]:
        declared = ids[active.node]
        return nodes.index(active.node), declared.index(active.binding.id) if active.binding.id in declared else -1

    return sorted(found, key=place)


def _declared(owner: type[DOMNode]) -> Iterator[Binding]:
    for binding in vars(owner).get("BINDINGS", ()):
        yield binding if isinstance(binding, Binding) else Binding(*binding)
