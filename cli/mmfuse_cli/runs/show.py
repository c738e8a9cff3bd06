"""`mmfuse runs show`: everything about one run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse.errors import MmfuseError
from mmfuse.report import TrialRecord
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.outcome import RESULT_COLUMNS, result_rows
from mmfuse_cli.parameters import Home, Json, Picture, Plots, Run
from mmfuse_cli.plots import curves_of, show_plots
from mmfuse_cli.render import STATE_COLOURS, out, out_json, out_painted, width
from mmfuse_cli.runs.ls import places_of
from mmfuse_cli.standings import show_standings, standings_of
from mmfuse_cli.table import Column, draw
from mmfuse_runs.records import architecture_label
from mmfuse_runs.states import RESUMABLE
from mmfuse_tui.wording import count, number, span

if TYPE_CHECKING:
    from mmfuse_runs.folder import RunFolder
    from mmfuse_runs.records import RunRecord

TRIAL_COLUMNS = (
    Column("number", "trial", right=True),
    Column("stage", "stage"),
    Column("architecture", "architecture"),
    Column("score", "score", right=True),
    Column("status", "status", colours={"failed": "red", "running": "blue", "skipped": "dim", "pruned": "dim"}),
    Column("parameters", "params", right=True, leaves=1),
    Column("seconds", "time", right=True, leaves=3),
    Column("macs", "MACs", right=True, leaves=4),
    Column("reason", "reason", leaves=2),
)

MANY_TRIALS, FEW = 40, 3
"""From how many trials on only the best of each stage are shown unless more are asked for, and how many these are."""


@examples(
    "mmfuse runs show latest",
    "mmfuse runs show 7f3a --trials 0",
    "mmfuse runs show latest --plot val/accuracy",
    "mmfuse runs show latest --json",
)
def show(
    run: Run,
    trials: Annotated[
        int | None,
        typer.Option("--trials", help="Show at most this many trials of each stage.  [default: all, of many 3]", min=0),
    ] = None,
    plot: Plots = None,
    save: Picture = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show everything about one run.

    What it is and how it stands, its result, the trials of a search (best first, stage by stage), and the commands
    that go on with it or do it again. With --plot, only its curves.
    """
    store = open_store(home, read_only=True)
    record = store.record(store.find(run))
    folder = store.folder(record.id)
    place = places_of(store, [record]).get(record.id)
    if json:
        out_json(
            _answer(record, folder) | {"place": place} | ({"curves": curves_of(store, [record], plot)} if plot else {})
        )
        return
    if plot or save:
        show_plots(store, [record], plot, save)
        return
    out_painted(draw(FACT_COLUMNS, _fact_rows(record, folder, place), width=width()))
    result = ((_tolerant(folder.exit)) or {}).get("result") or {}
    if result:
        out("")
        out_painted(draw(RESULT_COLUMNS, result_rows(folder, result)))
        show_standings(folder)
    _show_trials(folder.trials(), record, trials)
    _show_commands(record, folder)


def _show_trials(trials: Sequence[TrialRecord], record: RunRecord, limit: int | None) -> None:
    if limit is None and len(trials) > MANY_TRIALS:
        limit = FEW
    shown = ranked_trials(trials, maximize=record.maximize, limit=limit)
    if not shown:
        return
    out("")
    out_painted(draw(TRIAL_COLUMNS, [_trial_row(trial) for trial in shown], width=width()))
    if len(shown) < len(trials):
        out(f"the best {limit} of each stage; all {len(trials)}: mmfuse runs show {record.id} --trials {len(trials)}")


def ranked_trials(trials: Sequence[TrialRecord], *, maximize: bool, limit: int | None = None) -> list[TrialRecord]:
    """Trials stage by stage in the order of the search, the best first within each.

    Those that were pruned come behind them, for their score is that of a shorter training; those without one are last.
    """
    stages: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        stages.setdefault(trial.architecture.stage, []).append(trial)
    direction = -1 if maximize else 1

    def rank(trial: TrialRecord) -> tuple[bool, bool, float, int]:
        return trial.score is None, trial.status != "done", direction * (trial.score or 0.0), trial.number

    return [trial for stage in stages.values() for trial in sorted(stage, key=rank)[:limit]]


FACT_COLUMNS = (Column("what", "run"), Column("value", "", colours=STATE_COLOURS))


