"""Every key of every screen can be named: by the help, the palette, and a user's own key map."""

from __future__ import annotations

import importlib
import pkgutil
import re
from itertools import combinations

from textual.dom import DOMNode

import mmfuse_tui
from mmfuse_tui.bindings import Part, split_keys
from mmfuse_tui.key_map import FIXED, checked
from mmfuse_tui.places import places


def owners() -> dict[type[DOMNode], Part]:
    """Every class of the package that declares keys of its own."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(mmfuse_tui.__path__, "mmfuse_tui.")
        if not found.name.endswith("__main__")
    ]
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    return {
        each: Part(each.__name__, each)
        for each in classes
        if issubclass(each, DOMNode) and each.__module__.startswith("mmfuse_tui") and "BINDINGS" in vars(each)
    }


def test_every_binding_has_an_id_of_its_own_and_words():
    seen: dict[str, str] = {}
    for part in owners().values():
        for binding in part.bindings:
            where = f"{part.title}, {binding.key}"
            assert binding.id and re.fullmatch(r"[a-z]+\.[a-z0-9_-]+", binding.id), f"{where}: no id"
            assert seen.setdefault(binding.id, part.title) == part.title, f"{where}: {binding.id} is another's"
            assert binding.description, f"{where}: nobody can be told what it does"
            assert not FIXED.keys() & set(split_keys(binding.key)), f"{where}: that key is taken everywhere"


def test_every_owner_of_keys_stands_in_a_place():
    placed = {part.owner for place in places() for part in place.everything}

    assert owners().keys() == placed


def test_no_key_asks_two_things_of_the_same_widget_unless_one_of_them_is_for_text():
    for part in owners().values():
        for one, two in combinations(part.bindings, 2):
            shared = set(split_keys(one.key)) & set(split_keys(two.key))
            assert not shared or one.priority is not two.priority, f"{part.title}: {shared} is {one.id} and {two.id}"


def test_the_usual_keys_written_down_as_ones_own_change_nothing():
    every = {
        binding.id: split_keys(binding.key)
        for place in places()
        for part in place.everything
        for binding in part.bindings
    }

    key_map = checked(every, places())

    assert key_map.problems == () and key_map.own == every.keys()
    assert {name: split_keys(keys) for name, keys in key_map.keys.items()} == every
