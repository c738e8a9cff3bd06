"""Damage in a run store, found and mended: what a power cut, a full disk or a careless hand leaves behind.

Nothing is thrown away but temporary files: what cannot be read is set aside beside its place, with ``.bad`` behind its
name. Runs that go on are looked at, but left to their supervisors.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfuse.errors import MmfuseError, StoreError
from mmfuse_runs import sourcecode
from mmfuse_runs.atomic import write_json
from mmfuse_runs.fold import fold
from mmfuse_runs.folder import FORMAT, RunFolder
from mmfuse_runs.journal import decode_row
from mmfuse_runs.records import SETTLED
from mmfuse_runs.slots import dead_tickets, remove_if_dead
from mmfuse_runs.statefile import read_record
from mmfuse_runs.states import LIVE, TRANSITIONS, State, advanced, first_record, observe, whole_record
from mmfuse_runs.verdict import judge_bereft

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore

QUIET_S = 60.0
"""A folder whose state cannot be read counts as left alone once nothing in it was written for so long."""
JOURNALS = ("metrics.jsonl", "events.jsonl")
_SET_ASIDE = {
    "meta.json": "its name, tags and notes are lost",
    "launch.json": "how it was started is lost",
    "exit.json": "its result is lost",
    "progress.json": "",
}
"""Files of which a run has none at first, and what it loses with them."""


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong: where, what, and how it can be mended (None: not by us, and ``hint`` says by whom)."""

    where: str
    what: str
    mend: Callable[[], None] | None = None
    hint: str = ""
    mended: bool = False


def examine(store: RunStore) -> Iterator[Trouble]:
    """Everything that is wrong in the store; nothing is changed."""
    for leftover in store.leftovers():
        yield Trouble(leftover.name, "left by a process that died", partial(store.sweep, leftover))
    for leftover in sourcecode.leftovers(store.home):
        yield Trouble(f"code/{leftover.name}", "left by a process that died", partial(sourcecode.remove, leftover))
    for ticket in dead_tickets(store.home):
        yield Trouble(
            f"queue/{ticket.name}", "a place in the line that nobody holds", partial(_drop, remove_if_dead, ticket)
        )
    documents = store.documents()
    for run_id in sorted(store.ids()):
        troubles = list(_examine_run(store, RunFolder(store.runs / run_id)))
        yield from troubles
        if not troubles:
            yield from _examine_entry(store, run_id, documents.get(run_id))
    for run_id in sorted(documents.keys() - set(store.ids())):
        yield Trouble(run_id, "listed in the index, but there is no folder", partial(_drop, store.rebuild))


def mend(troubles: Iterator[Trouble]) -> Iterator[Trouble]:
    """Mend what can be mended, one by one; each trouble again, ``mended`` or not."""
    for trouble in troubles:
        if trouble.mend is None:
            yield trouble
            continue
        try:
            trouble.mend()
        except (MmfuseError, OSError, ValueError) as error:
            yield replace(trouble, what=f"{trouble.what}; not mended: {error}")
        else:
            yield replace(trouble, mended=True)


def _examine_run(store: RunStore, folder: RunFolder) -> Iterator[Trouble]:
    if not any((folder.path / name).exists() for name in ("config.json", "state.json")):
        yield Trouble(
            folder.id,
            "a folder that is no run: neither config.json nor state.json",
            hint=f"look at it, then: rm -r {folder.path}",
        )
        return
    newer = _newer_files(folder)
    if newer:  # what is sound to that mmfuse may look damaged to this one
        yield Trouble(folder.id, f"{', '.join(newer)} of a newer mmfuse", hint="upgrade mmfuse")
        return
    yield from _examine_config(folder)
    state = _examine_state(store, folder)
    live = state is None and _goes_on(folder)
    if state is not None:
        yield state
        if state.mend is None:  # nobody knows whether it goes on
            return
    for name, loss in _SET_ASIDE.items():
        problem = _unreadable(folder.path / name)
        if problem and not live:
            words = f"{name} is damaged: {problem}" + (f"; {loss}" if loss else "")
            yield Trouble(folder.id, words, partial(_set_aside, folder.path / name))
    if live:
        return
    for name in JOURNALS:
        yield from _examine_journal(folder, name)
    for path in sorted(folder.path.glob("*.tmp")):
        yield Trouble(folder.id, f"{path.name} is left over", partial(_drop, path.unlink))


def _newer_files(folder: RunFolder) -> list[str]:
    """Files whose format number this mmfuse does not know; those it cannot read say nothing here."""
    newer = []
    for name in ("state.json", "config.json", *_SET_ASIDE):
        with suppress(OSError, ValueError):
            written = read_record(folder.path, name).get("format")
            if isinstance(written, int) and written > FORMAT:
                newer.append(name)
    try:
        folder.check_journals()
    except StoreError:
        newer.append("journals")
    return newer


def _examine_config(folder: RunFolder) -> Iterator[Trouble]:
    path = folder.path / "config.json"
    problem = _unreadable(path) if path.exists() else "it is missing"
    if problem:
        yield Trouble(
            folder.id, f"config.json is damaged: {problem}", hint=f"nobody else knows it: mmfuse runs rm {folder.id}"
        )


