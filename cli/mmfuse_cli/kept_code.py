"""Which code a run of an earlier one gets, and what to tell where that may surprise."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse_cli.render import warn

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore


class Code(StrEnum):
    """The code that a run was asked for with, or what is on disk now."""

    KEPT = "kept"
    CURRENT = "current"


CodeChoice = Annotated[Code, typer.Option("--code", help="The code that the run was asked for with, or that of now.")]


def wanted_code(choice: Code, kept: str | None) -> str | None:
    """``choice`` as `mmfuse_runs.launch.start` takes it; ``kept`` is the digest of the old code, if there is one."""
    from mmfuse_runs.launch import CURRENT

    return CURRENT if choice is Code.CURRENT else kept


def tell_code(store: RunStore, run_id: str) -> None:
    """Say so where a run that was just started works with other code than one might think."""
    remark = last_attempt(store, run_id).get("code_remark")
    if remark:
        warn(str(remark))


def last_attempt(store: RunStore, run_id: str) -> dict[str, Any]:
    """How a run was started the last time; empty where it never was."""
    attempts = store.folder(run_id).launch()["attempts"]
    return dict(attempts[-1]) if attempts and isinstance(attempts[-1], dict) else {}
