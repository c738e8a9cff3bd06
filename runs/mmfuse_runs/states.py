"""The life-cycle of a run: its states, the legal steps between them, and what a reader may conclude from a record.

Standard library only: the supervisor imports this without site-packages.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from mmfuse_runs.identity import ProcessIdentity

LEASE_S = 30.0
"""Age of a heartbeat after which a run that nobody supervises on this host is given up."""
FOREIGN_LEASE_S = 120.0
"""The same for a run on another host, whose processes cannot be checked and whose clock may differ."""


class State(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    FINISHED = "finished"
    STOPPED = "stopped"
    KILLED = "killed"
    CRASHED = "crashed"
    LOST = "lost"
    CANCELLED = "cancelled"


LIVE = frozenset({State.QUEUED, State.STARTING, State.RUNNING, State.PAUSED, State.STOPPING})
"""States of an attempt that goes on."""
TERMINAL = frozenset(State) - LIVE
"""States in which an attempt has ended."""
RESUMABLE = frozenset({State.STOPPED, State.CRASHED, State.KILLED, State.LOST})
"""Ended states that a next attempt may follow; nothing follows `finished` and `cancelled`."""

_ENDS = frozenset({State.CRASHED, State.KILLED, State.LOST})
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.STARTING, State.CANCELLED, State.STOPPED, State.CRASHED, State.LOST}),
    State.STARTING: _ENDS | {State.RUNNING, State.STOPPING},
    State.RUNNING: _ENDS | {State.PAUSED, State.STOPPING, State.FINISHED, State.STOPPED},
    State.PAUSED: _ENDS | {State.RUNNING, State.STOPPING},
    State.STOPPING: _ENDS | {State.FINISHED, State.STOPPED},
    State.FINISHED: frozenset(),
    State.CANCELLED: frozenset(),
    **dict.fromkeys(sorted(RESUMABLE), frozenset({State.QUEUED})),
}
"""From each state, the states that may follow. A worker that ends well from `starting` or `paused` passes `running`."""


_KINDS: Mapping[str, tuple[type, ...]] = {
    "run": (str,),
    "state": (str,),
    "attempt": (int,),
    "since": (int, float),
    "history": (list,),
}


class IllegalTransition(ValueError):
    """A step that the life-cycle does not know."""


def check_transition(old: State, new: State) -> None:
    """Refuse a step that is not in `TRANSITIONS`.

    Raises:
        IllegalTransition: naming both states and what would have been legal.
    """
    if new not in TRANSITIONS[old]:
        legal = ", ".join(sorted(TRANSITIONS[old])) or "nothing"
        raise IllegalTransition(f"a run cannot go from {old} to {new}; from {old} only to {legal}")


def withdrawn(attempt: int) -> State:
    """Where a stop or kill takes a run that still waits for its slot.

    A first attempt is `cancelled`: there is nothing to come back to. A later one is `stopped` again, for the work of
    the attempts before it must stay resumable.
    """
    return State.CANCELLED if attempt == 1 else State.STOPPED


def first_record(run_id: str, *, at: float) -> dict[str, Any]:
    """The ``state.json`` of a run that was just made: attempt 1, queued."""
    return {
        "format": 1,
        "run": run_id,
        "state": str(State.QUEUED),
        "attempt": 1,
        "since": at,
        "history": [{"state": str(State.QUEUED), "at": at, "attempt": 1, "reason": ""}],
        "supervisor": None,
        "worker": None,
        "slot": None,
        "waiting": None,
        "exit_code": None,
        "signal": None,
        "reason": "",
    }


def whole_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A ``state.json`` that a next step can be built on; what it leaves out is as in a run's first one.

    Raises:
        ValueError: naming a field that is missing without such a meaning, or of another type.
    """
    for name, kinds in _KINDS.items():
        if not isinstance(record.get(name), kinds):
            raise ValueError(f"it has no usable '{name}'")
    State(record["state"])
    if not all(isinstance(step, Mapping) and {"state", "at"} <= step.keys() for step in record["history"]):
        raise ValueError("it has no usable 'history'")
    return first_record(record["run"], at=record["since"]) | dict(record)


def advanced(record: Mapping[str, Any], state: State, *, at: float, reason: str = "") -> dict[str, Any]:
    """The record one step further. Entering `queued` begins the next attempt, of which nothing is known yet.

    Raises:
        IllegalTransition: the life-cycle does not know the step.
    """
    check_transition(State(record["state"]), state)
    anew = first_record(record["run"], at=at) if state is State.QUEUED else {}
    attempt = record["attempt"] + bool(anew)
    entry = {"state": str(state), "at": at, "attempt": attempt, "reason": reason}
    history = [*record["history"], entry]
    return {
        **record,
        **anew,
        "state": str(state),
        "attempt": attempt,
        "since": at,
        "history": history,
        "reason": reason,
    }


class Observation(NamedTuple):
    """What a reader may conclude about a run."""

    state: State
    """The recorded state, or `lost` where nobody is left to carry it on."""
    orphan: bool
    """The worker lives and works, its supervisor is gone: `adopt` gives it a new one."""


def observe(record: Mapping[str, Any], mtime: float, *, now: float | None = None) -> Observation:
    """Judge a ``state.json``: is somebody still behind the state it claims?

    ``record`` is its content and ``mtime`` its modification time (the heartbeat, Unix seconds). Reads ``/proc``, writes
    nothing, takes microseconds; call it for live states at each refresh. On this host dead processes are noticed at
    once; where they cannot be checked (another host, or nobody has claimed the run yet) the age of the heartbeat
    decides.

    Raises:
        KeyError, ValueError: the record is damaged (no state, or an unknown one).
    """
    state = State(record["state"])
    if state in TERMINAL:
        return Observation(state, orphan=False)
    supervisor = ProcessIdentity.from_json(record.get("supervisor"))
    worker = ProcessIdentity.from_json(record.get("worker"))
    if supervisor is not None and supervisor.alive():
        return Observation(state, orphan=False)
    if supervisor is not None and supervisor.gone():
        orphan = worker is not None and worker.alive()
        return Observation(state if orphan else State.LOST, orphan)
    lease = LEASE_S if supervisor is None else FOREIGN_LEASE_S
    age = (time.time() if now is None else now) - mtime
    return Observation(State.LOST if age > lease else state, orphan=False)
