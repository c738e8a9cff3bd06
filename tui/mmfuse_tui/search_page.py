"""The drawings of a search's page: how far it is, what it asked, what came from what, what each choice is worth."""

from __future__ import annotations

from functools import partial

from mmfuse_tui.board import Block
from mmfuse_tui.heat_map import heat_lines, heat_maps
from mmfuse_tui.lineage import asked_by, lineage_lines, lineage_of
from mmfuse_tui.parallel import parallel_lines
from mmfuse_tui.search_blocks import importance_lines, incumbent_lines, question_lines, standing_lines, tables_of
from mmfuse_tui.search_story import standings
from mmfuse_tui.sketch import Line
from mmfuse_tui.snapshot import RunSnapshot

CHOICES = "What was chosen where: mean × trials"


def blocks_of(run: RunSnapshot) -> tuple[Block, ...]:
    """The drawings there are of this search."""
    blocks = [
        Block("Best so far, at equal trainings", partial(incumbent_lines, run)),
        Block("Questions", partial(question_lines, run)),
    ]
    if standings(run):
        blocks.append(Block("Standings", partial(standing_lines, run)))
    if len(asked_by(run.trials)) > 1:
        blocks.append(Block("Lineage, ★ the way to the best", partial(_lineage_lines, run)))
    for table in tables_of(run):
        name = f"Importance of each choice · {table.title}"
        blocks.append(Block(name, partial(importance_lines, table, maximize=run.maximize)))
        if len(table.names) > 1:
            blocks += [
                Block(" · ".join(filter(None, (CHOICES, heat.title, table.title))), partial(heat_lines, heat))
                for heat in heat_maps(table, maximize=run.maximize)
            ]
            name = f"Parallel coordinates · {table.title}"
            blocks.append(Block(name, partial(parallel_lines, table, maximize=run.maximize)))
    return tuple(blocks)


def _lineage_lines(run: RunSnapshot, width: int) -> list[Line]:
    candidates = lineage_of(run.trials, maximize=run.maximize)
    return lineage_lines(candidates, run.architecture, width, maximize=run.maximize)
