"""The screen that starts runs: one line per option, checked as it is typed, and the command that does the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.screen import Screen
from textual.widgets import Input, Static

from mmfuse.errors import MmfuseError
from mmfuse_tui.bindings import key_in_words
from mmfuse_tui.clean import clean, neutralise
from mmfuse_tui.columns import Column, Piece
from mmfuse_tui.control import Control
from mmfuse_tui.key_bar import KeyBar
from mmfuse_tui.literal import titled
from mmfuse_tui.table import Table

if TYPE_CHECKING:  # option models load slowly, and whoever looks at the keys of this screen needs none
    from mmfuse_tui.launch_form import Field, Form

TYPED = frozenset({"device", "dataset"})
"""Lines with choices that take other words as well."""


class LaunchScreen(Screen[str | None]):
    """Answers with the id of the run it started, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", tooltip="Leave the line, then the form", id="launch.back"),
        Binding(
            "ctrl+s", "start", "Start", priority=True, tooltip="Start the run in the background", id="launch.start"
        ),
        Binding("enter", "edit", "Edit", show=False, tooltip="Type a value for this line", id="launch.edit"),
        Binding("right,l", "turn(1)", "Next value", show=False, tooltip="The next of a few values", id="launch.next"),
        Binding("left,h", "turn(-1)", "Value before", show=False, tooltip="The value before", id="launch.previous"),
        Binding(
            "backspace,delete", "reset", "Reset", show=False, tooltip="Back to preset or default", id="launch.reset"
        ),
    ]

    def __init__(self, form: Form, control: Control, *, title: str = "New run") -> None:
        super().__init__()
        self._form = form
        self._control = control
        self._title = title
        self._is_right = False
        self._starting = False

    def compose(self) -> ComposeResult:
        """Lines, the value that is typed, what the line means, whether all is right, the command."""
        columns: tuple[Column[Field], ...] = (
            Column("name", "Option", _name, 20, 0, wish=30, most=34),
            Column("value", "Value", _value, 20, 1, most=60),
            Column("takes", "Takes", lambda field, _: [(clean(field.takes), "cell--dim")], 12, 6, most=30),
            Column("meaning", "Meaning", lambda field, _: [(clean(field.meaning), "cell--dim")], 20, 7, most=90),
        )
        with Container(id="launch-frame", classes="panel") as frame:
            frame.border_title = titled(self._title)
            yield Table(columns, key=lambda field: field.name, id="launch-table")
        with Horizontal(id="launch-line"):
            yield Static(id="launch-name", markup=False)
            yield Input(id="launch-value", classes="field", disabled=True)
        yield Static(id="launch-meaning", markup=False)
        yield Static(id="launch-says", markup=False)
        yield Static(id="launch-command", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """Fill in and check."""
        self._fill()
        self._table.focus()

    @property
    def form(self) -> Form:
        """What is filled in."""
        return self._form

    @property
    def is_right(self) -> bool:
        """Whether the form was checked and could be started."""
        return self._is_right

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that change the line belong to the text while one is typed."""
        typing = isinstance(self.focused, Input)
        return not (typing and action in ("turn", "reset", "edit"))

    def action_back(self) -> None:
        """Leave the line, then the form."""
        if isinstance(self.focused, Input):
            self._leave_line()
        else:
            self.dismiss(None)

    def action_turn(self, by: int) -> None:
        """Another of a few values."""
        field = self._table.selected
        if field is not None and field.choices:
            place = field.choices.index(field.value) if field.value in field.choices else 0
            self._set(field.name, field.choices[(place + by) % len(field.choices)])

    def action_reset(self) -> None:
        """The value that preset and default give."""
        field = self._table.selected
        if field is not None and field.changed:
            self._take(self._form.without(field.name))

    def action_edit(self) -> None:
        """Type a value; where there are few, take the next."""
        field = self._table.selected
        if field is None:
            return
        if field.choices and field.name not in TYPED:
            self.action_turn(1)
            return
        line = self.query_one("#launch-value", Input)
        line.disabled = False
        line.value = neutralise(field.value)
        self.set_focus(line)

    def action_start(self) -> None:
        """Start what the form says; once."""
        if isinstance(self.focused, Input):
            self._leave_line()
        if not self._starting:
            self._starting = True
            self._say("starting …")
            self.run_worker(partial(self._start, self._form), thread=True, group="start")

    @on(Input.Changed, "#launch-value")
    def _typed(self, event: Input.Changed) -> None:
        field = self._table.selected
        if field is not None and not event.input.disabled and event.value != field.value:
            self._set(field.name, event.value)

    @on(Input.Submitted, "#launch-value")
    def _entered(self) -> None:
        self._leave_line()

    @on(Table.Moved)
    def _moved(self) -> None:
        self._explain()

    @property
    def _table(self) -> Table[Field]:
        return self.query_one("#launch-table", Table)

    def _leave_line(self) -> None:
        line = self.query_one("#launch-value", Input)
        line.disabled = True
        line.value = ""
        self._table.focus()

    def _set(self, name: str, value: str) -> None:
        self._take(self._form.with_value(name, value))

    def _take(self, form: Form) -> None:
        self._form = form
        self._fill()

    def _fill(self) -> None:
        """Show every line, and check in a thread: the first check of a family reads its declarations."""
        self._table.set_rows(self._form.fields())
        self._explain()
        self._is_right = False
        self.run_worker(partial(self._check, self._form), thread=True, exclusive=True, group="check")

    def _explain(self) -> None:
        field = self._table.selected
        self.query_one("#launch-name", Static).update(Text(f"{field.name} = " if field else "", no_wrap=True))
        words = " · ".join(word for word in (field.takes, field.meaning) if word) if field else ""
        self.query_one("#launch-meaning", Static).update(Text(clean(words)))

    def _check(self, form: Form) -> None:
        """Resolve the form as the command line would; runs in a thread."""
        command, trouble = "", ""
        try:
            command = self._control.command(form)
        except MmfuseError as error:
            trouble = f"{error.message}\n{error.hint}".strip()
        self.app.call_from_thread(self._checked, form, command, trouble)

    def _checked(self, form: Form, command: str, trouble: str) -> None:
        if form is not self._form or not self.is_attached:
            return
        self._is_right = not trouble
        what = "all runs of the sweep" if form.is_sweep else "it"
        key = key_in_words(self.app, LaunchScreen, "launch.start")
        self._say(trouble or f"✓ ready: {key} starts {what}", bad=bool(trouble))
        self.query_one("#launch-command", Static).update(Text(f"$ {command}" if command else ""))

    def _start(self, form: Form) -> None:
        """Start the run; runs in a thread, since it waits for locks and a process."""
        answer: Callable[[], object]
        try:
            run_id = self._control.start(form)
        except MmfuseError as error:
            answer = partial(self._failed, f"{error.message}\n{error.hint}".strip())
        else:
            answer = partial(self.dismiss, run_id)
        self.app.call_from_thread(answer)

    def _failed(self, words: str) -> None:
        self._starting = False
        self._say(words, bad=True)

    def _say(self, words: str, *, bad: bool = False) -> None:
        says = self.query_one("#launch-says", Static)
        says.update(Text(clean(words.replace("\n", " · "))))
        says.set_class(bad, "-bad")


def _name(field: Field, width: int) -> list[Piece]:
    return [
        ("* " if field.changed else "  ", "cell--accent"),
        (clean(field.name), "cell--strong" if field.changed else ""),
    ]


def _value(field: Field, width: int) -> list[Piece]:
    if field.choices:
        return [("‹ ", "cell--dim"), (clean(field.value), "cell--accent"), (" ›", "cell--dim")]
    return [(clean(field.value), "cell--strong" if field.changed else "")]
