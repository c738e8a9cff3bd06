"""A search as it goes: best so far beside its baselines, questions, standings, and which choices mattered."""

from __future__ import annotations

from functools import partial

from mmfuse_tui.board import Block, BoardView
from mmfuse_tui.panels import Place
from mmfuse_tui.parallel import parallel_lines
from mmfuse_tui.search_blocks import importance_lines, incumbent_lines, question_lines, standing_lines, tables_of
from mmfuse_tui.search_story import standings
from mmfuse_tui.snapshot import RunSnapshot

TITLE = "Search"
PLACE: Place = "main"
ORDER = 5


def applies(run: RunSnapshot) -> bool:
    """Only searches have trials."""
    return bool(run.trials)


def build() -> BoardView:
    """The page."""
    return BoardView(empty="the search has not asked anything yet")


def show(view: BoardView, run: RunSnapshot) -> None:
    """Bring every drawing up to date."""
    view.set_blocks(blocks_of(run))


def blocks_of(run: RunSnapshot) -> tuple[Block, ...]:
    """The drawings there are of this search."""
    blocks = [
        Block("Best so far, at equal trainings", partial(incumbent_lines, run)),
        Block("Questions", partial(question_lines, run)),
    ]
    if standings(run):
        blocks.append(Block("Standings", partial(standing_lines, run)))
    for table in tables_of(run):
        name = f"Importance of each choice · {table.title}"
        blocks.append(Block(name, partial(importance_lines, table, maximize=run.maximize)))
        if len(table.names) > 1:
            name = f"Parallel coordinates · {table.title}"
            blocks.append(Block(name, partial(parallel_lines, table, maximize=run.maximize)))
    return tuple(blocks)
