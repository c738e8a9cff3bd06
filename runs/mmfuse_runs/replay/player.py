"""Playing a stage: recorded time runs on, faster or slower, stands still, or is turned back."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mmfuse_runs.replay.recording import Span
from mmfuse_runs.replay.stage import Stage

SPEEDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0)
"""Speeds to choose from while it plays; it may begin with any other."""
GAP_S = 10.0
"""What is left of a stretch in which no run went on: the night before somebody resumed it is not waited for."""
TICK_S = 0.1
"""How often the files grow: twice between two looks of the dashboard."""


class Timeline:
    """Recorded time, with stretches in which nothing went on cut to `GAP_S`; positions go from 0 to ``length``."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._positions: list[float] = []
        self._pieces: list[tuple[float, float]] = []  # where each begins, and recorded seconds per second of position
        self.length = 0.0
        reached: float | None = None
        for begin, end in sorted(spans):
            if reached is None or begin > reached:
                if reached is not None:
                    gap = begin - reached
                    self._add(reached, gap, played=min(gap, GAP_S))
                reached = begin
            if end > reached:
                self._add(reached, end - reached, played=end - reached)
                reached = end
        self.end = reached if reached is not None else 0.0

    def moment(self, position: float) -> float:
        """The recorded time at a position."""
        if position >= self.length:
            return self.end
        nth = max(0, bisect_right(self._positions, position) - 1)
        begin, pace = self._pieces[nth]
        return begin + (position - self._positions[nth]) * pace

    def _add(self, begin: float, recorded: float, *, played: float) -> None:
        self._positions.append(self.length)
        self._pieces.append((begin, recorded / played))
        self.length += played


class Standing(NamedTuple):
    """How a replay stands."""

    position: float
    length: float
    moment: float
    speed: float
    playing: bool
    problem: str = ""


class Player:
    """Moves a stage through its timeline. Every method may be called from any thread."""

    def __init__(self, stage: Stage, *, speed: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.stage = stage
        self._timeline = Timeline(span for recording in stage.recordings for span in recording.spans)
        self._speed = speed
        self._clock = clock
        self._position = 0.0
        self._playing = True
        self._problem = ""
        self._at = clock()
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="replay", daemon=True)
        stage.show(self._timeline.moment(0.0))

    def start(self) -> None:
        """Play from now on."""
        self._at = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """Play no more; returns once nothing is written any more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def standing(self) -> Standing:
        """Where it is, how fast, and what is wrong; nobody who asks waits for files."""
        moment = self._timeline.moment(self._position)
        return Standing(self._position, self._timeline.length, moment, self._speed, self._playing, self._problem)

    def now(self) -> float:
        """The recorded time that is shown: the clock of whoever looks."""
        return self.standing.moment

    def tick(self) -> None:
        """Go on by as much as the clock went on since the last time; what stands still is kept alive."""
        with self._lock:
            now = self._clock()
            passed, self._at = now - self._at, now
            self._go_to(self._position + (passed * self._speed if self._playing else 0.0))
            self._playing = self._playing and self._position < self._timeline.length

    def toggle(self) -> None:
        """Stand still, or go on; from the end it begins anew."""
        with self._lock:
            self._playing = not self._playing
            if self._playing and self._position >= self._timeline.length:
                self._go_to(0.0)

    def change_speed(self, by: int) -> None:
        """The next higher or lower of `SPEEDS`."""
        with self._lock:
            others = [speed for speed in SPEEDS if (speed > self._speed if by > 0 else speed < self._speed)]
            if others:
                self._speed = others[0] if by > 0 else others[-1]

    def seek(self, share: float) -> None:
        """On (or back, below zero) by a share of the whole."""
        with self._lock:
            self._go_to(self._position + share * self._timeline.length)

    def _go_to(self, position: float) -> None:
        self._position = min(max(position, 0.0), self._timeline.length)
        try:
            self.stage.show(self._timeline.moment(self._position))
        except OSError as error:
            self._playing, self._problem = False, f"the replay cannot be written: {error.strerror or error}"
        else:
            self._problem = ""

    def _loop(self) -> None:
        while not self._stopped.wait(TICK_S):
            self.tick()
