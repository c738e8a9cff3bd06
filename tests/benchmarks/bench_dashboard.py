"""The dashboard in a terminal, beside its goals and, where they are installed, `wandb leet` and terminalboard.

``MMFUSE_PEERS`` names a virtual environment that holds the peers; they are nobody's dependency:
``python -m venv peers && peers/bin/pip install wandb==0.31.0 terminalboard==0.5.3 plotext==5.3.2 tensorboardX``.
Every program gets the same numbers in its own format and the same terminal (tmux, 200 x 50); times run from exec to
what a person sees. Rows say seconds of wall clock unless they say CPU; where a share of a core is meant, it is CPU
seconds a second. Each program starts several times and the best is taken: on a shared machine the others measure the
neighbours.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from manyruns import OVERLAID, course, fill_home, overlaid, overlay_curves, start_live_run
from peers import Peer, installed_peers
from sidebyside import Ratio
from terminal import NeverSeen, Terminal

from mmfuse_runs.folder import RunFolder
from mmfuse_runs.reporter import RunReporter
from mmfuse_runs.seal import seal

SHOWN = re.compile("[\u2801-\u28ff]{3}")
"""A piece of a curve."""
MIB = 2**20


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    runs: int = 1_000
    many_runs: int = 10_000
    steps: int = 10_000
    long_steps: int = 100_000
    points: int = 1_000_000
    live: int = 8
    keys: int = 40
    lags: int = 20
    rounds: int = 5
    rest: float = 10.0


TINY = Sizes(20, 20, 60, 200, 5_000, live=2, keys=2, lags=1, rounds=1, rest=0.2)


def measure(*, quick: bool = False) -> Iterator[Ratio]:
    """Ours beside the goals and beside each peer that is there, as soon as each is known: all take ten minutes."""
    sizes = TINY if quick else Sizes()
    yield _redraw(sizes)
    if shutil.which("tmux") is None:
        print("bench_dashboard: tmux is not installed, so only the redrawing was measured", file=sys.stderr)
        return
    peers = [] if quick else installed_peers()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _long_run(folder / "long", sizes, peers)
        few = many = folder / "few"
        yield from _first_paint(few, sizes.runs, 0.50, sizes, peers)
        yield from _live(few, sizes, peers)
        if sizes.many_runs > sizes.runs:
            many = folder / "many"
            yield from _first_paint(many, sizes.many_runs, 0.70, sizes, [])
        yield from _keys(many, folder, sizes, peers)
        yield from _keys_above_overlaid_curves(many, sizes)


def dashboard(home: Path) -> list[str]:
    """What `mmfuse tui` runs."""
    return [sys.executable, "-c", "from mmfuse_cli.main import main; main()", "tui", "--home", str(home)]


def _first_paint(home: Path, runs: int, goal: float, sizes: Sizes, peers: list[Peer]) -> Iterator[Ratio]:
    """From exec to the table and the first curves, and what the program takes while nothing happens."""
    fill_home(home, runs, steps=sizes.steps)
    begun = [_start(dashboard(home), _is_painted(runs)) for _ in range(sizes.rounds - 1)]
    rested = _start(dashboard(home), _is_painted(runs), rest=sizes.rest)
    begun.append(rested)
    wall, cpu = min(start.wall for start in begun), min(start.cpu for start in begun)
    yield Ratio(f"first paint, {runs:,} runs / goal", wall, goal, goal=1)
    yield Ratio(f"first paint, {runs:,} runs, CPU / goal", cpu, goal, goal=1)
    memory = min(start.memory for start in begun)
    yield Ratio(f"memory at first paint, {runs:,} runs / 70 MiB", memory, 70 * MIB, goal=1, unit="B")
    later, idle = rested.later, rested.load
    yield Ratio(f"memory after a while, {runs:,} runs / 70 MiB", later, 70 * MIB, goal=1, unit="B")
    yield Ratio(f"idle, {runs:,} runs, CPU / 2 % of a core", idle, 0.02, goal=1)
    for peer in peers:
        logs = home.parent / f"{peer.name}-{runs}"
        peer.write(logs, runs, list(course(sizes.steps)))
        theirs = _start(peer.command(logs), SHOWN.search, rest=sizes.rest)
        yield Ratio(f"first paint, {runs:,} runs / {peer.name}{theirs.remark}", wall, theirs.wall, goal=1)
        yield Ratio(f"first paint, {runs:,} runs, CPU / {peer.name}{theirs.remark}", cpu, theirs.cpu, goal=1)
        yield Ratio(f"memory after a while, {runs:,} runs / {peer.name}", later, theirs.later, goal=1, unit="B")
        if not theirs.remark:
            yield Ratio(f"idle, {runs:,} runs, CPU / {peer.name}", idle, theirs.load, goal=1)


def _live(home: Path, sizes: Sizes, peers: list[Peer]) -> Iterator[Ratio]:
    """Runs that report ten times a second: what watching them costs, and how late their numbers are."""
    with _live_runs(home, sizes) as live, Terminal() as terminal:
        terminal.start(dashboard(home))
        terminal.wait(lambda text: SHOWN.search(text) and f"{sizes.live} running" in text)
        time.sleep(sizes.rest / 2)
        load = terminal.load(sizes.rest)
        yield Ratio(f"{sizes.live} live runs at 10 Hz, CPU / 15 % of a core", load, 0.15, goal=1)
        step = itertools.count(2_000_000)
        report = lambda value: live.newest.metrics({"val/accuracy": value}, step=next(step))  # noqa: E731
        lag = p95(_lags(report, terminal, sizes.lags))
        yield Ratio("from log() to the screen, p95 / 0.5 s", lag, 0.5, goal=1)
    for peer in (peer for peer in peers if peer.live):
        yield Ratio(f"from log() to the screen, p95 / {peer.name}", lag, _lag_of(peer, home.parent, sizes), goal=1)


def _lag_of(peer: Peer, folder: Path, sizes: Sizes) -> float:
    """The same of a peer, whose own library logs in a process of its own."""
    logs = folder / f"{peer.name}-live"
    logs.mkdir()
    writing = [str(peer.bin / "python"), "-c", peer.live, str(logs)]
    with subprocess.Popen(writing, stdin=subprocess.PIPE, text=True) as writer, Terminal() as terminal:
        assert writer.stdin is not None
        told = writer.stdin

        def report(value: float) -> None:
            told.write(f"{value}\n")
            told.flush()

        for value in range(20):  # so that there is a run with a curve
            report(float(value))
        time.sleep(5.0)
        terminal.start(peer.command(logs))
        terminal.wait(SHOWN.search)
        lags = _lags(report, terminal, sizes.lags // 4)
        told.close()
    return p95(lags)


def _lags(report: Callable[[float], None], terminal: Terminal, times: int) -> list[float]:
    """From numbers reported to the numbers read on the screen."""
    lags = []
    for number in range(times):
        value = 0.3001 + number / 1000
        time.sleep(0.31 + 0.037 * (number % 5))
        began = time.perf_counter()
        report(value)
        lags.append(terminal.wait(lambda text, shown=f" {value:.4f}": shown in text) - began)
    return lags


def _keys(home: Path, folder: Path, sizes: Sizes, peers: list[Peer]) -> Iterator[Ratio]:
    """From a key to the frame it makes: down and up the table, each time to another run whose curves are then read.

    A peer with a list of runs has the fewer runs of the first paint, and none that is live.
    """
    with _live_runs(home, sizes), Terminal() as terminal:
        terminal.start(dashboard(home))
        terminal.wait(lambda text: SHOWN.search(text) and f"{sizes.live} running" in text)
        time.sleep(min(3.0, sizes.rest))
        rounds = [_press_keys(terminal, sizes.keys, "▌") for _ in range(sizes.rounds)]
    name = f"key to frame, {sizes.many_runs:,} runs, {sizes.live} live"
    ours = min(p95([wall for wall, _ in keys]) for keys in rounds)
    yield Ratio(f"{name}, p95 / 30 ms", ours, 0.030, goal=1)
    yield Ratio(f"{name}, CPU, p95 / 30 ms", min(p95([cpu for _, cpu in keys]) for keys in rounds), 0.030, goal=1)
    for peer in (peer for peer in peers if peer.cursor):
        with Terminal() as terminal:
            terminal.start(peer.command(folder / f"{peer.name}-{sizes.runs}"))
            terminal.wait(SHOWN.search)
            time.sleep(sizes.rest)
            try:
                theirs = p95([wall for wall, _ in _press_keys(terminal, sizes.keys, peer.cursor)])
            except NeverSeen:
                print(f"{peer.name} did not move its cursor within a minute of a key", file=sys.stderr)
                continue
        yield Ratio(f"{name}, p95 / {peer.name}, {sizes.runs:,} runs", ours, theirs, goal=1)


def _keys_above_overlaid_curves(home: Path, sizes: Sizes) -> Iterator[Ratio]:
    """The same while twenty curves lie over each other in every run's chart, and grow in the live ones."""
    run_id = max(path.name for path in (home / "runs").iterdir())
    overlay_curves(home, run_id, steps=sizes.steps // 5)
    with _live_runs(home, sizes, many_curves=True), Terminal() as terminal:
        terminal.start(dashboard(home))
        terminal.wait(lambda text: OVERLAID[-1] in text or (SHOWN.search(text) and f"{sizes.live} running" in text))
        time.sleep(min(3.0, sizes.rest))
        rounds = [_press_keys(terminal, sizes.keys, "▌") for _ in range(sizes.rounds)]
    name = f"key to frame, {sizes.many_runs:,} runs, {sizes.live} live, {len(OVERLAID)} curves over each other"
    wall, cpu = (min(p95([key[place] for key in keys]) for keys in rounds) for place in (0, 1))
    yield Ratio(f"{name}, p95 / 30 ms", wall, 0.030, goal=1)
    yield Ratio(f"{name}, CPU, p95 / 30 ms", cpu, 0.030, goal=1)


def _press_keys(terminal: Terminal, keys: int, cursor: str) -> list[tuple[float, float]]:
    """For each key the seconds until the cursor was seen to have moved, and the CPU seconds used until then."""
    taken = []
    for number in range(keys):
        row = _row_of(cursor, terminal.text())
        cpu, began = terminal.cpu_nanoseconds(), time.perf_counter()
        terminal.press("Down" if number // 10 % 2 == 0 else "Up")
        seen = terminal.wait(lambda text, row=row: _row_of(cursor, text) != row)
        taken.append((seen - began, (terminal.cpu_nanoseconds() - cpu) / 1e9))
        time.sleep(0.15 + 0.013 * (number % 7))  # not in step with whatever the program does regularly
    return taken


def _long_run(home: Path, sizes: Sizes, peers: list[Peer]) -> Iterator[Ratio]:
    """One run with a long journal: from exec to its curves, complete.

    The supervisor seals long journals when their run has ended, so that is how an ended run is found; the journal alone
    is what a run has that goes on.
    """
    (run_id,) = fill_home(home, 1, steps=sizes.long_steps)
    name = f"a run of {sizes.long_steps:,} steps x 4 opened"
    going_on = _open_often(home, sizes)
    seal(RunFolder(home / "runs" / run_id))
    ours = _open_often(home, sizes)
    for what, start in ((name, ours), (f"{name} from its journal", going_on)):
        yield Ratio(f"{what} / 0.7 s", start.wall, 0.7, goal=1)
        yield Ratio(f"{what}, CPU / 0.7 s", start.cpu, 0.7, goal=1)
    for peer in peers:
        logs = home.parent / f"{peer.name}-long"
        peer.write(logs, 1, list(course(sizes.long_steps)))
        theirs = _start(peer.command(logs), peer.is_complete(sizes.long_steps), timeout=60)
        yield Ratio(f"{name} / {peer.name}{theirs.remark}", ours.wall, theirs.wall, goal=1)
        yield Ratio(f"{name}, CPU / {peer.name}{theirs.remark}", ours.cpu, theirs.cpu, goal=1)


def _open_often(home: Path, sizes: Sizes) -> Start:
    """The quickest and the cheapest of several starts to the first curves."""
    begun = [_start(dashboard(home), SHOWN.search) for _ in range(sizes.rounds)]
    return Start(min(start.wall for start in begun), min(start.cpu for start in begun), begun[0].memory)


def _redraw(sizes: Sizes) -> Ratio:
    """Thinning and drawing a whole screen of one long series, as when a point was added to it."""
    import numpy as np

    from mmfuse_tui.curves import ChartData, make_curve
    from mmfuse_tui.plot import make_plot

    steps, values = np.arange(sizes.points), np.random.default_rng(0).normal(size=sizes.points).cumsum()

    def redraw() -> None:
        make_plot(ChartData("loss", (make_curve("train/loss", steps, values),)), 190, 46)

    return Ratio(f"redraw of {sizes.points:,} points / 50 ms", _best(redraw, times=5), 0.050, goal=1)


@dataclass(frozen=True)
class Start:
    """What it took until the screen fitted, and where a rest followed, what the program took and held then.

    ``remark`` says when the screen never fitted.
    """

    wall: float
    cpu: float
    memory: float
    load: float = 0.0
    later: float = 0.0
    remark: str = ""


def _start(command: list[str], fits: Callable[[str], object], *, timeout: float = 60.0, rest: float = 0.0) -> Start:
    with Terminal() as terminal:
        terminal.start(command)
        remark = ""
        try:
            seen = terminal.wait(fits, timeout=timeout)
        except NeverSeen:
            seen, remark, rest = time.perf_counter(), f" (gave up after {timeout:.0f} s)", 0.0
        cpu, memory = terminal.cpu_seconds(), terminal.resident_bytes()
        time.sleep(rest)
        load = terminal.load(rest) if rest else 0.0
        return Start(seen - terminal.began, cpu, memory, load, terminal.resident_bytes(), remark)


class _Live:
    """Live runs of this process and the thread that reports for all but the newest."""

    def __init__(self, reporters: list[RunReporter], *, many_curves: bool) -> None:
        self.newest = reporters[-1]
        self._reporters = reporters
        self._many_curves = many_curves
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report)
        self._thread.start()

    def end(self) -> None:
        """Stop reporting; the folders go."""
        self._ended.set()
        self._thread.join()
        for reporter in self._reporters:
            reporter.close()
            shutil.rmtree(reporter.folder)

    def _report(self) -> None:
        step = 1_000_000
        while not self._ended.wait(0.1):
            step += 1
            for reporter in self._reporters[:-1]:
                reporter.metrics(self._numbers(step), step=step)
                reporter.progress(step % 1000, 1000, what=f"epoch {step % 1000 // 100}/10")

    def _numbers(self, step: int) -> dict[str, float]:
        if self._many_curves:
            return {name: 1 / step + place / 20 for place, name in enumerate(OVERLAID)}
        return {"train/loss": 1 / step, "val/accuracy": 0.5 + step % 100 / 300}


@contextmanager
def _live_runs(home: Path, sizes: Sizes, *, many_curves: bool = False) -> Iterator[_Live]:
    rows = overlaid if many_curves else course
    reporters = [start_live_run(home, number, rows(sizes.steps // 10)) for number in range(sizes.live)]
    runs = _Live(reporters, many_curves=many_curves)
    try:
        yield runs
    finally:
        runs.end()


def _is_painted(runs: int) -> Callable[[str], bool]:
    """The whole first frame: the table with all runs, and curves."""
    return lambda text: f"Runs {runs}" in text and SHOWN.search(text) is not None


def _row_of(sign: str, text: str) -> int:
    return next((row for row, line in enumerate(text.split("\n")) if sign in line), -1)


def p95(values: list[float]) -> float:
    """The value that 19 of 20 stay below."""
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


def _best(work: Callable[[], object], *, times: int) -> float:
    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return min(once() for _ in range(times))


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print(*measure(), sep="\n")
