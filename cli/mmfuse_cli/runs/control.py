"""`mmfuse runs stop, kill, pause, continue, adopt`: requests to runs, one or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mmfuse.errors import BadSpec, MmfuseError
from mmfuse_cli.access import confirm, is_condition, open_store, select
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import DryRun, Home, Json, Selection, Yes
from mmfuse_cli.render import error, out, out_json, say

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore

Grace = Annotated[
    float | None, typer.Option("--grace", help="Seconds to save in, before it is killed.", min=0, metavar="SECONDS")
]
Wait = Annotated[bool, typer.Option("--wait", help="Return only when the runs have ended.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the run.")]


@examples("mmfuse runs stop latest", "mmfuse runs stop subject:mixmas state:running --dry-run")
def stop(
    runs: Selection,
    grace: Grace = None,
    reason: Reason = "",
    wait: Wait = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Ask runs to save and stop; they can be resumed.

    A queued run is cancelled. Several runs can be chosen by conditions; then this asks before it acts.
    """
    from mmfuse_runs import control

    store = open_store(home)
    chosen = _chosen(store, runs, "stop", dry_run=dry_run, yes=yes, json=json)
    _each(
        chosen,
        lambda record: control.stop(store, record.id, grace_s=grace, by="cli", reason=reason),
        "stopping",
        json=json,
    )
    _wait_for(store, chosen, wait=wait)


@examples("mmfuse runs kill 7f3a", "mmfuse runs kill state:running 'age>2d' --yes")
def kill(
    runs: Selection,
    reason: Reason = "",
    wait: Wait = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """End runs at once; what they saved stays.

    They can be resumed from their last checkpoint or trial. Runs chosen by conditions are listed before it asks.
    """
    from mmfuse_runs import control

    store = open_store(home)
    chosen = _chosen(store, runs, "kill", dry_run=dry_run, yes=yes, json=json)
    _each(chosen, lambda record: control.kill(store, record.id, by="cli", reason=reason), "killing", json=json)
    _wait_for(store, chosen, wait=wait)


@examples("mmfuse runs pause latest")
def pause(runs: Selection, dry_run: DryRun = False, yes: Yes = False, json: Json = False, home: Home = None) -> None:
    """Hold runs where they are.

    They keep their memory and their device, and go on with: mmfuse runs continue.
    """
    from mmfuse_runs import control

    store = open_store(home)
    chosen = _chosen(store, runs, "pause", dry_run=dry_run, yes=yes, json=json)
    _each(chosen, lambda record: control.pause(store, record.id, by="cli"), "pausing", json=json)


@examples("mmfuse runs continue state:paused --yes")
def continue_(
    runs: Selection, dry_run: DryRun = False, yes: Yes = False, json: Json = False, home: Home = None
) -> None:
    """Let paused runs go on."""
    from mmfuse_runs import control

    store = open_store(home)
    chosen = _chosen(store, runs, "continue", dry_run=dry_run, yes=yes, json=json)
    _each(chosen, lambda record: control.continue_(store, record.id, by="cli"), "continuing", json=json)


@examples("mmfuse runs adopt latest")
def adopt(runs: Selection, dry_run: DryRun = False, yes: Yes = False, json: Json = False, home: Home = None) -> None:
    """Supervise runs again whose supervisor died.

    Their workers go on meanwhile; `mmfuse runs ls` shows such runs as orphans.
    """
    from mmfuse_runs import control

    store = open_store(home)
    chosen = _chosen(store, runs, "adopt", dry_run=dry_run, yes=yes, json=json)
    _each(chosen, lambda record: control.adopt(store, record.id), "adopted", json=json)


def _chosen(
    store: RunStore, words: Sequence[str], verb: str, *, dry_run: bool, yes: bool, json: bool
) -> list[RunRecord]:
    """The runs that are meant; conditions choose among live runs only and are confirmed, names are not."""
    by_condition = any(map(is_condition, words))
    chosen = [record for record in select(store, words) if record.live or not by_condition]
    if not chosen:
        raise BadSpec(f"no live run meets {' '.join(words)}", "mmfuse runs ls")
    if dry_run and json:
        out_json({"would": verb, "runs": [{"id": record.id, "state": record.state} for record in chosen]})
    elif dry_run or by_condition:
        for record in chosen:
            say(f"would {verb} {record.id} ({record.state})" if dry_run else f"{record.id} ({record.state})")
    if dry_run:
        raise typer.Exit
    if by_condition:
        confirm(f"{verb.capitalize()} {len(chosen)} run{'s' * (len(chosen) > 1)}?", yes=yes)
    return chosen


def _each(records: Sequence[RunRecord], act: Callable[[RunRecord], object], doing: str, *, json: bool) -> None:
    """Act on each run and print its id; one that refuses is told and the others are still asked."""
    refusals: dict[str, MmfuseError] = {}
    for record in records:
        try:
            act(record)
        except MmfuseError as problem:
            refusals[record.id] = problem
            continue
        if not json:
            out(record.id)
            say(doing)
    if json:
        refused = [{"id": run, "error": problem.message} for run, problem in refusals.items()]
        out_json({doing: [record.id for record in records if record.id not in refusals], "refused": refused})
    if len(refusals) == 1:
        raise next(iter(refusals.values()))
    for refusal in refusals.values():
        error(refusal.message, refusal.hint)
    if refusals:
        raise typer.Exit(max(refusal.exit_code for refusal in refusals.values()))


def _wait_for(store: RunStore, records: Sequence[RunRecord], *, wait: bool) -> None:
    from mmfuse_runs import control

    for record in records if wait else ():
        control.wait(store, record.id)
        say(f"{record.id} {store.record(record.id).state}")
