"""The candidates of a search, ranked."""

from __future__ import annotations

from mmfuse_tui.panels import Place
from mmfuse_tui.snapshot import RunSnapshot
from mmfuse_tui.table import Table
from mmfuse_tui.trial_columns import RankedTrial, rank_trials, trial_columns

TITLE = "Trials"
PLACE: Place = "side"
ORDER = 2


def applies(run: RunSnapshot) -> bool:
    """Only searches have trials."""
    return bool(run.trials)


def build() -> Table[RankedTrial]:
    """The table."""
    return Table(trial_columns(), key=lambda row: str(row.trial.number), empty="no trials yet")


def show(table: Table[RankedTrial], run: RunSnapshot) -> None:
    """Rank what there is."""
    table.set_rows(rank_trials(run.trials, maximize=run.maximize))
