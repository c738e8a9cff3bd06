"""The user's own keys: which file they stand in, what it may say, and what becomes of a key that two actions want.

The file is TOML, with the ids of actions and their keys::

    run.stop = "f8"
    table.down = ["down", "n"]

It belongs to the person, not to a store: ``keys.toml`` in the user's configuration folder, or where $MMFUSE_KEYS says.
An entry that cannot be kept is left out with a sentence that says why; all others hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from textual.binding import Binding, InvalidBinding
from textual.keys import Keys as NamedKeys
from textual.keys import format_key

from mmfuse.errors import BadSpec, MmfuseError, UnknownName
from mmfuse_tui.bindings import Place, split_keys

Keys = tuple[str, ...]
"""Keys as Textual names them."""

KEYS_VARIABLE = "MMFUSE_KEYS"
LARGEST = 100_000
"""Bytes: a larger file is none of ours."""
FIXED = {"ctrl+q": "leaves the dashboard", "ctrl+c": "copies", "tab": "goes on", "shift+tab": "goes back"}
"""Keys that Textual gives to every screen, and what they do."""
_MODIFIERS = frozenset({"ctrl", "alt", "shift", "super", "meta", "hyper"})
_NAMED = frozenset(key.value for key in NamedKeys if not set(key.value) & set("+<"))


@dataclass(frozen=True)
class KeyMap:
    """What `App.set_keymap` takes, the ids that have keys of the user's, and a sentence per entry that was left out."""

    keys: Mapping[str, str]
    own: frozenset[str]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Listed:
    """One action: its keys now, those it has by itself, what it does and on which screens."""

    id: str
    keys: Keys
    usual: Keys
    what: str
    screens: Keys


NOTHING = KeyMap({}, frozenset(), ())


def key_file() -> Path:
    """The file that the user's keys are read from; it need not exist."""
    chosen = os.environ.get(KEYS_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs  # here, because it takes a moment to load

    return Path(platformdirs.user_config_dir("mmfuse", appauthor=False)) / "keys.toml"


def load_key_map(path: Path) -> KeyMap:
    """The user's keys; nothing where there is no file. A file that cannot be used is one problem."""
    try:
        asked = dict(_read(path))
    except MmfuseError as error:
        return KeyMap({}, frozenset(), (error.message,))
    if not asked:
        return NOTHING
    from mmfuse_tui.places import places  # here, because it loads every screen

    return checked(asked, places())


def checked(asked: Mapping[str, Any], places: Sequence[Place]) -> KeyMap:
    """What of ``asked``, keys by id, can be kept on these screens."""
    actions = {binding.id: binding for place in places for part in place.everything for binding in part.bindings}
    wanted: dict[str, Keys] = {}
    problems = []
    for name, value in asked.items():
        try:
            wanted[name] = _keys_for(_action(name, actions), value)
        except MmfuseError as error:
            problems.append("; ".join(words for words in (error.message, error.hint) if words))
    while clash := _clash(wanted, places):
        name, sentence = clash
        del wanted[name]  # it has its own keys again, which somebody may have taken: look once more
        problems.append(sentence)
    return KeyMap(dict(_spelled(wanted, places)), frozenset(wanted), tuple(problems))


def listed(key_map: KeyMap, places: Sequence[Place]) -> list[Listed]:
    """Every action that has an id, in the order of the screens."""
    found: dict[str, Listed] = {}
    for place in places:
        for part in place.everything:
            for binding in part.bindings:
                name = binding.id or ""
                before = found[name].screens if name in found else ()
                keys = tuple(split_keys(key_map.keys.get(name, binding.key)))
                what = binding.tooltip or binding.description
                found[name] = Listed(name, keys, _usual(binding), what, (*before, place.name))
    return list(found.values())


def _read(path: Path) -> Iterator[tuple[str, Any]]:
    """Ids and what the file says of them.

    Raises:
        BadSpec: the file cannot be read, or is no TOML.
    """
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST)
    except FileNotFoundError:
        if os.environ.get(KEYS_VARIABLE):
            raise BadSpec(f"${KEYS_VARIABLE} names {path}, which is not there") from None
        return
    except OSError as error:
        raise BadSpec(f"{path} cannot be used: {error.strerror}") from error
    import tomllib  # here, because most people have no such file

    try:
        record = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise BadSpec(f"{path} cannot be used: {error}") from error
    yield from _flattened(record)


