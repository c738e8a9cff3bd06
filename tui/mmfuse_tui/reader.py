"""The one thread that reads the store.

It polls, parses and thins, and posts snapshots that are never changed afterwards. A snapshot that the screen has not
looked at yet is replaced by the next one of its kind, so a slow terminal never falls behind.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from textual.message import Message

from mmfuse.errors import MmfuseError
from mmfuse_runs.folder import RunFolder
from mmfuse_runs.query import Query
from mmfuse_tui.filter_reader import FilterReader, Found
from mmfuse_tui.run_reader import RunReader, signature
from mmfuse_tui.snapshot import ComparedRun, RunSnapshot, StoreSnapshot
from mmfuse_tui.sparks import journal_of, spark

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""Pause between two looks at the watched run: less than half of the half second a number may take to the screen."""
BLAS_THREADS = "OPENBLAS_NUM_THREADS"
LIVE_SECONDS, IDLE_SECONDS = 0.4, 1.0
"""Pause between two listings while runs are live, whose progress is written twice a second, and while none is; a new
run appears within it."""
QUIET_SECONDS, LATEST_SECONDS = 0.06, 1.0
"""How long the cursor must have stood still before anything is read, unless the last look was so long ago: while a key
is held down every frame would wait for a run that is passed over."""
CALM_SECONDS = 0.3
"""How long the cursor must have stood still before anything is read for the filter: longer than from key to key."""
LIVE_SHARE, IDLE_SHARE = 0.05, 0.02
"""Largest share of a core that listing may take: with very many runs the pauses get longer."""
RECHECK_SECONDS, RECHECK_SHARE = 10.0, 0.005
"""Pause between two listings that look at every folder, and the share of a core that these may take."""
SPARK_SECONDS = 0.03
"""Longest time per look that goes into sparklines."""


class Store(Protocol):
    """What the dashboard needs of a run store."""

    home: Path

    def records(self, *, recheck: bool = True) -> list[RunRecord]:
        """All runs, newest first; without ``recheck`` only those are looked at that go on or that the index changed."""


class _Latest(Message):
    """A message that makes an unread one of its kind pointless."""

    def can_replace(self, message: Message) -> bool:
        return type(message) is type(self)


class StoreRead(_Latest):
    """The listing changed."""

    def __init__(self, snapshot: StoreSnapshot) -> None:
        super().__init__()
        self.snapshot = snapshot


class RunRead(_Latest):
    """Something of the watched run changed."""

    def __init__(self, snapshot: RunSnapshot) -> None:
        super().__init__()
        self.snapshot = snapshot


class SparksRead(_Latest):
    """Sparklines by run id; always all that are known."""

    def __init__(self, sparks: dict[str, tuple[float, ...]]) -> None:
        super().__init__()
        self.sparks = sparks


class AnswersRead(Message):
    """Something was found that the filter asks for; only what is new, so that none of these replaces another."""

    def __init__(self, found: Found) -> None:
        super().__init__()
        self.found = found


class ComparisonRead(_Latest):
    """Something of the runs that are compared changed; those that could be read so far, in the order asked for."""

    def __init__(self, runs: tuple[ComparedRun, ...]) -> None:
        super().__init__()
        self.runs = runs


class Comparison:
    """Follows several runs at once; what is read first is shown first."""

    def __init__(self, run_ids: Sequence[str], folder: Callable[[str], RunFolder]) -> None:
        self.run_ids = tuple(run_ids)
        self._readers = {run_id: RunReader(folder(run_id)) for run_id in run_ids}
        self._read: dict[str, RunSnapshot] = {}
        self._records: dict[str, RunRecord] = {}

    def look(self, store: StoreSnapshot, post: Callable[[Message], object]) -> None:
        """Poll every run and post what is known after each one that changed."""
        for run_id, reader in self._readers.items():
            record = store.by_id.get(run_id)
            if record is None or (record == self._records.get(run_id) and not record.live and reader.complete):
                continue
            snapshot = reader.poll(record)
            if snapshot is not None or record != self._records.get(run_id):
                self._records[run_id] = record
                self._read[run_id] = snapshot or self._read[run_id]
                known = (run_id for run_id in self._readers if run_id in self._read)
                post(
                    ComparisonRead(
                        tuple(ComparedRun(self._records[known_id], self._read[known_id]) for known_id in known)
                    )
                )


