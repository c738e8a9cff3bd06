"""Keys in words, read from the bindings themselves, for the help and the palette."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from textual.app import App
from textual.binding import Binding, BindingType

Group = tuple[str, list[tuple[str, str]]]


def help_rows(app: App[Any], bindings: Iterable[BindingType]) -> list[tuple[str, str]]:
    """(keys, what they do) of a widget's or screen's own bindings."""
    rows = []
    for binding in _expanded(bindings):
        if binding.description:
            keys = [app.get_key_display(Binding(key, "")) for key in binding.key.split(",")]
            rows.append((" ".join(keys), binding.tooltip or binding.description))
    return rows


def _expanded(bindings: Iterable[BindingType]) -> Iterator[Binding]:
    for binding in bindings:
        yield binding if isinstance(binding, Binding) else Binding(*binding)
