"""`mmfuse arch trust`: do a search's short trainings put candidates in the order that full training would?"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from mmfuse.errors import BadSpec
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Run
from mmfuse_cli.render import out, out_json, out_painted, warn, width
from mmfuse_cli.table import Column, draw
from mmfuse_runs.agreement import FEWEST, agreement
from mmfuse_runs.comparison import is_number
from mmfuse_tui.wording import number

if TYPE_CHECKING:
    from mmfuse.report import TrialRecord
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore

COLUMNS = (
    Column("trials", "trials"),
    Column("architecture", "architecture", leaves=1),
    Column("short", "in the search", right=True),
    Column("full", "in full", right=True),
    Column("runs", "runs", leaves=2),
)


class Pair(NamedTuple):
    """One architecture: its score in the search and its score in full, each the mean of what there is."""

    trials: list[int]
    architecture: str
    short: float
    full: float
    runs: list[str]


@examples("mmfuse arch trust latest", "mmfuse arch trust 7f3a --json")
def trust(run: Run, json: Json = False, home: Home = None) -> None:
    """Measure whether a search's short trials rank as full training.

    Kendall's tau-b between the scores of its trials and those of the same architectures trained in full (mmfuse train
    --from RUN:TRIAL, and the search's own full training), on the same data and metric, with the middle 95 % of
    bootstrapped taus: 1 the same order, 0 none, -1 turned around.
    """
    store = open_store(home, read_only=True)
    record = store.record(store.find(run))
    pairs = list(pairs_of(store, record))
    told = agreement([pair.short for pair in pairs], [pair.full for pair in pairs])
    if json:
        out_json({"run": record.id, "metric": record.metric, **asdict(told), "scores": [p._asdict() for p in pairs]})
        return
    if not pairs:
        raise BadSpec(
            f"none of the trials of {record.id} was trained in full", f"mmfuse train --from {record.id}:0 --detach"
        )
    out_painted(draw(COLUMNS, [_row(pair) for pair in pairs], width=width()))
    if told.tau is None:
        warn(_why_not(told.pairs))
        return
    out("")
    out(f"Kendall tau {told.tau:+.3f}  [{told.low:+.3f}, {told.high:+.3f}]  of {told.pairs} architectures")


def pairs_of(store: RunStore, search: RunRecord) -> Iterator[Pair]:
    """Every architecture that the search has scored and that was trained in full as well, by its first trial."""
    tried: dict[str, list[TrialRecord]] = {}
    for trial in store.folder(search.id).trials():
        if trial.status == "done" and is_number(trial.score):
            tried.setdefault(trial.architecture.key, []).append(trial)
    key_of = {trial.number: key for key, trials in tried.items() for trial in trials}
    full: dict[str, list[tuple[str, float]]] = {}
    for record in store.records():
        key = _trained_key(store, record, search, key_of)
        if key in tried and record.score is not None and is_number(record.score):
            full.setdefault(key, []).append((record.id, record.score))
    for key, trials in tried.items():
        if key in full:
            ids, scores = zip(*full[key], strict=True)
            short = statistics.fmean(trial.score or 0.0 for trial in trials)
            label = _label(trials[0])
            yield Pair([trial.number for trial in trials], label, short, statistics.fmean(scores), list(ids))


def _trained_key(store: RunStore, record: RunRecord, search: RunRecord, key_of: dict[int, str]) -> str:
    """Which architecture of the search a finished run trained in full on the same terms; empty for any other run."""
    alike = (record.fingerprint, record.metric) == (search.fingerprint, search.metric)
    if record.state != "finished" or record.damaged or not alike:
        return ""
    if record.id == search.id:
        trained = store.folder(record.id).checkpoint() is not None
        return record.architecture_key if trained else ""
    if record.kind != "train":
        return ""
    # What `train --from RUN:TRIAL` trains may be wider than the trial was: where it comes from counts first.
    origin, _, number = str(store.folder(record.id).spec().get("source", "")).partition(":")
    if origin == search.id and number.isdecimal():
        return key_of.get(int(number), "")
    return record.architecture_key


def _label(trial: TrialRecord) -> str:
    from mmfuse_runs.records import architecture_label

    return architecture_label(trial.architecture.to_json())


def _why_not(pairs: int) -> str:
    if pairs < FEWEST:
        return f"{pairs} architectures have no order to speak of; train {FEWEST} or more in full"
    return "all scores of one kind are equal: there is no order to compare"


def _row(pair: Pair) -> dict[str, Any]:
    return {
        "trials": ",".join(map(str, pair.trials)),
        "architecture": pair.architecture,
        "short": number(pair.short),
        "full": number(pair.full),
        "runs": ",".join(run.rpartition("-")[2] for run in pair.runs),
    }
