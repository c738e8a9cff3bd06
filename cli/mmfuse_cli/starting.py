"""From a spec to a run that goes on by itself, and to the exit code of the command that started it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from mmfuse_cli.render import out, out_json, say
from mmfuse_runs.specs import Spec

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore


@dataclass(frozen=True)
class Placement:
    """Where a run computes, from which data root (None: the usual one) and with which code (None: that of now)."""

    device: str
    data_root: str | None
    code: str | None = None


@dataclass(frozen=True)
class Label:
    """How a person finds the run again."""

    name: str = ""
    tags: Sequence[str] = ()


@dataclass(frozen=True)
class Manner:
    """What the command does once the run has started, or instead of it; ``notify`` is called at the run's end."""

    detach: bool = False
    dry_run: bool = False
    json: bool = False
    notify: str | None = None


def start_and_follow(store: RunStore, spec: Spec, *, placement: Placement, label: Label, manner: Manner) -> None:
    """Start a run of ``spec`` as ``manner`` says, follow it, print its result and leave with its exit code."""
    if manner.dry_run:
        out_json({"spec": spec.model_dump(mode="json")})
        return
    notify_with(manner.notify)
    run_id = start(store, spec, placement=placement, label=label)
    if manner.detach:
        _tell_started(run_id, manner)
        return
    say(f"run {run_id}")
    follow_and_leave(store, run_id, json=manner.json)


def notify_with(command: str | None) -> None:
    """Let the supervisors that this process starts call ``command`` at the end (None: as the environment says)."""
    from mmfuse_runs.notice import VARIABLE

    if command is not None:
        os.environ[VARIABLE] = command


def start(store: RunStore, spec: Spec, *, placement: Placement, label: Label) -> str:
    """Put a run of ``spec`` into the store and start its supervisor; the run's id."""
    from mmfuse_cli.kept_code import tell_code
    from mmfuse_runs.begin import begin

    run_id = begin(
        store,
        spec,
        device=placement.device,
        data_root=placement.data_root,
        name=label.name,
        tags=label.tags,
        code=placement.code,
        by="cli",
    )
    tell_code(store, run_id)
    return run_id


def follow_and_leave(store: RunStore, run_id: str, *, json: bool) -> None:
    """Follow a run that this command started, print its result and leave with its exit code."""
    from mmfuse_cli.follow import follow
    from mmfuse_cli.outcome import exit_code, tell

    ending = follow(store, run_id, ours=True)
    tell(store, run_id, ending, json=json)
    code = exit_code(store, run_id, ending)
    if code:
        raise typer.Exit(code)


def _tell_started(run_id: str, manner: Manner) -> None:
    if manner.json:
        out_json({"run": run_id})
    else:
        out(run_id)
        say(f"it goes on by itself; follow it with: mmfuse runs watch {run_id}")
