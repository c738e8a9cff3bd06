"""From what was typed to the store, the run and the runs that are meant."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mmfuse.errors import BadSpec

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore

_CONDITION = re.compile(r"-?[A-Za-z][\w./]*(:|!=|=|<|>).+", re.DOTALL)


def open_store(home: str | None, *, read_only: bool = False) -> RunStore:
    """The store at ``--home`` (or where it lives by default)."""
    from mmfuse_runs.home import resolve_home
    from mmfuse_runs.store import RunStore

    return RunStore(resolve_home(home), read_only=read_only)


def data_folder(home: Path, option: str | None) -> Path:
    """The data root at ``--data-root`` (or where it lies by default)."""
    from mmfuse_runs.home import data_root

    return data_root(home, option)


def select(store: RunStore, words: Sequence[str]) -> list[RunRecord]:
    """The runs that ``words`` mean: each run that is named, and those for which all conditions hold; newest first.

    Raises:
        UnknownName: when a word names no run, or several.
        BadSpec: when no run meets the conditions.
    """
    named = {store.find(word) for word in words if not is_condition(word)}
    conditions = [word for word in words if is_condition(word)]
    meets = matcher(conditions)
    chosen = [record for record in store.records() if record.id in named or (conditions and meets(record))]
    if not chosen:
        raise BadSpec(f"no run meets {' '.join(conditions)}", "mmfuse runs ls")
    return chosen


def is_condition(word: str) -> bool:
    """Whether ``word`` is a condition such as ``state:running``, not the name of a run."""
    return _CONDITION.fullmatch(word) is not None


def matcher(conditions: Sequence[str]) -> Callable[[RunRecord], bool]:
    """The test that runs pass for which all ``conditions`` hold; their grammar is that of the dashboard's filter.

    Raises:
        BadSpec: for an unknown field, or a comparison with something that is no number.
    """
    if not conditions:
        return lambda record: True
    from mmfuse_tui.query import parse_query

    query, now = parse_query(" ".join(conditions)), time.time()
    return lambda record: query.matches(record, now=now)


def somebody_there() -> bool:
    """Whether a person can answer."""
    return sys.stdin.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if ``--yes`` was given or a person at the terminal agrees.

    Raises:
        BadSpec: when there is nobody to ask.
        typer.Abort: when the answer is no.
    """
    if yes:
        return
    if not somebody_there():
        raise BadSpec(f"{question} Nobody is there to answer", "add --yes")
    typer.confirm(question, abort=True, err=True)