class Reader:
    """Looks at the store whenever `POLL_SECONDS` passed or somebody woke it, and posts what changed."""

    def __init__(self, store: Store, post: Callable[[Message], object], *, read_only: bool = False) -> None:
        self._store = store
        self._post = post
        self._read_only = read_only
        self._snapshot = StoreSnapshot(loaded=False)
        self._had_home = False
        self._list_at = 0.0
        self._recheck_at = 0.0
        self._watched: str | None = None
        self._quiet_at = 0.0
        self._run_reader: RunReader | None = None
        self._seen_run: RunRecord | None = None
        self._comparison: Comparison | None = None
        self._visible: tuple[str, ...] = ()
        self._sparks: dict[str, tuple[float, ...]] = {}
        self._spark_signatures: dict[str, object] = {}
        self._outdated = False
        self._filter = FilterReader(self)
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="store-reader", daemon=True)

    def start(self) -> None:
        """Begin reading."""
        self._thread.start()

    def stop(self) -> None:
        """End reading; returns once the thread has ended."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def watch(self, run_id: str | None) -> None:
        """The run whose details are wanted from now on."""
        if run_id != self._watched:
            self._quiet_at = time.monotonic() + QUIET_SECONDS if self._watched is not None else 0.0
            self._watched = run_id
            self._wake.set()

    def show(self, run_ids: Iterable[str]) -> None:
        """The runs whose sparklines are on the screen."""
        visible = tuple(run_ids)
        if visible != self._visible:
            self._visible = visible
            self._wake.set()

    def compare(self, run_ids: Iterable[str]) -> None:
        """The runs that are looked at together from now on; none to end that."""
        wanted = tuple(run_ids)
        self._comparison = Comparison(wanted, self.folder) if wanted else None
        self._wake.set()

    def ask(self, query: Query | None) -> None:
        """The filter that asks for what records do not hold; None to end that."""
        self._filter.ask(query)
        self._wake.set()

    def refresh(self) -> None:
        """Look again at once, whatever the files say: an action was just asked for."""
        self._list_at = self._recheck_at = 0.0
        self._wake.set()

    def read_anew(self) -> None:
        """Forget what was read of runs: their files went back in time, which files of living runs never do."""
        self._outdated = True
        self.refresh()

    def step(self) -> None:
        """One look: the listing when it is due, the watched run, and sparklines."""
        if self._outdated:
            self._outdated = False
            self._run_reader = None
            self._spark_signatures.clear()
            if self._comparison is not None:
                self.compare(self._comparison.run_ids)
        if time.monotonic() >= self._list_at:
            self._list()
        if "numpy" not in sys.modules:  # after the first listing: the table is drawn meanwhile
            load_numpy()
        self._look_at_run()
        comparison = self._comparison
        if comparison is not None:
            comparison.look(self._snapshot, self._post)
        self._look_at_sparks()
        self._look_for_filter()

    def _loop(self) -> None:
        while not self._stopped.is_set():
            try:
                self.step()
            except Exception:
                # The dashboard must outlive anything a damaged folder can do; the next look may be fine.
                logger.exception("reading the store failed")
            self._pause()

    def _pause(self) -> None:
        """Until the next look: it is due, or somebody woke the thread and the cursor stands still."""
        ended = time.monotonic()
        self._wake.wait(POLL_SECONDS)
        self._wake.clear()
        while (quiet_at := min(self._quiet_at, ended + LATEST_SECONDS)) > (now := time.monotonic()):
            self._stopped.wait(quiet_at - now)

    def _list(self) -> None:
        began = time.monotonic()
        recheck = began >= self._recheck_at
        try:
            runs = tuple(
                run if run.eta_seconds is None else _steady(run) for run in self._store.records(recheck=recheck)
            )
            problem = self._missing_home()
        except (MmfuseError, OSError) as error:
            runs, problem = self._snapshot.runs, str(error)
        except Exception as error:
            logger.exception("listing the runs failed")
            runs, problem = self._snapshot.runs, f"the runs cannot be listed ({type(error).__name__}: {error})"
        self._publish(StoreSnapshot(runs, self._is_read_only(), problem))
        ended = time.monotonic()
        pause, share = (LIVE_SECONDS, LIVE_SHARE) if self._snapshot.live else (IDLE_SECONDS, IDLE_SHARE)
        if recheck:
            self._recheck_at = ended + max(RECHECK_SECONDS, (ended - began) / RECHECK_SHARE)
            self._list_at = ended + pause
        else:
            self._list_at = ended + max(pause, (ended - began) / share)

    def _publish(self, snapshot: StoreSnapshot) -> None:
        if snapshot != self._snapshot:
            snapshot.learn_from(self._snapshot)
            self._snapshot = snapshot
            self._post(StoreRead(snapshot))

    def _is_read_only(self) -> bool:
        """A home that was never there is made by the first run that is started."""
        home = self._store.home
        if not self._had_home:
            home = next(folder for folder in (home, *home.parents) if folder.exists())
        return self._read_only or not os.access(home, os.W_OK)

    def _missing_home(self) -> str:
        is_there = self._store.home.is_dir()
        self._had_home = self._had_home or is_there
        return "" if is_there or not self._had_home else f"the home folder {self._store.home} is not there any more"

    def _look_at_run(self) -> None:
        if self._watched is None:
            self._run_reader = None
            return
        run = self._snapshot.by_id.get(self._watched)
        if self._run_reader is None or self._run_reader.folder.id != self._watched:
            self._run_reader = RunReader(self.folder(self._watched))
        elif run is not None and not run.live and run == self._seen_run and self._run_reader.complete:
            return
        self._seen_run = run
        snapshot = self._run_reader.poll(run)
        if snapshot is not None:
            self._post(RunRead(snapshot))

    def _look_at_sparks(self) -> None:
        """Sparklines of visible runs whose journals changed, as many as the time allows."""
        deadline = time.monotonic() + SPARK_SECONDS
        found = {}
        for run_id in self._visible:
            if time.monotonic() > deadline:
                self._wake.set()
                break
            values = self._new_spark(run_id)
            if values is not None:
                found[run_id] = values
        if found:
            self._sparks = self._sparks | found
            self._post(SparksRead(self._sparks))

    def _new_spark(self, run_id: str) -> tuple[float, ...] | None:
        run = self._snapshot.by_id.get(run_id)
        if run is None or run.damaged:
            return None
        folder = self.folder(run_id)
        found = signature(journal_of(folder, run))
        if found is None or found == self._spark_signatures.get(run_id):
            return None
        self._spark_signatures[run_id] = found
        return spark(folder, run)

    def _look_for_filter(self) -> None:
        """Read for the filter unless the cursor moves: keys would wait for every journal that is parsed."""
        if time.monotonic() < self._quiet_at + CALM_SECONDS:
            return
        found = self._filter.look(self._snapshot)
        if found is not None:
            self._post(AnswersRead(found))
        if self._filter.unread:
            self._wake.set()

    def folder(self, run_id: str) -> RunFolder:
        """The folder of a run, there or not: one that vanished is shown as a problem, it raises nothing."""
        return RunFolder(self._store.home / "runs" / run_id)


def load_numpy() -> None:
    """Load NumPy without a thread per core: what draws curves multiplies no matrices, and the threads cost half as much
    again as all the rest of it. What runs are started with later is left as it was."""
    kept = os.environ.get(BLAS_THREADS)
    os.environ[BLAS_THREADS] = "1"
    import numpy  # noqa: F401

    if kept is None:
        del os.environ[BLAS_THREADS]
    else:
        os.environ[BLAS_THREADS] = kept


def _steady(run: RunRecord) -> RunRecord:
    """The record with a time left that moves in visible steps, so that it alone does not redraw the screen."""
    left = run.eta_seconds or 0.0
    step = 5.0 if left > 20 else 1.0
    return replace(run, eta_seconds=round(left / step) * step)