def _fact_rows(record: RunRecord, folder: RunFolder, place: int | None) -> list[dict[str, str]]:
    attempts = (_tolerant(folder.launch) or {}).get("attempts") or [{}]
    git = attempts[-1].get("git")
    git = git if isinstance(git, dict) else {}
    facts = {
        "id": record.id,
        "name": record.name,
        "state": " ".join(word for word in (record.state, f"({record.reason})" if record.reason else "") if word),
        "in line": "" if place is None else f"place {place}",
        "waits for": record.waiting,
        "what": f"{record.kind} {record.subject}",
        "dataset": record.dataset_label or record.dataset,
        "data": record.fingerprint,
        "seed": "" if record.seed is None else str(record.seed),
        "created": _moment(record.created),
        "attempt": str(record.attempt),
        "worked": span(record.seconds) if record.seconds else "",
        "progress": _progress(record),
        "device": record.device,
        "tags": " ".join(record.tags),
        "starred": "yes" if record.starred else "",
        "notes": record.notes,
        "mmfuse": str(attempts[-1].get("mmfuse") or ""),
        "git": f"{str(git.get('sha', ''))[:12]}{' (changed)' if git.get('dirty') else ''}",
        "code": " ".join(str(attempts[-1][key]) for key in ("code", "code_remark") if attempts[-1].get(key)),
        "folder": str(folder.path),
    }
    return [{"what": what, "value": value} for what, value in facts.items() if value]


def _progress(record: RunRecord) -> str:
    if record.progress is None or not record.live:
        return ""
    left = f", {span(record.eta_seconds)} left" if record.eta_seconds is not None else ""
    return f"{record.progress.done:g} of {record.progress.total:g} {record.progress.what}{left}"


def _trial_row(trial: TrialRecord) -> dict[str, str]:
    return {
        "number": str(trial.number),
        "stage": trial.architecture.stage,
        "architecture": architecture_label(trial.architecture.to_json()),
        "score": number(trial.score) if trial.score is not None else "",
        "status": trial.status,
        "parameters": count(trial.parameters) if trial.parameters else "",
        "macs": count(trial.macs) if trial.macs else "",
        "seconds": span(trial.seconds) if trial.seconds else "",
        "reason": trial.reason,
    }


def _show_commands(record: RunRecord, folder: RunFolder) -> None:
    commands = []
    if record.live:
        commands = [f"mmfuse runs watch {record.id}", f"mmfuse runs stop {record.id}"]
    elif record.state in RESUMABLE:
        commands = [f"mmfuse runs resume {record.id}", f"mmfuse runs logs {record.id}"]
    again = reproducing_command(folder)
    out("")
    for command in (*commands, again):
        out(f"$ {command}")


def reproducing_command(folder: RunFolder) -> str:
    """The command that does the same again; by the run's id where its spec can no longer be spelled out."""
    from mmfuse.spec import spec_from_json
    from mmfuse_runs.specs import command_of

    try:
        spec = folder.spec()
        if spec.get("kind") == "import":
            return shlex.join(["mmfuse", "runs", "import", str(spec.get("from")), str(spec.get("source"))])
        return command_of(spec_from_json(spec))
    except MmfuseError:
        return f"mmfuse runs rerun {folder.id}"


def _answer(record: RunRecord, folder: RunFolder) -> dict[str, Any]:
    from mmfuse_cli.arrays import arrays_of  # here, because it loads pydantic, and Tab waits for this module

    result = ((_tolerant(folder.exit)) or {}).get("result") or {}
    return {
        "run": record.to_json(),
        "folder": str(folder.path),
        "spec": _tolerant(folder.spec),
        "launch": _tolerant(folder.launch),
        "state": _tolerant(folder.state),
        "standings": standings_of(folder),
        "exit": _tolerant(folder.exit),
        "trials": [trial.to_json() for trial in folder.trials()],
        "arrays": arrays_of(result.get("architecture")),
        "command": reproducing_command(folder),
    }


def _tolerant(read: Any) -> Any:
    """What a file of the run holds; None where it is damaged, for the record says so already."""
    try:
        return read()
    except MmfuseError:
        return None


def _moment(unix: float) -> str:
    return datetime.fromtimestamp(unix).strftime("%Y-%m-%d %H:%M:%S") if unix else ""
