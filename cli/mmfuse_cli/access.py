"""From what was typed to the store, the run and the runs that are meant."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mmfuse.errors import BadSpec

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore

_CONDITION = re.compile(r"\w.*?(:|~|=|<|>)", re.DOTALL)


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
        BadSpec: when no run meets the conditions, or they mean nothing.
    """
    named = {store.find(word) for word in words if not is_condition(word)}
    conditions = [word for word in words if is_condition(word)]
    records = store.records()
    meeting = {record.id for record in meet(store, records, conditions)} if conditions else set()
    chosen = [record for record in records if record.id in named | meeting]
    if not chosen:
        raise BadSpec(f"no run meets {' '.join(conditions)}", "mmfuse runs ls")
    return chosen


def is_condition(word: str) -> bool:
    """Whether ``word`` is a condition such as ``state:running``, or joins two, and is not the name of a run."""
    from mmfuse_runs.query import is_connective

    return _CONDITION.search(word) is not None or is_connective(word) or not word.strip("()")


def meet(store: RunStore, records: Sequence[RunRecord], conditions: Sequence[str] | None) -> list[RunRecord]:
    """Those of ``records`` for which all ``conditions`` hold; their grammar is that of the dashboard's filter.

    Raises:
        BadSpec: for an unknown field, a comparison with something that is no number, or a term that is missing.
        UnknownName: for a setting that none of the records has.
    """
    if not conditions:
        return list(records)
    from mmfuse_runs.query import parse_query

    return parse_query(joined(conditions)).chosen(records, store)


def joined(conditions: Sequence[str]) -> str:
    """One filter of several arguments. One that the shell handed over whole, blanks and all, stays a unit."""
    several = len(conditions) > 1
    return " ".join(f"({word})" if several and re.search(r"\s", word) else word for word in conditions)


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
