"""`mmfuse runs rm, gc`: removing runs, named or by rule."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmfuse.errors import BadSpec, RunBusy
from mmfuse_cli.access import confirm, meet, open_store, select
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Conditions, DryRun, Home, Json, Selection, Yes
from mmfuse_cli.render import out, out_json, say

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore


@examples("mmfuse runs rm 7f3a", "mmfuse runs rm state:crashed,killed 'age>7d' --dry-run")
def rm(
    runs: Selection,
    forever: Annotated[bool, typer.Option("--forever", help="Remove them with all their files, for good.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Move runs to the trash, or remove them for good.

    Live and starred runs are refused. From the trash they come back with mmfuse runs restore.
    """
    store = open_store(home)
    chosen = select(store, runs)
    live = [record.id for record in chosen if record.live]
    if live:
        raise RunBusy(f"run {live[0]} is still going on", f"mmfuse runs kill {live[0]}")
    starred = [record.id for record in chosen if record.starred]
    if starred:
        raise RunBusy(f"run {starred[0]} is starred", f"mmfuse runs note {starred[0]} --unstar")
    _remove(store, chosen, forever=forever, dry_run=dry_run, yes=yes, json=json)


@examples("mmfuse runs gc --older 30d --dry-run", "mmfuse runs gc --shorter 60s state:crashed,cancelled")
def gc(
    conditions: Conditions = None,
    older: Annotated[
        str | None, typer.Option("--older", help="Only runs made longer ago than this: 30d, 12h.", metavar="TIME")
    ] = None,
    shorter: Annotated[
        str | None, typer.Option("--shorter", help="Only runs that worked less than this: 60s, 5m.", metavar="TIME")
    ] = None,
    trash: Annotated[
        bool, typer.Option("--trash", help="Empty the trash instead, with --older of what has lain there so long.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Remove runs by age, length and state.

    Live and starred runs always stay. At least one rule is needed. The files are deleted; with --trash those of runs
    that mmfuse runs rm removed. Code that was kept for runs goes with the last run that has it.
    """
    if trash:
        store = open_store(home)
        _empty_trash(store, older, refused=bool(conditions or shorter), dry_run=dry_run, yes=yes, json=json)
        _remove_unused_code(store, dry_run=dry_run)
        return
    if not conditions and older is None and shorter is None:
        raise BadSpec("no rule says which runs may go", "mmfuse runs gc --older 30d --dry-run")
    store = open_store(home)
    rules = [f"age>={older}"] if older else []
    # Turned around, so that runs which never began to work count as short; what was imported never worked here.
    rules += [f"-seconds>={shorter}", "-kind:import"] if shorter else []
    removable = [record for record in store.records() if not record.live and not record.starred]
    chosen = meet(store, meet(store, removable, conditions), rules)
    if not chosen and not json:
        say("nothing to remove")
    else:
        _remove(store, chosen, forever=True, dry_run=dry_run, yes=yes, json=json)
    _remove_unused_code(store, dry_run=dry_run)


def _remove_unused_code(store: RunStore, *, dry_run: bool) -> None:
    from mmfuse_runs import sourcecode

    snapshots = [] if dry_run else sourcecode.unused(store.home)
    for snapshot in snapshots:
        sourcecode.remove(snapshot)
    if snapshots:
        say(f"removed {len(snapshots)} snapshot{'s' * (len(snapshots) != 1)} of code that no run has")


def _remove(
    store: RunStore, records: Sequence[RunRecord], *, forever: bool, dry_run: bool, yes: bool, json: bool
) -> None:
    from mmfuse_runs.trash import throw_away

    size = sum(_bytes(store.folder(record.id).path) for record in records)
    for record in records if (dry_run or not yes) and not json else ():
        say(f"{record.id} ({record.state})")
    what = _amount(len(records), size)
    if records and not dry_run:
        confirm(f"Remove {what} for good?" if forever else f"Move {what} to the trash?", yes=yes)
    for record in () if dry_run else records:
        store.remove(record.id) if forever else throw_away(store, record.id)
        if not json:
            out(record.id)
    if json:
        out_json({"would_remove" if dry_run else "removed": [record.id for record in records], "bytes": size})
    elif dry_run:
        say(f"would remove {what}")
    elif not forever:
        say("undo with: mmfuse runs restore RUN; the files go with: mmfuse runs gc --trash")


def _empty_trash(store: RunStore, older: str | None, *, refused: bool, dry_run: bool, yes: bool, json: bool) -> None:
    from mmfuse_runs.query import parse_span
    from mmfuse_runs.trash import empty, thrown

    if refused:
        raise BadSpec("the trash is emptied by age alone", "mmfuse runs gc --trash --older 7d")
    seconds = parse_span(older) if older else 0.0
    doomed = [each for each in thrown(store) if time.time() - each.at >= seconds]
    size = sum(_bytes(each.path) for each in doomed)
    what = _amount(len(doomed), size)
    if doomed and not dry_run:
        confirm(f"Delete {what} from the trash for good?", yes=yes)
    gone = [each.id for each in doomed] if dry_run else empty(store, older=seconds) if doomed else []
    if json:
        out_json({"would_remove" if dry_run else "removed": gone, "bytes": size})
    else:
        say(f"would delete {what}" if dry_run else f"deleted {what}")


def _amount(count: int, size: int) -> str:
    return f"{count} run{'s' * (count != 1)} ({size / 1e6:.1f} MB)"


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
