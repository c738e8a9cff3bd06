"""The details of a run as sections of plain rows, from the JSON files of its folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmfuse_tui import wording
from mmfuse_tui.clean import clean

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

Row = tuple[str, str]
"""Name and value, both safe to draw."""


@dataclass(frozen=True)
class Section:
    """A titled block of rows."""

    title: str
    rows: tuple[Row, ...]


def sections_of(
    run: RunRecord | None,
    *,
    spec: Mapping[str, Any],
    launch: Mapping[str, Any],
    state: Mapping[str, Any],
    outcome: Mapping[str, Any],
    notes: Iterable[Mapping[str, Any]] = (),
) -> tuple[Section, ...]:
    """All there is to say about a run; empty sections are left out."""
    found = (
        Section("Run", tuple(_run_rows(run)) if run else ()),
        Section("Error", tuple(_error_rows(outcome))),
        Section("Result", tuple(_result_rows(outcome.get("result")))),
        Section("Spec", tuple(flatten(spec))),
        Section("History", tuple(_history_rows(state))),
        Section("Environment", tuple(_environment_rows(launch))),
        Section("Notes", tuple((wording.moment(note.get("t")), clean(str(note.get("message", "")))) for note in notes)),
    )
    return tuple(section for section in found if section.rows)


def flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[Row]:
    """A nested record as rows with dotted names; lists of plain values stay on one line."""
    for name, item in value.items():
        path = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(item, Mapping) and item:
            yield from flatten(item, path)
        else:
            yield clean(path), _value(item)


def _value(item: Any) -> str:
    if isinstance(item, bool) or item is None:
        return json.dumps(item)
    if isinstance(item, float):
        return wording.number(item, digits=6)
    return clean(item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=str))


def _run_rows(run: RunRecord) -> Iterator[Row]:
    rows = {
        "id": run.id,
        "name": run.name,
        "kind": f"{run.kind} {run.subject}".strip(),
        "dataset": run.dataset_label or run.dataset,
        "fingerprint": run.fingerprint,
        "architecture": run.architecture,
        "device": run.device or "",
        "seed": "" if run.seed is None else str(run.seed),
        "tags": ", ".join(run.tags),
        "notes": run.notes,
        "state": f"{run.state}, attempt {run.attempt}",
        "because": run.reason,
        "waiting": run.waiting,
        "exit": "" if run.exit_code is None else f"code {run.exit_code}",
        "signal": "" if run.signal is None else str(run.signal),
    }
    return ((name, clean(str(value))) for name, value in rows.items() if value)


def _error_rows(outcome: Mapping[str, Any]) -> Iterator[Row]:
    error = outcome.get("error")
    if isinstance(error, Mapping):
        yield from ((name, clean(str(error[name]))) for name in ("message", "hint", "type") if error.get(name))


def _result_rows(result: Any) -> Iterator[Row]:
    if not isinstance(result, Mapping):
        return
    metrics = result.get("metrics")
    if isinstance(metrics, Mapping):
        yield from ((clean(str(name)), _value(value)) for name, value in sorted(metrics.items()))
    for name, write in (("parameters", wording.count), ("macs", wording.count), ("seconds", wording.span)):
        if isinstance(result.get(name), int | float):
            yield name, write(result[name])
    for name in ("epochs", "steps", "trials", "architecture_key", "checkpoint"):
        if result.get(name) is not None:
            yield name, _value(result[name])


def _history_rows(state: Mapping[str, Any]) -> Iterator[Row]:
    history = state.get("history")
    for entry in history if isinstance(history, list) else ():
        if isinstance(entry, Mapping):
            words = [str(entry.get("state", "")), str(entry.get("reason") or "")]
            yield wording.moment(entry.get("at")), clean("  ".join(word for word in words if word))


def _environment_rows(launch: Mapping[str, Any]) -> Iterator[Row]:
    attempts = launch.get("attempts")
    last = attempts[-1] if isinstance(attempts, list) and attempts else None
    if isinstance(last, Mapping):
        shown = {name: value for name, value in last.items() if value not in (None, "", [], {})}
        if isinstance(shown.get("argv"), list):
            shown["argv"] = " ".join(map(str, shown["argv"]))
        if "at" in shown:
            shown["at"] = wording.moment(shown["at"])
        yield from flatten(shown)
