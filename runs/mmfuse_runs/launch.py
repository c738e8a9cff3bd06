"""Start a run: say in ``launch.json`` how, then leave it to a supervisor that outlives this process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mmfuse
from mmfuse.errors import BadSpec, MmfuseError, RunBusy, StoreError
from mmfuse_runs import sourcecode
from mmfuse_runs.atomic import write_json
from mmfuse_runs.home import data_root as resolve_data_root
from mmfuse_runs.identity import host_name
from mmfuse_runs.slots import NoSuchDevice, Ticket, cores, cpu_slots, draw_ticket
from mmfuse_runs.statefile import read_record
from mmfuse_runs.states import State, advanced
from mmfuse_runs.surroundings import git_state, packages

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore

_SUPERVISE = Path(__file__).with_name("supervise.py")
_WORKER = ("-m", "mmfuse_runs.worker")
_NAMED = 3
"""Changed files that are named."""
CURRENT = "current"
"""Asks for the code as it is now."""


def start(
    store: RunStore,
    run_id: str,
    *,
    device: str | None = None,
    data_root: str | None = None,
    threads: int | None = None,
    argv: Sequence[str] | None = None,
    code: str | None = None,
    started_by: str = "cli",
) -> None:
    """Start the queued attempt of a run and return at once; nothing of it depends on this process any more.

    ``device`` (auto, cpu, cuda, cuda:<index>), ``threads`` and the worker's command ``argv`` are those of the attempt
    before where not given; at first ``auto``, this run's share of the cores, and ``mmfuse_runs.worker``. So is the
    ``code`` (digest of a snapshot, or `CURRENT`); a first attempt has the code as it is now. Where none can be kept or
    found, the run starts all the same with the code that is there, and launch.json says so in ``code_remark``.

    Raises:
        RunBusy: the run is not queued, or is being started by somebody else.
        BadSpec: a setting in the environment is not a number.
        StoreError: launch.json cannot be read or written, or no process can be made.
    """
    run = store.folder(run_id).path
    with ExitStack() as line:
        with store.lock():
            state = store.folder(run_id).state()
            if state["state"] != State.QUEUED or state["supervisor"] is not None:
                raise RunBusy(f"run {run_id} is {state['state']} and cannot be started", f"mmfuse runs show {run_id}")
            attempts = store.folder(run_id).launch()["attempts"]
            if attempts and attempts[-1].get("attempt") == state["attempt"]:
                raise RunBusy(f"run {run_id} is already being started", f"mmfuse runs show {run_id}")
            before = attempts[-1] if attempts else {}
            with _or_give_up(store, run):
                attempt = {
                    "attempt": state["attempt"],
                    "argv": list(argv or _same_command(before, run)),
                    "cwd": _working_folder(store.home),
                    "host": host_name(),
                    "python": sys.version.split()[0],
                    "mmfuse": mmfuse.__version__,
                    **_code(
                        store.home,
                        code or before.get("code") or CURRENT,
                        before=before,
                        patch=run / "artefacts" / f"git.{state['attempt']}.diff",
                    ),
                    "device": device or before.get("device", "auto"),
                    "data_root": str(resolve_data_root(store.home, data_root or before.get("data_root"))),
                    "threads": threads or before.get("threads") or _share_of_the_cores(),
                    "started_by": started_by,
                    "at": time.time(),
                    "packages": packages(),
                }
                _write(run / "launch.json", {"format": 1, "attempts": [*attempts, attempt]})
                ticket = line.enter_context(_place_in_line(store.home, run_id))
        with _or_give_up(store, run):
            spawn_supervisor(run, log=run / f"log.{state['attempt']}.txt", ticket=ticket)


def spawn_supervisor(run: Path, *, log: Path, adopt: bool = False, ticket: Ticket | None = None) -> None:
    """Start a supervisor that is nobody's child: it leaves session and terminal, and its starter has nothing to reap.

    It inherits the ``ticket``; the caller closes its own copy.

    Raises:
        StoreError: no process can be made.
    """
    command = [sys.executable, "-I", "-S", str(_SUPERVISE), str(run.absolute()), "--detach", *["--adopt"] * adopt]
    command += [f"--ticket={ticket.descriptor}:{ticket.path.name}"] if ticket else []
    try:
        with open(log, "ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=[ticket.descriptor] if ticket else (),
            )
        code = process.wait()  # it forks first thing, so this takes as long as Python takes to start
    except OSError as error:
        raise StoreError(f"run {run.name} cannot be started: {error}") from error
    if code != 0:
        raise StoreError(f"run {run.name} cannot be started: its supervisor exited with {code}", f"look at {log}")


@contextmanager
def _place_in_line(home: Path, run: str) -> Iterator[Ticket | None]:
    """The run's ticket, drawn in the order of launches, for a supervisor that is started inside the block.

    None on a full disk, where the supervisor draws one as soon as it can.
    """
    try:
        ticket = draw_ticket(home, run=run)
    except OSError:
        yield None
        return
    try:
        yield ticket
    except BaseException:
        ticket.give_up()
        raise
    os.close(ticket.descriptor)  # the supervisor's copy keeps the place


def _same_command(before: Mapping[str, Any], run: Path) -> list[str]:
    """The worker's command: that of the attempt before, but ours always with this Python and this folder's path."""
    argv = [str(word) for word in before.get("argv", ())]
    if not argv or tuple(argv[1:3]) == _WORKER:
        return [sys.executable, *_WORKER, str(run.absolute())]
    return argv


def _share_of_the_cores() -> int:
    try:
        return max(1, cores() // cpu_slots())
    except NoSuchDevice as error:
        raise BadSpec(str(error)) from error


def _code(home: Path, wanted: str, *, before: Mapping[str, Any], patch: Path) -> dict[str, Any]:
    """The snapshot that the worker imports, or none; what may surprise about that; and the commit it stands on.

    That is the checkout's commit only where its code is what is on disk now.
    """
    if wanted != CURRENT and sourcecode.is_whole(home, wanted):
        if changed := sourcecode.changed_since(home, wanted):
            return {"code": wanted, "code_remark": _remark(changed), "git": before.get("git")}
        return {"code": wanted, "code_remark": None, "git": git_state(patch)}
    git = git_state(patch)
    try:
        kept = sourcecode.keep(home)
    except sourcecode.NotKept as error:
        return {"code": None, "code_remark": str(error), "git": git}
    gone = f"the code it began with ({wanted}) is not in {home / 'code'}; it goes on with what is there now"
    return {"code": kept, "code_remark": None if wanted in (CURRENT, kept) else gone, "git": git}


def _remark(changed: Sequence[str]) -> str:
    files = ", ".join(changed[:_NAMED]) + (f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else "")
    return (
        f"it works with the code it was asked for with; since then {files} changed (--code current takes that of now)"
    )


def _working_folder(home: Path) -> str:
    """Where the user is; the home where that folder has been removed under them."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return str(home)


@contextmanager
def _or_give_up(store: RunStore, run: Path) -> Iterator[None]:
    """Record a failure inside the block: a run that cannot be started must not look as if it waited for its turn."""
    try:
        yield
    except MmfuseError as error:
        _give_up(store, run, error.message)
        raise


def _give_up(store: RunStore, run: Path, reason: str) -> None:
    with store.lock():
        record = read_record(run)
        if record["state"] == State.QUEUED and record["supervisor"] is None:
            _write(run / "state.json", advanced(record, State.CRASHED, at=time.time(), reason=reason))


def _write(path: Path, record: Mapping[str, Any]) -> None:
    try:
        write_json(path, record)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
