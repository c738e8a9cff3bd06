"""What can be asked of a run, when it makes sense, and what will happen in plain words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from mmfuse.errors import StoreError
from mmfuse_tui.clean import clean
from mmfuse_tui.snapshot import RunSnapshot

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

Name = Literal["stop", "kill", "pause", "continue", "resume"]


class Control(Protocol):
    """Where requests go; it may take a moment and raises errors meant for people."""

    def ask(self, verb: Name, run_id: str) -> None:
        """Request ``verb`` of the run."""


class StoreControl:
    """Requests through `mmfuse_runs.control`, on a store of its own: the reader's belongs to the reader's thread."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def ask(self, verb: Name, run_id: str) -> None:
        """Request ``verb`` of the run.

        Raises:
            RunBusy: the run is in a state in which that makes no sense.
            StoreError: the home cannot be written.
        """
        from mmfuse_runs import control
        from mmfuse_runs.store import RunStore

        store = RunStore(self._home)
        try:
            if verb == "stop":
                control.stop(store, run_id, by="tui")
            elif verb == "kill":
                control.kill(store, run_id, by="tui")
            elif verb == "pause":
                control.pause(store, run_id, by="tui")
            elif verb == "continue":
                control.continue_(store, run_id, by="tui")
            else:
                control.resume(store, run_id, by="tui")
        except OSError as error:
            raise StoreError(f"run {run_id} could not be asked to {verb}: {error.strerror}") from error
        finally:
            store.close()


@dataclass(frozen=True)
class Plan:
    """What a dialog says before a verb is carried out.

    ``key`` confirms; ``command`` does the same from a shell.
    """

    verb: Name
    run_id: str
    title: str
    effects: tuple[str, ...]
    command: str
    key: str
    dangerous: bool = False


@dataclass(frozen=True)
class _Verb:
    states: frozenset[str]
    title: str
    key: str
    effects: Callable[[RunRecord, RunSnapshot | None], tuple[str, ...]]
    dangerous: bool = False


def is_possible(verb: Name, run: RunRecord | None) -> bool:
    """Whether the verb makes sense for the run as it is now."""
    return run is not None and not run.damaged and str(run.state) in _VERBS[verb].states


def plan(verb: Name, run: RunRecord, details: RunSnapshot | None) -> Plan:
    """The dialog of a verb; ``details`` name the processes when they belong to this run."""
    known = _VERBS[verb]
    of_run = details if details is not None and details.id == run.id else None
    return Plan(
        verb,
        run.id,
        f"{known.title} {clean(run.label)}?",
        known.effects(run, of_run),
        f"mmfuse runs {verb} {run.id}",
        known.key,
        known.dangerous,
    )


def why_not(verb: Name, run: RunRecord | None) -> str:
    """One sentence on why the verb is not possible now."""
    if run is None:
        return "There is no run to act on."
    if run.damaged:
        return f"The folder of {clean(run.label)} is damaged: {clean(run.reason) or 'its state cannot be read'}."
    return f"{clean(run.label)} is {run.state}: nothing to {verb}."


def _stop(run: RunRecord, details: RunSnapshot | None) -> tuple[str, ...]:
    if str(run.state) == "queued":
        return ("It leaves the queue without having started.",)
    return (
        f"SIGTERM goes to the worker{_process(details, 'worker')} only.",
        "It ends at the next safe point, writes a checkpoint and can be resumed from exactly there.",
        "If it does not end within the grace time, its process group is killed.",
    )


def _kill(run: RunRecord, details: RunSnapshot | None) -> tuple[str, ...]:
    return (
        f"SIGKILL goes to the worker{_process(details, 'worker')} and its whole process group at once.",
        "Work since the last checkpoint is lost; resuming repeats it.",
    )


def _pause(run: RunRecord, details: RunSnapshot | None) -> tuple[str, ...]:
    return (
        f"The worker{_process(details, 'worker')} is halted where it is (SIGSTOP to its group).",
        "It keeps its memory and its device slot until it is continued.",
    )


def _continue(run: RunRecord, details: RunSnapshot | None) -> tuple[str, ...]:
    return ("The worker goes on where it was halted (SIGCONT to its group).",)


def _resume(run: RunRecord, details: RunSnapshot | None) -> tuple[str, ...]:
    from_where = (
        "Finished trials are answered from the journal; the first unfinished one is trained again."
        if run.kind == "search"
        else "It goes on from its last checkpoint, with the same data order and randomness."
    )
    return (f"Attempt {run.attempt + 1} of the same run starts as soon as a device slot is free.", from_where)


def _process(details: RunSnapshot | None, role: str) -> str:
    pid = details.processes.get(role) if details else None
    return f" (process {pid})" if pid else ""


_VERBS: Mapping[Name, _Verb] = {
    "stop": _Verb(frozenset({"queued", "starting", "running", "paused"}), "Stop", "s", _stop),
    "kill": _Verb(frozenset({"starting", "running", "paused", "stopping"}), "Kill", "x", _kill, dangerous=True),
    "pause": _Verb(frozenset({"running"}), "Pause", "p", _pause),
    "continue": _Verb(frozenset({"paused"}), "Continue", "p", _continue),
    "resume": _Verb(frozenset({"stopped", "killed", "crashed", "lost"}), "Resume", "r", _resume),
}
