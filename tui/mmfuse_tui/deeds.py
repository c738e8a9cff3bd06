"""Carrying out what the user asks of runs: a dialog that says what will happen, then a thread that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from mmfuse.errors import MmfuseError
from mmfuse_tui.clean import clean
from mmfuse_tui.control import Control
from mmfuse_tui.dialogs import ConfirmScreen
from mmfuse_tui.edits import Edit
from mmfuse_tui.feed import Feed
from mmfuse_tui.verbs import Name, Plan, is_possible, plan, plan_deletion, plan_for_many, why_not

if TYPE_CHECKING:
    from mmfuse_runs.line_order import Where
    from mmfuse_runs.records import RunRecord

MOST_UNDONE = 50
"""Deletions and changes of names, tags, stars and notes that can be taken back."""


class Deeds:
    """What a screen does to runs; requests wait for locks in threads of their own, never on the screen's."""

    def __init__(self, screen: Screen[Any], feed: Feed, control: Control) -> None:
        self._screen = screen
        self._feed = feed
        self._control = control
        self._undo: list[dict[str, Edit] | tuple[str, ...]] = []  # how it was, or the ids of what was deleted

    def ask(self, verb: Name, runs: Sequence[RunRecord]) -> None:
        """Say what the verb will do to these runs; do it when confirmed."""
        able = [run for run in runs if is_possible(verb, run)]
        if self._feed.store.read_only:
            self._warn("The dashboard was opened for reading only.")
        elif not able:
            run = runs[0] if runs else None
            self._warn(
                why_not(verb, run) if len(runs) < 2 else f"None of these {len(runs)} runs can be asked to {verb}."
            )
        elif verb == "delete":
            self._screen.run_worker(partial(self._weigh, runs), thread=True, group="control")
        else:
            self._confirm(
                plan(verb, able[0], self._feed.run) if len(runs) == 1 else plan_for_many(verb, runs, sizes={})
            )

    def move(self, runs: Sequence[RunRecord], where: Where, *, then: Callable[[], object]) -> None:
        """Move waiting runs within the line; ``then`` is called on the screen's thread."""
        if not self._feed.store.read_only:
            self._in_thread(self._move, [run.id for run in runs], where, then)

    def edit(self, runs: Sequence[RunRecord], *, focus: str = "tags") -> None:
        """Open the dialog for name, tags and notes."""
        if runs and not self._feed.store.read_only:
            self._screen.run_worker(self._edit(runs, focus))

    def star(self, runs: Sequence[RunRecord]) -> None:
        """Star them; if all are starred already, take the stars away."""
        starred = not all(run.starred for run in runs)
        self.write({run.id: Edit(starred=starred) for run in runs if run.starred is not starred})

    def undo(self) -> None:
        """Take back the last deletion or change of names, tags, stars or notes."""
        before = self._undo.pop() if self._undo else None
        if before is None:
            self._warn("There is nothing to take back.")
        elif isinstance(before, tuple):
            self._in_thread(self._put_back, before)
        else:
            self._in_thread(self._write, before, "taken back")

    def write(self, edits: Mapping[str, Edit]) -> None:
        """Write down what the user says of runs, and remember how it was."""
        known = self._feed.store.by_id
        edits = {run_id: edit for run_id, edit in edits.items() if run_id in known}
        if not edits or self._feed.store.read_only:
            return
        self._remember({run_id: _before(known[run_id]) for run_id in edits})
        self._in_thread(self._write, edits, f"{len(edits)} run{'s' * (len(edits) != 1)} changed")

    def _remember(self, before: dict[str, Edit] | tuple[str, ...]) -> None:
        self._undo = [*self._undo[1 - MOST_UNDONE :], before]

    def _weigh(self, runs: Sequence[RunRecord]) -> None:
        """How much would be deleted is on the disk, so it is found out in a thread before the dialog opens."""
        able = [run for run in runs if is_possible("delete", run)]
        sizes = {run.id: self._control.size(run.id) for run in able}
        planned = (
            plan_deletion(able[0], sizes[able[0].id]) if len(runs) == 1 else plan_for_many("delete", runs, sizes=sizes)
        )
        self._screen.app.call_from_thread(self._confirm, planned)

    def _confirm(self, planned: Plan) -> None:
        self._screen.run_worker(self._confirmed(planned))

    async def _confirmed(self, planned: Plan) -> None:
        if await self._screen.app.push_screen_wait(ConfirmScreen(planned, again=self._keys_of(planned.verb))):
            self._in_thread(self._carry_out, planned)

    def _keys_of(self, verb: Name) -> list[str]:
        """The keys that ask for a verb on this screen: the user may have chosen them."""
        asking = {f"ask('{verb}')"} | ({"pause"} if verb in ("pause", "continue") else set())
        return [key for key, active in self._screen.active_bindings.items() if active.binding.action in asking]

    async def _edit(self, runs: Sequence[RunRecord], focus: str) -> None:
        from mmfuse_tui.edit_dialog import EditScreen

        edits = await self._screen.app.push_screen_wait(EditScreen(runs, focus=focus))
        if edits:
            self.write(edits)

    def _carry_out(self, planned: Plan) -> None:
        done = []
        for run_id in planned.run_ids:
            if self._try(
                partial(self._control.ask, planned.verb, run_id), f"{planned.verb.capitalize()} {self._label(run_id)}"
            ):
                done.append(run_id)
        if done:
            whom = self._label(done[0]) if len(planned.run_ids) == 1 else f"{len(done)} of {len(planned.run_ids)} runs"
            is_deletion = planned.verb == "delete"
            self._tell(f"deleted {whom}; u takes it back" if is_deletion else f"asked {whom} to {planned.verb}")
            if is_deletion:
                self._remember(tuple(done))
        self._feed.refresh()

    def _put_back(self, run_ids: tuple[str, ...]) -> None:
        back = [self._try(partial(self._control.restore, run_id), f"Put back {run_id}") for run_id in run_ids]
        if any(back):
            self._tell(f"{sum(back)} deleted run{'s' * (sum(back) != 1)} put back")
        self._feed.refresh()

    def _move(self, run_ids: Sequence[str], where: Where, then: Callable[[], object]) -> None:
        if self._try(partial(self._control.move, run_ids, where), "Move"):
            self._screen.app.call_from_thread(then)
        self._feed.refresh()

    def _write(self, edits: Mapping[str, Edit], told: str) -> None:
        written = [
            self._try(partial(self._control.edit, run_id, edit), f"Change {self._label(run_id)}")
            for run_id, edit in edits.items()
        ]
        if any(written):
            self._tell(told)
        self._feed.refresh()

    def _try(self, do: Callable[[], object], title: str) -> bool:
        try:
            do()
        except MmfuseError as error:
            words = f"{clean(error.message)}\n{clean(error.hint)}".strip()
            self._screen.app.notify(words, title=title, severity="error", markup=False)
            return False
        return True

    def _in_thread(self, work: Callable[..., None], *arguments: object) -> None:
        self._screen.run_worker(partial(work, *arguments), thread=True, group="control")

    def _label(self, run_id: str) -> str:
        run = self._feed.store.by_id.get(run_id)
        return clean(run.label) if run else run_id

    def _tell(self, words: str) -> None:
        self._screen.app.notify(words, markup=False)

    def _warn(self, words: str) -> None:
        self._screen.notify(words, severity="warning", markup=False)


def _before(run: RunRecord) -> Edit:
    return Edit(run.name, tuple(run.tags), run.notes, run.starred)