def _flattened(record: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{before}{name}.")
        else:
            yield before + name, value


def _action(name: str, actions: Mapping[str | None, Binding]) -> Binding:
    if name in actions:
        return actions[name]
    near = get_close_matches(name, filter(None, actions), n=1, cutoff=0.5)
    raise UnknownName(f"no action is called '{name}'", f"did you mean '{near[0]}'?" if near else "mmfuse tui --keys")


def _keys_for(binding: Binding, value: Any) -> Keys:
    """The keys that an entry asks for, as Textual names them.

    Raises:
        BadSpec: it is no key, or one that this action cannot have.
    """
    keys = _named(binding, value)
    for key in keys:
        *modifiers, last = key.split("+")
        if not (_MODIFIERS.issuperset(modifiers) and (last in _NAMED or _types(last))):
            raise BadSpec(f"'{key}' for {binding.id} is no key", "such as f8, ctrl+x, shift+up, space, ?")
        if key in FIXED:
            raise BadSpec(f"{binding.id} cannot have {key}: that always {FIXED[key]}")
        if binding.priority and not any(map(_types, _usual(binding))) and _types(key):
            raise BadSpec(f"{binding.id} cannot have {key}: it works while text is typed", "such as f8 or ctrl+x")
    return tuple(dict.fromkeys(keys))


def _types(key: str) -> bool:
    """Whether the key puts a character into a text."""
    return key == "space" or ("+" not in key and key not in _NAMED and len(format_key(key)) == 1)


def _named(binding: Binding, value: Any) -> list[str]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words) or not words:
        raise BadSpec(f"{binding.id} wants a key in quotes, or a list of them, not {value!r}")
    spelled = ",".join("comma" if word == "," else word for word in words)
    try:
        return [each.key for each in Binding.make_bindings([Binding(spelled, "")])]
    except InvalidBinding:
        raise BadSpec(f"{binding.id} has an empty key", "leave the line out for the usual key") from None


def _clash(wanted: Mapping[str, Keys], places: Sequence[Place]) -> tuple[str, str] | None:
    """The first entry that wants a key of somebody else's, and why it cannot have it.

    Keys that two actions share by themselves (``y`` copies ids, but makes the axis of curves logarithmic) are no clash.
    """
    order: list[str | None] = list(wanted)
    for place in places:
        for one, two in place.pairs():
            if one.id == two.id or not (one.id in wanted or two.id in wanted):
                continue
            taken = set(_now(one, wanted)).intersection(_now(two, wanted)) - _shared(one, two)
            if not taken:
                continue
            stays, goes = sorted((one, two), key=lambda each: order.index(each.id) if each.id in wanted else -1)
            words = stays.tooltip or stays.description
            key = min(taken)
            return str(goes.id), f"{goes.id} cannot have {key}: on the {place.name} screen that is {stays.id} ({words})"
    return None


def _spelled(wanted: Mapping[str, Keys], places: Sequence[Place]) -> Iterator[tuple[str, str]]:
    """The map for Textual. It takes a key from everybody who shares it, so those who keep it are named as well."""
    for place in places:
        for part in place.everything:
            for binding in part.bindings:
                shares = any(other.id in wanted and _shared(other, binding) for other in part.bindings)
                if binding.id and (binding.id in wanted or shares):
                    yield binding.id, ",".join(_now(binding, wanted))


def _now(binding: Binding, wanted: Mapping[str, Keys]) -> Keys:
    return wanted.get(binding.id or "", _usual(binding))


def _usual(binding: Binding) -> Keys:
    return tuple(split_keys(binding.key))


def _shared(one: Binding, two: Binding) -> set[str]:
    """Keys that both have when nobody asks for others."""
    return set(_usual(one)).intersection(_usual(two))
