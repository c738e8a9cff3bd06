"""Which code a run of an earlier one gets, and what to tell where that may surprise."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse_cli.render import say, warn

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore

_NAMED = 3


class Code(StrEnum):
    """The code that a run was asked for with, or what is on disk now."""

    KEPT = "kept"
    CURRENT = "current"


CodeChoice = Annotated[Code, typer.Option("--code", help="The code that the run was asked for with, or that of now.")]


def wanted_code(choice: Code, kept: str | None) -> str | None:
    """``choice`` as `mmfuse_runs.launch.start` takes it; ``kept`` is the digest of the old code, if there is one."""
    from mmfuse_runs.launch import CURRENT

    return CURRENT if choice is Code.CURRENT else kept


def tell_code(store: RunStore, run_id: str, *, kept: bool) -> None:
    """Say so where the code of a run that was just started was not kept, or is ``kept`` from before and another now."""
    attempt = last_attempt(store, run_id)
    if attempt.get("code_remark"):
        warn(str(attempt["code_remark"]))
    elif changed := _changed_since(store, attempt.get("code")) if kept else []:
        files = ", ".join(changed[:_NAMED]) + (" and others" if len(changed) > _NAMED else "")
        say(f"it works with the code that the run was asked for with; since then {files} changed")
        say("with what is there now: --code current")


def _changed_since(store: RunStore, code: Any) -> list[str]:
    from mmfuse_runs.sourcecode import NotKept, current_files, files_of

    before = files_of(store.home, code) if isinstance(code, str) else {}
    try:
        now = current_files() if before else {}
    except NotKept:
        return []
    return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))


def last_attempt(store: RunStore, run_id: str) -> dict[str, Any]:
    """How a run was started the last time; empty where it never was."""
    attempts = store.folder(run_id).launch()["attempts"]
    return dict(attempts[-1]) if attempts and isinstance(attempts[-1], dict) else {}
