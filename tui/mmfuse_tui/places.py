"""Every screen with everything on it that has keys: where user key maps, their check and the help find them.

Loads all screens, which a dashboard otherwise does one by one: only who has keys of their own, or asks for help, pays.
"""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.screen import ModalScreen, Screen

from mmfuse_tui.app import Dashboard
from mmfuse_tui.bindings import Group, Part, Place, help_rows
from mmfuse_tui.board import BoardView
from mmfuse_tui.column_dialog import ColumnsScreen
from mmfuse_tui.compare_screen import CompareScreen
from mmfuse_tui.dialogs import ConfirmScreen, HelpScreen
from mmfuse_tui.edit_dialog import EditScreen
from mmfuse_tui.key_map import FIXED
from mmfuse_tui.launch_screen import LaunchScreen
from mmfuse_tui.log_view import SearchLine
from mmfuse_tui.machine_screen import MachineScreen
from mmfuse_tui.mark_table import MarkTable
from mmfuse_tui.panels import load_panels
from mmfuse_tui.replay import ReplayDashboard
from mmfuse_tui.runs_screen import RunsScreen
from mmfuse_tui.table import Table

EVERYWHERE = Part("Everywhere", Dashboard)
FILTER: Group = (
    "Filter",
    [
        ("words", "anywhere in id, name, dataset, architecture, tags, notes"),
        ("kind: state: tag: dataset: model:", "a field; several values with commas"),
        ("val/accuracy>0.7  params<1e6  age<2d", "a number"),
        ("best(val/f1)>0.9  last(train/loss)<1", "what a curve reached, read from the runs' folders"),
        ("fit.epochs>5  set.repeats=3", "a setting, read from there as well"),
        ("-tag:old  a or (b and not c)", "not that; one or the other"),
    ],
)
REPLAY = Part("Replay", ReplayDashboard)
MARKS, TABLE = Part("Marking runs", MarkTable), Part("In a table", Table)


def places() -> tuple[Place, ...]:
    """All of them, the runs first."""
    beside_runs = (MARKS, TABLE, *panel_parts())
    return (
        _place("runs", RunsScreen, *beside_runs),
        Place("replay", (REPLAY, Part("Runs", RunsScreen), EVERYWHERE), beside_runs),
        _place("machine", MachineScreen, MARKS, TABLE),
        _place("comparison", CompareScreen, Part("On the page", BoardView)),
        _place("launch", LaunchScreen, TABLE),
        _place("confirm", ConfirmScreen),
        _place("columns", ColumnsScreen, TABLE),
        _place("edit", EditScreen),
        _place("search", SearchLine),
        _place("help", HelpScreen),
    )


def help_groups(app: App[None], screen: type[Screen[Any]]) -> list[Group]:
    """Every key of a screen, of the parts on it and of the dialogs above it; none for a dialog."""
    known = places()
    here = next((place for place in known if issubclass(screen, place.screen[0].owner) and place.with_help), None)
    if here is None:
        return []
    dialogs = [place.screen[0] for place in known if not place.with_help]
    own, *everywhere = here.screen
    replay = [REPLAY] if isinstance(app, ReplayDashboard) else []
    groups = [(part.title, help_rows(app, part)) for part in (*replay, own, *here.parts, *everywhere, *dialogs)]
    always = [(app.get_key_display(Binding(key, "")), words.capitalize()) for key, words in FIXED.items()]
    return [*groups, ("Always", always), *([FILTER] if issubclass(screen, RunsScreen) else [])]


def panel_parts() -> tuple[Part, ...]:
    """One part per sort of widget that panels are made of, named by the panels."""
    titles: dict[type, list[str]] = {}
    for panel in load_panels():
        titles.setdefault(type(panel.build()), []).append(panel.title.lower())
    known = (MARKS.owner, TABLE.owner)
    return tuple(Part(f"In {_listed(names)}", owner) for owner, names in titles.items() if owner not in known)


def _place(name: str, screen: type[Screen[Any]], *parts: Part) -> Place:
    """A dialog keeps the keys that work everywhere to itself."""
    if issubclass(screen, ModalScreen):
        return Place(name, (Part(f"In the {name} dialog", screen),), parts, with_help=False)
    return Place(name, (Part(name.capitalize(), screen), EVERYWHERE), parts)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
