"""Following a run until it ends, and what Ctrl-C means meanwhile."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from mmfuse.errors import RunBusy, StoreError
from mmfuse_cli.glimpse import Watcher
from mmfuse_cli.views import View, choose_view
from mmfuse_runs.identity import ProcessIdentity

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore

POLL_S = 0.25
"""Seconds between two looks."""
UNWRITTEN_S = 3.0
"""Seconds that a full disk may keep back the end of a run before its follower is told."""
FULL_BYTES = 1 << 16
"""Less free space than this is a full disk."""
STOP_HINT = "Ctrl-C asks it to save and stop"
LEAVE_HINT = "Ctrl-C leaves it to itself"


@dataclass(frozen=True)
class Ending:
    """How following ended: the run's last known state, whether a person asked it to stop, or left it running."""

    state: str
    asked_to_stop: bool = False
    left: bool = False


class Interrupts:
    """Counts Ctrl-C instead of letting it strike anywhere."""

    def __init__(self) -> None:
        self.count = 0

    def note(self, number: int, frame: FrameType | None) -> None:
        """One more."""
        self.count += 1


@contextmanager
def counted_interrupts() -> Iterator[Interrupts]:
    """Ctrl-C adds one to ``count`` inside the block."""
    interrupts = Interrupts()
    before = signal.signal(signal.SIGINT, interrupts.note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


def follow(store: RunStore, run_id: str, *, ours: bool, drawn: Sequence[str] = ()) -> Ending:
    """Show the run until it ends. Ctrl-C asks a run that is ``ours`` to stop, and leaves one that is only watched.

    A second Ctrl-C leaves in any case. The metrics to be ``drawn`` are shown as charts that grow.

    Raises:
        StoreError: the run has ended, and a full disk keeps its supervisor from saying so.
    """
    watcher = Watcher(store, run_id, drawn=drawn)
    view = choose_view()
    try:
        with counted_interrupts() as interrupts:
            return _watch(store, run_id, watcher, view, interrupts, ours=ours)
    finally:
        view.close()


def _watch(store: RunStore, run_id: str, watcher: Watcher, view: View, interrupts: Interrupts, *, ours: bool) -> Ending:
    asked, told, unwritten_from = False, 0, None
    while True:
        glimpse = watcher.look()
        for warning in glimpse.warnings[told:]:
            view.tell(warning)
        told = len(glimpse.warnings)
        view.show(glimpse, LEAVE_HINT if asked or not ours else STOP_HINT)
        if not glimpse.record.live:
            return Ending(glimpse.record.state, asked_to_stop=asked)
        if interrupts.count and (asked or not ours):
            return Ending(glimpse.record.state, asked_to_stop=asked, left=True)
        if interrupts.count:
            asked, interrupts.count = True, 0
            _ask_to_stop(store, run_id, view)
        unwritten_from = (unwritten_from or time.monotonic()) if _end_is_unwritten(store, run_id) else None
        if unwritten_from is not None and time.monotonic() - unwritten_from >= UNWRITTEN_S:
            raise StoreError(
                f"the disk of {store.home} is full, so that the end of run {run_id} cannot be written down",
                f"free some space, then: mmfuse runs show {run_id}",
            )
        time.sleep(POLL_S)


def _end_is_unwritten(store: RunStore, run_id: str) -> bool:
    """Whether the worker of a run that is said to go on is gone, on a disk without space to write that down."""
    worker = ProcessIdentity.from_json(store.folder(run_id).state().get("worker"))
    return worker is not None and worker.gone() and shutil.disk_usage(store.home).free < FULL_BYTES


def _ask_to_stop(store: RunStore, run_id: str, view: View) -> None:
    from mmfuse_runs import control

    view.tell("asked the run to save and stop; Ctrl-C again leaves it to itself")
    try:
        control.stop(store, run_id, by="cli", reason="Ctrl-C")
    except RunBusy as error:
        view.tell(error.message)
