"""Dialogs: one that says what an action will do before it is done, and the help."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static
from textual.widgets.button import ButtonVariant

from mmfuse_tui.bindings import key_in_words
from mmfuse_tui.verbs import Plan


class ConfirmScreen(ModalScreen[bool]):
    """Asks before an action; the answer is True or False. A key that opens it (``again``), pressed again, confirms."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n,q", "answer(False)", "No", id="dialog.no"),
        Binding("y", "answer(True)", "Yes", id="dialog.yes"),
        Binding("left,right,h,l", "other_button", "Other button", show=False, id="dialog.other"),
    ]

    def __init__(self, plan: Plan, *, again: Collection[str] = ()) -> None:
        super().__init__()
        self._plan = plan
        self._again = frozenset(again)

    def compose(self) -> ComposeResult:
        """Title, effects, the command that does the same, two buttons."""
        plan = self._plan
        with Vertical(id="dialog", classes="-danger" if plan.dangerous else ""):
            yield Static(Text(plan.title, overflow="ellipsis", no_wrap=True), id="dialog-title")
            for effect in plan.effects:
                yield Static(Text(effect), classes="dialog-effect")
            yield Static(Text.assemble(("$ ", "dim"), plan.command), id="dialog-command")
            with Horizontal(id="dialog-buttons"):
                yes, no = (key_in_words(self.app, ConfirmScreen, name) for name in ("dialog.yes", "dialog.no"))
                variant: ButtonVariant = "error" if plan.dangerous else "primary"
                yield Button(Text(f"{plan.verb.capitalize()}  {yes}"), id="yes", variant=variant)
                yield Button(Text(f"Leave it  {no}"), id="no")

    def on_mount(self) -> None:
        """A dangerous action is never one Enter away."""
        self.query_one("#no" if self._plan.dangerous else "#yes", Button).focus()

    def on_key(self, event: events.Key) -> None:
        """The same key twice means it; it goes no further, or it would ask the screen below for the same again."""
        if event.key in self._again:
            event.stop()
            event.prevent_default()
            self.dismiss(True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A button answers."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Answer and close."""
        self.dismiss(yes)

    def action_other_button(self) -> None:
        """Move between the buttons."""
        self.focus_next()


class HelpScreen(ModalScreen[None]):
    """Every key there is, made from the bindings themselves, and the filter's grammar."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "dismiss", "Close", id="help.close"),
    ]

    def __init__(self, groups: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> None:
        super().__init__()
        self._groups = groups

    def compose(self) -> ComposeResult:
        """One block per part of the screen."""
        with VerticalScroll(id="help"):
            for title, rows in self._groups:
                yield Static(Text(title), classes="help-title")
                width = max((len(name) for name, _ in rows), default=0)
                for name, words in rows:
                    yield Static(Text.assemble((name.ljust(width + 3), "bold"), words), classes="help-row")
