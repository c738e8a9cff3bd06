"""What can be asked of runs, when it makes sense, and what will happen in plain words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mmfuse_tui import wording
from mmfuse_tui.clean import clean
from mmfuse_tui.snapshot import RunSnapshot

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

Name = Literal["stop", "kill", "pause", "continue", "resume", "delete"]

LISTED = 6
"""Runs that a dialog about many of them names."""


@dataclass(frozen=True)
class Plan:
    """What a dialog says before a verb is carried out.

    ``command`` does the same from a shell. ``run_ids`` are those for which it makes sense.
    """

    verb: Name
    run_ids: tuple[str, ...]
    title: str
    effects: tuple[str, ...]
    command: str
    dangerous: bool = False


@dataclass(frozen=True)
class _Verb:
    states: frozenset[str]
    title: str
    effects: Callable[[RunRecord, RunSnapshot | None], tuple[str, ...]]
    dangerous: bool = False


def is_possible(verb: Name, run: RunRecord | None) -> bool:
    """Whether the verb makes sense for the run as it is now."""
    if run is None or (run.damaged and verb != "delete"):
        return False
    return run.damaged or str(run.state) in _VERBS[verb].states


def plan(verb: Name, run: RunRecord, details: RunSnapshot | None) -> Plan:
    """The dialog of a verb; ``details`` name the processes when they belong to this run."""
    known = _VERBS[verb]
    of_run = details if details is not None and details.id == run.id else None
    return Plan(
        verb,
        (run.id,),
        f"{known.title} {clean(run.label)}?",
        known.effects(run, of_run),
        _command(verb, (run.id,)),
        known.dangerous,
    )


def plan_for_many(verb: Name, runs: Sequence[RunRecord], *, sizes: Mapping[str, int]) -> Plan:
    """The dialog of a verb for several runs at once: which of them, what happens, what is lost.

    ``sizes`` are the bytes of their folders, for deleting.
    """
    known = _VERBS[verb]
    able = [run for run in runs if is_possible(verb, run)]
    effects = [_names(able)]
    if len(able) < len(runs):
        effects.append(f"Not asked, since there is nothing to {verb} in their state: {len(runs) - len(able)}.")
    effects += _lost(able, sizes) if verb == "delete" else ()
    effects += known.effects(able[0], None)
    ids = tuple(run.id for run in able)
    title = f"{known.title} {len(able)} run{'s' * (len(able) != 1)}?"
    return Plan(verb, ids, title, tuple(effects), _command(verb, ids), known.dangerous)


def plan_deletion(run: RunRecord, size: int) -> Plan:
    """The dialog of deleting one run whose folder has ``size`` bytes."""
    known = _VERBS["delete"]
    effects = (*_lost([run], {run.id: size}), *known.effects(run, None))
    return Plan("delete", (run.id,), f"Delete {clean(run.label)}?", effects, _command("delete", (run.id,)), True)


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


def _delete(run: RunRecord, details: RunSnapshot | None) -> tuple[str, ...]:
    return ("u takes it back, or mmfuse runs restore; mmfuse runs gc --trash frees the room for good.",)


def _lost(runs: Sequence[RunRecord], sizes: Mapping[str, int]) -> list[str]:
    """What deleting costs, in words."""
    size = wording.count(sum(sizes.get(run.id, 0) for run in runs))
    folders = f"{len(runs)} folder{'s' * (len(runs) != 1)}"
    lost = [f"To the trash: {folders} with {size}B of checkpoints, metrics, logs and trials."]
    starred = sum(run.starred for run in runs)
    if starred:
        lost.append(f"★ {starred} of them {'is' if starred == 1 else 'are'} starred.")
    return lost


def _names(runs: Sequence[RunRecord]) -> str:
    shown = ", ".join(clean(run.label) for run in runs[:LISTED])
    return shown + (f" and {len(runs) - LISTED} more" if len(runs) > LISTED else "")


def _command(verb: Name, run_ids: Sequence[str]) -> str:
    return f"mmfuse runs {'rm' if verb == 'delete' else verb} {' '.join(run_ids)}"


def _process(details: RunSnapshot | None, role: str) -> str:
    pid = details.processes.get(role) if details else None
    return f" (process {pid})" if pid else ""


_VERBS: Mapping[Name, _Verb] = {
    "stop": _Verb(frozenset({"queued", "starting", "running", "paused"}), "Stop", _stop),
    "kill": _Verb(frozenset({"starting", "running", "paused", "stopping"}), "Kill", _kill, dangerous=True),
    "pause": _Verb(frozenset({"running"}), "Pause", _pause),
    "continue": _Verb(frozenset({"paused"}), "Continue", _continue),
    "resume": _Verb(frozenset({"stopped", "killed", "crashed", "lost"}), "Resume", _resume),
    "delete": _Verb(
        frozenset({"finished", "stopped", "killed", "crashed", "lost", "cancelled"}),
        "Delete",
        _delete,
        dangerous=True,
    ),
}
