"""Where the dashboard's requests go: to runs through their supervisors, and to what users say of runs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mmfuse.errors import StoreError
from mmfuse_tui.edits import Edit
from mmfuse_tui.verbs import Name

if TYPE_CHECKING:  # option models take a third of the time of a start, and most sessions start no run
    from mmfuse_runs.line_order import Where
    from mmfuse_runs.specs import Spec
    from mmfuse_runs.store import RunStore
    from mmfuse_tui.launch_form import Form


class Control(Protocol):
    """Takes requests; any of them may take a moment and raise an error meant for people."""

    def ask(self, verb: Name, run_id: str) -> None:
        """Request ``verb`` of the run."""

    def restore(self, run_id: str) -> None:
        """Put a deleted run back."""

    def move(self, run_ids: Sequence[str], where: Where) -> None:
        """Move waiting runs within the line."""

    def edit(self, run_id: str, edit: Edit) -> None:
        """Write down what the user says of the run."""

    def size(self, run_id: str) -> int:
        """Bytes of the run's folder."""

    def spec(self, run_id: str) -> Spec:
        """What the run was asked to do."""

    def command(self, form: Form) -> str:
        """The command line that does what the form asks for."""

    def start(self, form: Form) -> str:
        """Start a run of what the form asks for; its id."""


class StoreControl:
    """Requests through `mmfuse_runs`, on a store of its own: the reader's belongs to the reader's thread."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def ask(self, verb: Name, run_id: str) -> None:
        """Request ``verb`` of the run; deleted ones go to the trash, as by ``mmfuse runs rm``.

        Raises:
            RunBusy: the run is in a state in which that makes no sense.
            StoreError: the home cannot be written.
        """
        from mmfuse_runs import control

        with self._store(f"run {run_id} could not be asked to {verb}") as store:
            if verb == "stop":
                control.stop(store, run_id, by="tui")
            elif verb == "kill":
                control.kill(store, run_id, by="tui")
            elif verb == "pause":
                control.pause(store, run_id, by="tui")
            elif verb == "continue":
                control.continue_(store, run_id, by="tui")
            elif verb == "resume":
                control.resume(store, run_id, by="tui")
            else:
                from mmfuse_runs.trash import throw_away

                throw_away(store, run_id)

    def restore(self, run_id: str) -> None:
        """Put a deleted run back.

        Raises:
            UnknownName: it is not in the trash any more.
            StoreError: the home cannot be written.
        """
        from mmfuse_runs.trash import put_back

        with self._store(f"run {run_id} could not be put back") as store:
            put_back(store, run_id)

    def move(self, run_ids: Sequence[str], where: Where) -> None:
        """Move waiting runs within the line.

        Raises:
            RunBusy: one of them does not wait any more.
            BadSpec: they wait on different machines.
            StoreError: the home cannot be written.
        """
        from mmfuse_runs.reorder import move

        with self._store("the line could not be changed") as store:
            move(store, run_ids, where)

    def edit(self, run_id: str, edit: Edit) -> None:
        """Write down what the user says of the run.

        Raises:
            StoreError: the home cannot be written.
        """
        with self._store(f"run {run_id} could not be changed") as store:
            store.set_meta(run_id, name=edit.name, tags=edit.tags, starred=edit.starred, notes=edit.notes)

    def size(self, run_id: str) -> int:
        """Bytes of the run's folder; 0 where it is gone."""
        folder = self._home / "runs" / run_id
        try:
            return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
        except OSError:
            return 0

    def spec(self, run_id: str) -> Spec:
        """What the run was asked to do.

        Raises:
            StoreError, BadSpec: config.json cannot be read or holds no spec.
        """
        from mmfuse.spec import spec_from_json

        with self._store(f"run {run_id} cannot be read") as store:
            return spec_from_json(store.folder(run_id).spec())

    def command(self, form: Form) -> str:
        """The command line that does what the form asks for.

        Raises:
            BadSpec, UnknownName: every mistake at once.
        """
        with self._store("the form cannot be checked") as store:
            return form.command(store)

    def start(self, form: Form) -> str:
        """Start a run in the background, as the command line does; its id, or that of a sweep's first.

        Raises:
            BadSpec, UnknownName: the form asks for something impossible.
            StoreError: the home cannot be written, or no process can be made.
        """
        from mmfuse_runs.begin import begin

        with self._store("the run could not be started") as store:
            tags = form.tags.split()
            if form.is_sweep:
                tags.insert(0, f"sweep-{secrets.token_hex(2)}")
            started = [
                begin(store, spec, device=form.device, name=f"{form.name} {own}".strip(), tags=tags, by="tui")
                for own, spec in form.specs(store)
            ]
            return started[0]

    @contextmanager
    def _store(self, failure: str) -> Iterator[RunStore]:
        from mmfuse_runs.store import RunStore

        store = RunStore(self._home)
        try:
            yield store
        except OSError as error:
            raise StoreError(f"{failure}: {error.strerror}") from error
        finally:
            store.close()
