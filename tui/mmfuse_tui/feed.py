"""Where the screens get their snapshots: the reader's messages, published to whoever subscribed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from textual.app import App
from textual.signal import Signal

from mmfuse_runs.query import Query
from mmfuse_tui.filter_reader import Answers
from mmfuse_tui.reader import AnswersRead, ComparisonRead, Reader, RunRead, SparksRead, Store, StoreRead
from mmfuse_tui.snapshot import ComparedRun, RunSnapshot, StoreSnapshot


class Feed:
    """The latest snapshots and four signals; screens say what they look at.

    ``sparks`` is one dictionary that is updated in place, so that columns can hold on to it. ``answers`` are values by
    run and field that a filter asked for, ``unread`` counts the runs whose answers are still to come, and ``slip`` is a
    sentence about a setting that no run has.
    """

    def __init__(self, app: App[Any], store: Store, *, read_only: bool) -> None:
        self.read_only = read_only
        self.store = StoreSnapshot(loaded=False)
        self.run: RunSnapshot | None = None
        self.sparks: dict[str, tuple[float, ...]] = {}
        self.answers: dict[str, Answers] = {}
        self.unread = 0
        self.slip = ""
        self.store_changed: Signal[StoreSnapshot] = Signal(app, "store changed")
        self.run_changed: Signal[RunSnapshot] = Signal(app, "run changed")
        self.sparks_changed: Signal[None] = Signal(app, "sparks changed")
        self.answers_changed: Signal[None] = Signal(app, "answers changed")
        self.comparison_changed: Signal[tuple[ComparedRun, ...]] = Signal(app, "comparison changed")
        self._reader = Reader(store, app.post_message, read_only=read_only)

    def start(self) -> None:
        """Begin reading."""
        self._reader.start()

    def stop(self) -> None:
        """End reading."""
        self._reader.stop()

    def watch(self, run_id: str | None) -> None:
        """The run whose details are wanted."""
        self._reader.watch(run_id)

    def show(self, run_ids: Iterable[str]) -> None:
        """The runs whose sparklines are wanted."""
        self._reader.show(run_ids)

    def compare(self, run_ids: Iterable[str]) -> None:
        """The runs that are looked at together; none to end that."""
        self._reader.compare(run_ids)

    def ask(self, query: Query | None) -> None:
        """The filter whose answers are wanted; None for one that records alone answer."""
        self.slip = ""
        self.unread = 0 if query is None else len(self.store.runs)
        self._reader.ask(query)

    def refresh(self) -> None:
        """Look at the store at once."""
        self._reader.refresh()

    def read_anew(self) -> None:
        """What was read of the runs is void: time was turned back."""
        self._reader.read_anew()

    def take(self, message: StoreRead | RunRead | SparksRead | ComparisonRead | AnswersRead) -> None:
        """Keep what the reader posted and tell the subscribers."""
        if isinstance(message, StoreRead):
            self.store = message.snapshot
            self.store_changed.publish(message.snapshot)
        elif isinstance(message, RunRead):
            self.run = message.snapshot
            self.run_changed.publish(message.snapshot)
        elif isinstance(message, ComparisonRead):
            self.comparison_changed.publish(message.runs)
        elif isinstance(message, AnswersRead):
            self.answers.update(message.found.answers)
            self.unread, self.slip = message.found.unread, message.found.slip
            self.answers_changed.publish(None)
        else:
            self.sparks.update(message.sparks)
            self.sparks_changed.publish(None)