def _examine_state(store: RunStore, folder: RunFolder) -> Trouble | None:
    """What is wrong with where the run says that it stands."""
    path = folder.path / "state.json"
    try:
        record = whole_record(read_record(folder.path))
    except FileNotFoundError:
        return _lost_state(store, folder, "state.json is missing")
    except OSError as error:
        return Trouble(folder.id, f"state.json cannot be read: {error.strerror}", hint=f"ls -l {path}")
    except ValueError as error:
        return _lost_state(store, folder, str(error))
    if observe(record, path.stat().st_mtime).state is State.LOST and record["state"] != State.LOST:
        return Trouble(
            folder.id, f"said to be {record['state']}, but its processes are gone", partial(_settle, store, folder)
        )
    return None


def _lost_state(store: RunStore, folder: RunFolder, what: str) -> Trouble:
    if _age(folder.path) < QUIET_S:
        return Trouble(folder.id, what, hint=f"something was written here just now; again in {QUIET_S:.0f} s")
    return Trouble(folder.id, what, partial(_write_state, store, folder))


def _goes_on(folder: RunFolder) -> bool:
    record = read_record(folder.path)
    return State(record["state"]) in LIVE


def _examine_journal(folder: RunFolder, name: str) -> Iterator[Trouble]:
    path = folder.path / name
    if not path.exists():
        return
    torn, bad = False, 0
    with open(path, "rb") as file:
        for line in file:
            torn = not line.endswith(b"\n")
            bad += not torn and decode_row(line) is None
    if torn:
        yield Trouble(folder.id, f"the last row of {name} is torn", partial(_mend_journal, path))
    if bad:
        rows = "1 row" if bad == 1 else f"{bad} rows"
        yield Trouble(folder.id, f"{rows} of {name} cannot be read", partial(_mend_journal, path))


def _examine_entry(store: RunStore, run_id: str, known: Mapping[str, Any] | None) -> Iterator[Trouble]:
    """Whether the index says of an ended run what its folder says; of others it need not."""
    if known is None or SETTLED not in known:
        return
    document = fold(RunFolder(store.runs / run_id))
    if document.get(SETTLED) == known[SETTLED] and document != known:
        wrong = next(key for key in {**document, **known} if document.get(key) != known.get(key))
        yield Trouble(run_id, f"the index says something else of it ({wrong})", partial(_drop, store.rebuild))


def _unreadable(path: Path) -> str:
    """Why a JSON file cannot be read; empty for one that can, or is not there."""
    try:
        read_record(path.parent, path.name)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:
        return str(error).partition(": ")[2]
    return ""


def _age(folder: Path) -> float:
    """Seconds since anything in the folder was written."""
    newest = 0.0
    for path in (folder, *folder.iterdir()):
        with suppress(FileNotFoundError):
            newest = max(newest, path.stat().st_mtime)
    return time.time() - newest


def _set_aside(path: Path) -> None:
    """Rename a file so that it is not read, without writing over what was set aside before."""
    target, number = path.with_name(f"{path.name}.bad"), 1
    while target.exists():
        target, number = path.with_name(f"{path.name}.bad{number}"), number + 1
    path.rename(target)


def _settle(store: RunStore, folder: RunFolder) -> None:
    """Write down what readers conclude of a run that nobody is left of: what its worker said last, or that it is lost.

    A supervisor that came meanwhile is left its run.
    """
    with store.lock():
        record = whole_record(read_record(folder.path))
        path = folder.path / "state.json"
        if observe(record, path.stat().st_mtime).state is not State.LOST:
            return
        at = path.stat().st_mtime
        verdict = judge_bereft(record, _record_or_nothing(folder.path, "exit.json"))
        if verdict.state not in TRANSITIONS[State(record["state"])]:
            record = advanced(record, State.RUNNING, at=at)  # it did run, only nobody wrote that down
        write_json(path, advanced(record, verdict.state, at=at, reason=verdict.reason))


def _write_state(store: RunStore, folder: RunFolder) -> None:
    """A new state.json from what the rest of the folder says: finished where the worker said so, else lost."""
    with store.lock():
        path = folder.path / "state.json"
        if path.exists():
            _set_aside(path)
        outcome = _record_or_nothing(folder.path, "exit.json")
        began = fold(folder).get("created") or folder.path.stat().st_mtime
        record = first_record(folder.id, at=began) | {"attempt": int(outcome.get("attempt") or 1)}
        end = State.FINISHED if outcome.get("status") == "finished" else State.LOST
        steps = (State.STARTING, State.RUNNING, end) if end is State.FINISHED else (end,)
        for step in steps:
            record = advanced(record, step, at=folder.path.stat().st_mtime, reason="state.json was written anew")
        write_json(path, record)


def _record_or_nothing(folder: Path, name: str) -> dict[str, Any]:
    try:
        record = read_record(folder, name)
    except (OSError, ValueError):
        return {}
    return record if record.get("format", FORMAT) <= FORMAT else {}


def _mend_journal(path: Path) -> None:
    """Keep the rows that can be read, in their order; the others go to a file beside it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(path, "rb") as file, open(temporary, "wb") as good, open(f"{path}.bad", "ab") as bad:
        for line in file:
            whole = line.endswith(b"\n") and decode_row(line) is not None
            (good if whole else bad).write(line if line.endswith(b"\n") else line + b"\n")
        good.flush()
        os.fsync(good.fileno())
    temporary.replace(path)


def _drop(act: Callable[..., object], *arguments: object) -> None:
    """Do it; its answer does not matter here."""
    act(*arguments)
