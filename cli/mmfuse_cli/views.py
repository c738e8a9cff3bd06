"""Two ways to show a run that goes on: redrawn in place at a terminal, or a plain line now and then."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from mmfuse.report import TrialRecord
from mmfuse_cli.glimpse import Glimpse
from mmfuse_cli.plots import ROLE_COLOURS
from mmfuse_cli.render import STATE_COLOURS, colourful, say, width
from mmfuse_runs.records import architecture_label
from mmfuse_tui.clean import clean
from mmfuse_tui.wording import bar, number, span, sparkline

if TYPE_CHECKING:
    from rich.text import Text

    from mmfuse_tui.curves import ChartData

CHART_LINES = 10
"""Lines of a chart below the rest: with it a view still fits 24 lines."""
LAST_TRIALS = 5
"""Trials shown below the progress bar."""
QUIET_S = 15.0
"""A plain view repeats its progress at most this often."""


class View(Protocol):
    """Something that shows a run as it goes on."""

    def show(self, glimpse: Glimpse, hint: str = "") -> None:
        """Show the run as it is now; ``hint`` says what Ctrl-C does."""

    def tell(self, sentence: str) -> None:
        """Say something beside it."""

    def close(self) -> None:
        """Leave the terminal as a line-by-line reader expects it."""


def choose_view() -> View:
    """A live view where stderr is a terminal, else a plain one."""
    return LiveView() if sys.stderr.isatty() else PlainView()


class PlainView:
    """A line when something happened: a new state, a trial that ended, some progress."""

    def __init__(self) -> None:
        self._state = ""
        self._told: set[tuple[int, str]] = set()
        self._progress = ""
        self._progress_at = 0.0

    def show(self, glimpse: Glimpse, hint: str = "") -> None:
        """Say what is new since the last time; whoever reads lines presses no keys, so the hint is left out."""
        state = state_line(glimpse)
        if state != self._state:
            self._state = state
            say(state)
        for trial in glimpse.trials:
            mark = (trial.number, trial.status)
            if trial.status != "running" and mark not in self._told:
                self._told.add(mark)
                say("  ".join(("trial", *trial_cells(trial))))
        self._show_progress(progress_line(glimpse))

    def tell(self, sentence: str) -> None:
        """Say it."""
        say(sentence)

    def close(self) -> None:
        """There is nothing to leave."""

    def _show_progress(self, line: str) -> None:
        if line and line != self._progress and time.monotonic() - self._progress_at >= QUIET_S:
            self._progress, self._progress_at = line, time.monotonic()
            say(line)


class LiveView:
    """A few lines at the foot of the terminal, redrawn four times a second."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(stderr=True, no_color=not colourful(sys.stderr), highlight=False, markup=False),
            auto_refresh=False,
            transient=True,
        )
        self._live.start()

    def show(self, glimpse: Glimpse, hint: str = "") -> None:
        """Redraw."""
        self._live.update(draw(glimpse, hint), refresh=True)

    def tell(self, sentence: str) -> None:
        """Write ``sentence`` above the live lines."""
        self._live.console.print(clean(sentence))

    def close(self) -> None:
        """Take the live lines away."""
        self._live.stop()


def draw(glimpse: Glimpse, hint: str) -> Text:
    """The live lines. Styles are applied to cleaned text, never parsed out of it."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(state_line(glimpse), style=STATE_COLOURS.get(glimpse.record.state, ""))
    if glimpse.record.progress is not None:
        filled, rest = bar(share_done(glimpse), 24)
        text.append("\n").append(filled, style="blue").append(rest, style="on grey23")
        text.append(f" {progress_line(glimpse)}")
    if len(glimpse.scores) > 1:
        drawn = sparkline(tuple(glimpse.scores), 32)
        text.append(f"\n{clean(glimpse.score_name)} ").append(drawn, style="green")
        text.append(f" {number(glimpse.scores[-1])}")
    if glimpse.best is not None:
        text.append("\nbest so far  ").append("  ".join(trial_cells(glimpse.best)), style="bold")
    for trial in glimpse.trials[-LAST_TRIALS:]:
        text.append("\n" + "  ".join(trial_cells(trial)), style="dim" if trial.status == "running" else "")
    for chart in glimpse.charts:
        _append_chart(text, chart)
    return text.append(f"\n{hint}", style="dim")


def _append_chart(text: Text, chart: ChartData) -> None:
    from mmfuse_tui.plot import make_plot

    for row in make_plot(chart, width(), CHART_LINES).rows:
        text.append("\n")
        for words, role in row:
            text.append(words, style=ROLE_COLOURS.get(role, ""))


def state_line(glimpse: Glimpse) -> str:
    """Run, state, attempt, and why it waits."""
    record = glimpse.record
    words = [record.id, record.state]
    if record.attempt > 1:
        words.append(f"attempt {record.attempt}")
    why = record.waiting if record.state == "queued" else record.reason
    return clean("  ".join((*words, why) if why else words))


def progress_line(glimpse: Glimpse) -> str:
    """Share done, present activity, time left; empty before the first report."""
    progress = glimpse.record.progress
    if progress is None:
        return ""
    line = f"{100 * share_done(glimpse):.0f}%  {clean(progress.what)}"
    eta = glimpse.record.eta_seconds
    return f"{line}  {span(eta)} left" if eta is not None else line


def share_done(glimpse: Glimpse) -> float:
    """The share of the present activity that is done, between 0 and 1."""
    progress = glimpse.record.progress
    return min(1.0, max(0.0, progress.done / progress.total)) if progress is not None and progress.total else 0.0


def trial_cells(trial: TrialRecord) -> list[str]:
    """A trial in a few words: number, stage, architecture, score or status, seconds."""
    words = [f"{trial.number}", trial.architecture.stage, architecture_label(trial.architecture.to_json())]
    words.append(number(trial.score) if trial.status == "done" else trial.status)
    words.append(span(trial.seconds) if trial.seconds else "")
    return [clean(word) for word in (*words, trial.reason) if word]
