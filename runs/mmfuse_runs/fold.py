"""From a run's folder to its index document: the fields of `mmfuse_runs.records.RunRecord`, defaults left out.

Everything the index knows of a run can be read from its folder again, so the index may always be thrown away. A
damaged file does not stop the fold: what the other files say is kept, ``damaged`` is set and ``reason`` says which.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mmfuse.architecture import Architecture
from mmfuse.errors import MmfuseError, StoreError
from mmfuse_runs.folder import RunFolder, trials_of
from mmfuse_runs.measured import measured_alike
from mmfuse_runs.records import DEFAULTS, SETTLED, architecture_label
from mmfuse_runs.result import INDEXED
from mmfuse_runs.states import LIVE, TERMINAL, State, observe
from mmfuse_runs.verdict import judge_bereft
from mmfuse_runs.wellformed import well_formed_json

Fields = dict[str, Any]

# What may have changed since the last fold in a way that leaves no trace in the new one.
_TRANSIENT = (
    SETTLED,
    "ended",
    "progress",
    "eta_seconds",
    "orphan",
    "waiting",
    "damaged",
    "reason",
    "exit_code",
    "signal",
)


def fold(folder: RunFolder, known: Mapping[str, Any] | None = None) -> Fields:
    """The run's document now. ``known`` is its last document, which stands in for what cannot be read."""
    fields = _from_id(folder.id) | {name: value for name, value in (known or {}).items() if name not in _TRANSIENT}
    troubles = []
    for part in _PARTS:
        try:
            fields |= part(folder, fields)
        except StoreError as error:
            troubles.append(error.message)
        except (MmfuseError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            troubles.append(f"run {folder.id} holds something unexpected ({type(error).__name__}: {error})")
    if troubles:
        fields |= {"damaged": True, "reason": troubles[0]}
        fields.pop(SETTLED, None)
    told = {name: value for name, value in fields.items() if name not in DEFAULTS or value != DEFAULTS[name]}
    document: Fields = well_formed_json(told)
    return document


def _identity(folder: RunFolder, fields: Fields) -> Fields:
    spec = folder.spec()
    identity: Fields = {"kind": str(spec.get("kind", "")), "seed": spec.get("seed")}
    for name, value in (("subject", _subject(spec)), ("dataset", spec.get("dataset"))):
        if value:
            identity[name] = str(value)
    if "family" in spec:
        identity |= _architecture(spec)
    return identity


def _subject(spec: Mapping[str, Any]) -> str | None:
    """What `mmfuse_runs.specs.subject_of` calls the run, of what need be no spec; None where only its id says it."""
    if spec.get("kind") == "extract":
        return "-".join(str(part) for part in (spec.get("encoder"), spec.get("size")) if part)
    return spec.get("search") or spec.get("family")


def _meta(folder: RunFolder, fields: Fields) -> Fields:
    meta = folder.meta()
    return {
        "name": str(meta["name"]),
        "tags": [str(tag) for tag in meta["tags"]],
        "starred": bool(meta["starred"]),
        "notes": str(meta["notes"]),
    }


def _launch(folder: RunFolder, fields: Fields) -> Fields:
    attempts = folder.launch()["attempts"]
    return {"device": str(attempts[-1].get("device") or "")} if attempts else {}


def _life(folder: RunFolder, fields: Fields) -> Fields:
    """State and times. The modification time is taken before the content, so that a change in between is seen later."""
    path = folder.path / "state.json"
    mtime_ns = path.stat().st_mtime_ns if path.exists() else 0
    record = folder.state()
    seen = observe(record, mtime_ns / 1e9)
    history = record.get("history") or []
    life: Fields = {
        "state": str(seen.state),
        "attempt": int(record.get("attempt", 1)),
        "created": _first(history, {State.QUEUED}) or fields.get("created", 0.0),
        "started": _first(history, {State.STARTING, State.RUNNING}),
        "reason": str(record.get("reason") or ""),
        "waiting": str(record.get("waiting") or "") if seen.state == State.QUEUED else "",
        "orphan": seen.orphan,
        "exit_code": record.get("exit_code"),
        "signal": record.get("signal"),
    }
    if seen.state == State.LOST and record["state"] != State.LOST:
        verdict = judge_bereft(record, _last_word(folder))
        life |= {"state": str(verdict.state), "reason": verdict.reason, "ended": mtime_ns / 1e9}
    elif seen.state in TERMINAL:
        life["ended"] = record.get("since")
    unclaimed = seen.state == State.QUEUED and record.get("supervisor") is None
    return life | ({SETTLED: mtime_ns} if seen.state in TERMINAL or unclaimed else {})


def _last_word(folder: RunFolder) -> dict[str, Any] | None:
    """What exit.json says; a damaged one says nothing here, and is told of by `_outcome`."""
    try:
        return folder.exit()
    except StoreError:
        return None


def _journals(folder: RunFolder, fields: Fields) -> Fields:
    folder.check_journals()
    return {}


def _told(folder: RunFolder, fields: Fields) -> Fields:
    """What the worker told so far, where there is no result that says it all: data, architecture found, best trial."""
    if (folder.exit() or {}).get("result"):
        return {}
    told: Fields = {}
    events = folder.events()
    for event in events:
        if event.get("ev") == "note" and event.get("message") == "dataset":
            facts = event["facts"]
            told |= {"dataset_label": facts["label"]} | {name: facts[name] for name in INDEXED if name in facts}
        elif event.get("ev") == "note" and event.get("message") == "found":
            told |= _architecture(event["facts"]["architecture"])
    trained = [event["facts"]["score"] for event in events if event.get("message") == "best"]
    ended = (trial for trial in trials_of(events) if trial.status == "done" and trial.score is not None)
    done = [trial.score for trial in measured_alike(ended)]
    # Once the architecture a search found is trained in full, its scores say more than those of short trials.
    scores = [score for score in trained or done if isinstance(score, float) and math.isfinite(score)]
    if scores and "metric" in told:
        told["score"] = max(scores) if told.get("maximize", True) else min(scores)
    return told


def _outcome(folder: RunFolder, fields: Fields) -> Fields:
    """What came out: the worker's last word."""
    last_word = folder.exit() or {}
    result = last_word.get("result") or {}
    outcome = {name: result[name] for name in INDEXED if result.get(name) is not None}
    if result.get("architecture"):
        outcome |= _architecture(result["architecture"])
    error = last_word.get("error")
    if error and last_word.get("attempt") == fields.get("attempt") and fields.get("state") not in LIVE:
        outcome["reason"] = str(error["message"])
    return outcome


def _progress(folder: RunFolder, fields: Fields) -> Fields:
    progress = folder.progress()
    if progress is None or fields.get("state") not in LIVE - {State.QUEUED}:
        return {}
    return {
        "progress": [progress["done"], progress["total"], progress["what"]],
        "eta_seconds": _eta(progress) if fields["state"] == State.RUNNING else None,
    }


_PARTS: tuple[Callable[[RunFolder, Fields], Fields], ...] = (
    _identity,
    _meta,
    _launch,
    _life,
    _journals,
    _told,
    _outcome,
    _progress,
)


def _eta(progress: Mapping[str, Any]) -> float | None:
    """Seconds left at the pace so far; None before there is a pace, and once the work takes longer than it said."""
    spent = progress["at"] - progress["started"]
    done = progress["done"] - progress.get("first", 0)  # what an earlier attempt had done took this one no time
    if done <= 0 or spent <= 0:
        return None
    left = spent / done * (progress["total"] - progress["done"]) - (time.time() - progress["at"])
    return float(left) if left > 0 else None


def _architecture(record: Mapping[str, Any]) -> Fields:
    architecture = Architecture(str(record["family"]), dict(record.get("params") or {}))
    return {"architecture": architecture_label(architecture.to_json()), "architecture_key": architecture.key}


def _first(history: Iterable[Mapping[str, Any]], states: set[State]) -> float | None:
    return next((float(step["at"]) for step in history if step["state"] in states), None)


def _from_id(run_id: str) -> Fields:
    """What the id says, such as ``20260304-1512-mixmas-avmnist-7f3a``: left to go by when nothing else says it."""
    date, time_of_day, subject, dataset, *_ = [*run_id.split("-"), "", "", "", ""]
    try:
        created = datetime.strptime(date + time_of_day, "%Y%m%d%H%M").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return {}
    return {"created": created, "subject": subject, "dataset": dataset, "dataset_label": dataset}
