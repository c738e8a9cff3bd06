"""Dialogs that change what the user says of runs: name, tags and notes of one, tags of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static, TextArea

from mmfuse_tui.bindings import key_in_words
from mmfuse_tui.clean import clean, neutralise, strip_ansi
from mmfuse_tui.edits import Edit, retag

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord


class EditScreen(ModalScreen[dict[str, Edit] | None]):
    """Answers with an edit per run id, or None. Of several runs only the tags can be changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Leave", id="edit.leave"),
        Binding("ctrl+s", "save", "Save", priority=True, id="edit.save"),
    ]

    def __init__(self, runs: Sequence[RunRecord], *, focus: str = "tags") -> None:
        super().__init__()
        self._runs = runs
        self._first = focus if len(runs) == 1 else "tags"

    def compose(self) -> ComposeResult:
        """A field per thing that can be changed."""
        run = self._runs[0] if len(self._runs) == 1 else None
        title = clean(run.label) if run else f"Tags of {len(self._runs)} runs"
        with Vertical(id="dialog"):
            yield Static(Text(title, overflow="ellipsis", no_wrap=True), id="dialog-title")
            if run:
                yield Static("Name", classes="field-name")
                yield Input(clean(run.name), id="field-name", classes="field")
            yield Static("Tags" if run else "paper adds a tag, -draft takes one away", classes="field-name")
            yield Input(_joined(run.tags) if run else "", id="field-tags", classes="field")
            if run:
                yield Static("Notes", classes="field-name")
                yield TextArea(_readable(run.notes), id="field-notes", tab_behavior="focus")
            with Horizontal(id="dialog-buttons"):
                save, leave = (key_in_words(self.app, EditScreen, name) for name in ("edit.save", "edit.leave"))
                yield Button(Text(f"Save  {save}"), id="yes", variant="primary")
                yield Button(Text(f"Leave it  {leave}"), id="no")

    def on_mount(self) -> None:
        """Where the key that opened it points."""
        self.query_one(f"#field-{self._first}").focus()

    def on_input_submitted(self) -> None:
        """Enter in a line saves."""
        self.action_save()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A button answers."""
        if event.button.id == "yes":
            self.action_save()
        else:
            self.dismiss(None)

    def action_save(self) -> None:
        """Answer with what was typed."""
        words = self.query_one("#field-tags", Input).value
        if len(self._runs) > 1:
            self.dismiss({run.id: Edit(tags=retag(run.tags, words)) for run in self._runs})
            return
        run, name = self._runs[0], self.query_one("#field-name", Input).value.strip()
        notes = self.query_one("#field-notes", TextArea).text
        # What was left as it was shown stays as it was, characters that cannot be shown and all.
        edit = Edit(
            name=run.name if name == clean(run.name) else name,
            tags=tuple(run.tags) if words == _joined(run.tags) else retag((), words),
            notes=run.notes if notes == _readable(run.notes) else notes,
        )
        self.dismiss({run.id: edit})


def _joined(tags: Sequence[str]) -> str:
    return " ".join(map(clean, tags))


def _readable(notes: str) -> str:
    """Notes line by line, without what could act on the terminal."""
    return "\n".join(neutralise(strip_ansi(line)) for line in notes.splitlines())
