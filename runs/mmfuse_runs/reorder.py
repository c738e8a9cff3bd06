"""Moving runs that wait for their slots, and saying where each of them stands."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

from mmfuse.errors import BadSpec, RunBusy, StoreError
from mmfuse_runs.line_order import Where, arrange, moved, tickets
from mmfuse_runs.machine import Waiting, waiting_line
from mmfuse_runs.slots import dead_tickets
from mmfuse_runs.states import State

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore


def move(store: RunStore, run_ids: Sequence[str], where: Where, *, anchor: str | None = None) -> list[Waiting]:
    """Move runs within the line of their machine, all together; the line as it is then, next first.

    ``anchor`` is the run to stand ``before`` or ``after``. Who moves runs at the same time waits for its turn; one that
    dies halfway has changed nothing.

    Raises:
        RunBusy: one of them does not wait in a line.
        BadSpec: they stand in the lines of different machines, or the anchor is one of them.
        StoreError: the home cannot be written.
    """
    if anchor in run_ids:
        raise BadSpec(f"run {anchor} cannot stand {where} itself", "name another run")
    queue = store.home / "queue"
    with store.lock():
        line = {waiting.run: waiting for waiting in live_line(store)}
        named = [*run_ids, *([anchor] if anchor else [])]
        for run_id in named:
            if run_id not in line:
                raise _not_in_line(store, run_id)
        hosts = sorted({line[run_id].host for run_id in named})
        if len(hosts) != 1:
            raise BadSpec(f"these runs wait on different machines: {', '.join(hosts)}", "move those of one at a time")
        dead = {ticket.name for ticket in dead_tickets(store.home)}
        chosen = {line[run_id].ticket for run_id in run_ids}
        try:
            standing = [name for name in tickets(queue, hosts[0]) if name not in dead]
            arrange(queue, hosts[0], moved(standing, chosen, where, anchor=line[anchor].ticket if anchor else None))
        except OSError as error:
            raise StoreError(f"the line in {queue} cannot be changed: {error.strerror}") from error
    return live_line(store)


def live_line(store: RunStore) -> list[Waiting]:
    """Those who stand in line, machine by machine, next first."""
    dead = {ticket.name for ticket in dead_tickets(store.home)}
    return [waiting for waiting in waiting_line(store.home) if waiting.ticket not in dead]


def places(line: Iterable[Waiting], waiting: Container[str]) -> dict[str, int]:
    """Where each run that is ``waiting`` stands in the line of its machine, from 1."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    for each in line:
        if each.run in waiting and each.run not in found:
            counts[each.host] = found[each.run] = counts.get(each.host, 0) + 1
    return found


def _not_in_line(store: RunStore, run_id: str) -> RunBusy:
    state = store.record(run_id).state
    if state == State.QUEUED:
        return RunBusy(f"run {run_id} is queued but has no place in a line yet", "try again")
    return RunBusy(f"run {run_id} is {state}; only runs in line can be moved", "mmfuse runs ls state:queued")
