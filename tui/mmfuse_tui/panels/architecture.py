"""The architecture of a run as a diagram: what it trains or found, or the best candidate of a search so far."""

from __future__ import annotations

from functools import partial

from mmfuse.architecture import Architecture
from mmfuse.task import Task
from mmfuse_tui import wording
from mmfuse_tui.board import Block, BoardView
from mmfuse_tui.families import draw_architecture
from mmfuse_tui.panels import Place
from mmfuse_tui.search_story import best_of, questions
from mmfuse_tui.sketch import Line
from mmfuse_tui.snapshot import RunSnapshot

TITLE = "Architecture"
PLACE: Place = "wing"
ORDER = 7


def applies(run: RunSnapshot) -> bool:
    """Every run that trains or looks for one."""
    return run.architecture is not None or bool(run.trials)


def build() -> BoardView:
    """The page."""
    return BoardView(empty="no candidate is scored yet")


def show(view: BoardView, run: RunSnapshot) -> None:
    """Draw what there is."""
    view.set_blocks(blocks_of(run))


def blocks_of(run: RunSnapshot) -> tuple[Block, ...]:
    """What was found or is trained; while a search goes on, the leader of each question, newest first."""
    if run.architecture is not None:
        title = " · ".join((run.architecture.key, *_sizes(run)))
        return (Block(title, partial(_lines, run.architecture, run.task)),)
    leaders = [(question.name, question.best) for question in questions(run) if question.best is not None]
    best = best_of(run.trials, maximize=run.maximize)
    blocks = []
    for name, trial in reversed(leaders):
        mark = "★ " if trial is best else ""
        title = f"{mark}{name} · trial {trial.number} · {wording.number(trial.score)}"
        blocks.append(Block(title, partial(_lines, trial.architecture, run.task)))
    return tuple(blocks)


def _sizes(run: RunSnapshot) -> list[str]:
    """Parameters of the architecture, where a trial counted them."""
    counts = [trial.parameters for trial in run.trials if trial.architecture == run.architecture and trial.parameters]
    return [f"{wording.count(counts[0])} parameters"] if counts else []


def _lines(architecture: Architecture, task: Task | None, width: int) -> list[Line]:
    return draw_architecture(architecture, width, task=task)
