"""What a person may ask of a run: stop, kill, pause, continue, resume, adopt; and waiting for what becomes of it.

A request is a file in the run's folder (`mmfuse_runs.inbox`) and a nudge to its supervisor, so it works before the
worker exists, across hosts, and twice. Asking for what is already so is no error; asking for what makes no sense is
`RunBusy`, with a sentence that says why.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfuse.errors import RunBusy, StoreError
from mmfuse_runs import inbox, launch
from mmfuse_runs.atomic import write_json
from mmfuse_runs.identity import ProcessIdentity
from mmfuse_runs.inbox import Request, Verb
from mmfuse_runs.states import LIVE, RESUMABLE, TERMINAL, Observation, State, advanced, observe, whole_record, withdrawn

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore

CONFIRM_S = 3.0
"""How long a request waits for its effect to show; it stays valid after that."""
LEAVE_S = 20.0
"""How long a resume waits for the supervisor of the attempt before to leave: on a busy disk that takes its time."""
_POLL_S = (0.01, 0.1)
"""First and longest pause between two looks at a run: what is quick is seen quickly, long waits cost little."""

_AS_ASKED = frozenset({State.STOPPED, State.KILLED, State.CANCELLED})
_POSSIBLE = {
    Verb.STOP: LIVE,
    Verb.KILL: LIVE,
    Verb.PAUSE: frozenset({State.STARTING, State.RUNNING, State.PAUSED}),
    Verb.CONTINUE: frozenset({State.STARTING, State.RUNNING, State.PAUSED}),
}
"""States in which each verb makes sense. A worker that is just starting is paused as soon as it runs."""
_EFFECT = {
    Verb.STOP: TERMINAL | {State.STOPPING},
    Verb.KILL: TERMINAL,
    Verb.PAUSE: TERMINAL | {State.PAUSED, State.STARTING, State.STOPPING},
    Verb.CONTINUE: TERMINAL | {State.RUNNING, State.STARTING, State.STOPPING},
}


def stop(store: RunStore, run_id: str, *, grace_s: float | None = None, by: str = "cli", reason: str = "") -> State:
    """Ask the run to stop at its next safe point, from where it can be resumed; killed after ``grace_s`` (30) seconds.

    A run that still waits for its slot is withdrawn. Returns the state shortly after; `wait` for the end.

    Raises:
        RunBusy: the run has ended by itself.
        StoreError: the run's folder cannot be read or written. So do the other verbs.
    """
    return _ask(store, run_id, Request(Verb.STOP, by=by, reason=reason, grace_s=grace_s))


def kill(store: RunStore, run_id: str, *, by: str = "cli", reason: str = "") -> State:
    """End the run at once, with everything it started; what it did since its last checkpoint is lost.

    Raises:
        RunBusy: the run has ended by itself.
    """
    return _ask(store, run_id, Request(Verb.KILL, by=by, reason=reason))


def pause(store: RunStore, run_id: str, *, by: str = "cli", reason: str = "") -> State:
    """Freeze the worker where it is; it keeps its memory, its slot and its GPU memory.

    Raises:
        RunBusy: the run waits for its slot, is stopping or has ended.
    """
    return _ask(store, run_id, Request(Verb.PAUSE, by=by, reason=reason))


def continue_(store: RunStore, run_id: str, *, by: str = "cli", reason: str = "") -> State:
    """Let a paused worker go on.

    Raises:
        RunBusy: the run is not paused.
    """
    return _ask(store, run_id, Request(Verb.CONTINUE, by=by, reason=reason))


def resume(
    store: RunStore,
    run_id: str,
    *,
    device: str | None = None,
    data_root: str | None = None,
    threads: int | None = None,
    code: str | None = None,
    by: str = "cli",
) -> int:
    """Begin the next attempt of a stopped, crashed, killed or lost run; returns its number.

    What is not given stays as it was in the attempt before, the code included (see `launch.start`). Of several at once,
    one wins.

    Raises:
        RunBusy: the run goes on, has finished or was cancelled.
    """
    run = store.folder(run_id).path
    _let_it_settle(store, run_id)
    with store.lock():
        record, seen = _look(store, run_id)
        _check_resumable(run_id, seen)
        store.folder(run_id).launch()  # what cannot be started must not look queued
        now = time.time()
        if State(record["state"]) in LIVE:
            record = advanced(
                record, State.LOST, at=now, reason=f"nobody was left of it while it was {record['state']}"
            )
        record = advanced(record, State.QUEUED, at=now, reason=f"resumed by {by}")
        inbox.discard(run)
        _write_state(run, record)
        store.patch(run_id, state=record["state"], attempt=record["attempt"], ended=None, reason=record["reason"])
    launch.start(store, run_id, device=device, data_root=data_root, threads=threads, code=code, started_by=by)
    return int(record["attempt"])


def adopt(store: RunStore, run_id: str) -> State:
    """Give a run whose supervisor died a new one; where the worker is gone too, settle what became of it.

    A run that has a supervisor is left alone. Returns the state shortly after.

    Raises:
        RunBusy: the run has ended, or nobody has started it yet.
    """
    record, seen = _look(store, run_id)
    supervisor = ProcessIdentity.from_json(record["supervisor"])
    if State(record["state"]) in TERMINAL:
        raise RunBusy(f"run {run_id} has ended ({record['state']}); there is nothing to adopt")
    if supervisor is None:
        raise RunBusy(f"run {run_id} has no worker yet to adopt", f"mmfuse runs resume {run_id}")
    if not supervisor.gone():
        return seen.state
    run = store.folder(run_id).path
    launch.spawn_supervisor(run, log=run / f"log.{record['attempt']}.txt", adopt=True)
    _poll(lambda: _look(store, run_id)[0]["supervisor"] != record["supervisor"], CONFIRM_S)
    return _look(store, run_id)[1].state


def wait(store: RunStore, run_id: str, until: Collection[State] = TERMINAL, timeout: float | None = None) -> State:
    """Block until the run is in one of the states ``until`` (or has ended), or ``timeout`` seconds are over.

    Returns the state it is in then. The end of an orphan looks like `lost` here until `adopt` settles it.
    """
    _poll(lambda: _look(store, run_id)[1].state in TERMINAL.union(until), timeout)
    return _look(store, run_id)[1].state


def _ask(store: RunStore, run_id: str, request: Request) -> State:
    run, ending = store.folder(run_id).path, request.verb in (Verb.STOP, Verb.KILL)
    record, seen = _look(store, run_id)
    if ending and (seen.state in _AS_ASKED or _withdraw(store, run_id, request)):
        return _look(store, run_id)[1].state
    if seen.state not in _POSSIBLE[request.verb]:
        raise _senseless(run_id, request.verb, seen.state)
    try:
        inbox.post(run, request._replace(attempt=int(record["attempt"])))
    except OSError as error:
        raise StoreError(f"run {run_id} cannot be asked to {request.verb}: {error.strerror}") from error
    if not _urge(store, run_id, request.verb) and ending:
        _withdraw(store, run_id, request, unclaimed=True)
    return _look(store, run_id)[1].state


def _urge(store: RunStore, run_id: str, verb: Verb) -> bool:
    """Have the request taken; whether it was. A run that is or just now becomes an orphan is adopted first."""
    deadline = time.monotonic() + CONFIRM_S
    taken = False
    while not taken and time.monotonic() < deadline:
        if _look(store, run_id)[1].orphan:
            adopt(store, run_id)
        _nudge(store, run_id)
        _poll(lambda: _took_effect(store, run_id, verb) or _look(store, run_id)[1].orphan, deadline - time.monotonic())
        taken = _took_effect(store, run_id, verb)
    return taken


def _took_effect(store: RunStore, run_id: str, verb: Verb) -> bool:
    if inbox.pending(store.folder(run_id).path, verb):
        return _look(store, run_id)[1].state in TERMINAL
    return _look(store, run_id)[1].state in _EFFECT[verb]


def _withdraw(store: RunStore, run_id: str, request: Request, *, unclaimed: bool = False) -> bool:
    """End a queued run that no supervisor is there to end; whether there was anything to do.

    ``unclaimed`` also ends one whose supervisor should have come by now.
    """
    record, seen = _look(store, run_id)
    if record["state"] != State.QUEUED or not (unclaimed or seen.state is State.LOST):
        return False
    with store.lock():
        record, seen = _look(store, run_id)
        supervisor = ProcessIdentity.from_json(record["supervisor"])
        if record["state"] != State.QUEUED or not (supervisor is None or supervisor.gone()):
            return False
        record = advanced(record, withdrawn(record["attempt"]), at=time.time(), reason=str(request))
        _write_state(store.folder(run_id).path, record)
        inbox.discard(store.folder(run_id).path)
        store.patch(run_id, state=record["state"], ended=record["since"], reason=record["reason"])
    return True


def _nudge(store: RunStore, run_id: str) -> None:
    """Wake the supervisor, if it is on this host; elsewhere it looks once a second anyway."""
    supervisor = ProcessIdentity.from_json(_look(store, run_id)[0]["supervisor"])
    if supervisor is not None:
        supervisor.signal(signal.SIGUSR1)


def _let_it_settle(store: RunStore, run_id: str) -> None:
    """Before a next attempt: a lost run may have a last word, an ended run's supervisor may need a moment to leave."""
    record, seen = _look(store, run_id)
    if record["state"] in LIVE and record["supervisor"] and seen.state is State.LOST:
        adopt(store, run_id)
        _poll(lambda: _settled_or_begun_anew(store, run_id, int(record["attempt"])), CONFIRM_S)
        record, seen = _look(store, run_id)
    supervisor = ProcessIdentity.from_json(record["supervisor"])
    if seen.state not in TERMINAL or supervisor is None:
        return
    if not _poll(lambda: not supervisor.alive(), LEAVE_S):
        raise RunBusy(
            f"run {run_id} has ended but its supervisor, process {supervisor.pid}, is still busy", "try again"
        )


def _settled_or_begun_anew(store: RunStore, run_id: str, attempt: int) -> bool:
    record, seen = _look(store, run_id)
    return seen.state in TERMINAL or int(record["attempt"]) != attempt


def _check_resumable(run_id: str, seen: Observation) -> None:
    if seen.state in RESUMABLE:
        return
    if seen.orphan:
        raise RunBusy(f"run {run_id} goes on without its supervisor", f"mmfuse runs adopt {run_id}")
    if seen.state in LIVE:
        raise RunBusy(f"run {run_id} is {seen.state}; there is nothing to resume", f"mmfuse runs show {run_id}")
    if seen.state is State.CANCELLED:
        raise RunBusy(f"run {run_id} was cancelled before it started; there is nothing to resume", "start it anew")
    raise RunBusy(f"run {run_id} has finished; there is nothing to resume", f"mmfuse runs show {run_id}")


def _senseless(run_id: str, verb: Verb, state: State) -> RunBusy:
    show = f"mmfuse runs show {run_id}"
    if state in RESUMABLE:
        return RunBusy(f"run {run_id} is {state}; there is nothing to {verb}", f"mmfuse runs resume {run_id}")
    if state in TERMINAL:
        was = "has finished" if state is State.FINISHED else "was cancelled"
        return RunBusy(f"run {run_id} {was}; there is nothing to {verb}", show)
    why = "still waits for its slot" if state is State.QUEUED else f"is {state}"
    return RunBusy(f"run {run_id} {why}; it cannot {verb} now", show)


def _look(store: RunStore, run_id: str) -> tuple[dict[str, Any], Observation]:
    """What state.json says, and what that means. Content first: an older heartbeat would make a new state look lost."""
    folder = store.folder(run_id)
    try:
        record = whole_record(folder.state())
        return record, observe(record, (folder.path / "state.json").stat().st_mtime)
    except (OSError, ValueError) as error:
        raise StoreError(f"state.json of run {run_id} cannot be used: {error}", "mmfuse doctor") from error


def _write_state(run: Path, record: dict[str, Any]) -> None:
    try:
        write_json(run / "state.json", record)
    except OSError as error:
        raise StoreError(f"state.json of run {run.name} cannot be written: {error.strerror}") from error


def _poll(reached: Callable[[], bool], timeout: float | None) -> bool:
    """Look again and again until something is so; False once ``timeout`` seconds are over."""
    deadline = None if timeout is None else time.monotonic() + timeout
    pause, longest = _POLL_S
    while not reached():
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.2, longest)
    return True
