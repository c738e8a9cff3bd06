"""`mmfuse runs compare`: runs side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mmfuse_cli.access import open_store, select
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Selection
from mmfuse_cli.render import STATE_COLOURS, out_json, out_painted, warn, width
from mmfuse_cli.table import Column, draw
from mmfuse_tui.wording import count, number, span

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord

COST = (
    Column("parameters", "params", right=True),
    Column("macs", "MACs", right=True, leaves=3),
    Column("seconds", "time", right=True, leaves=2),
    Column("trials", "trials", right=True, leaves=4),
)


@examples("mmfuse runs compare 7f3a 91bc", "mmfuse runs compare tag:paper", "mmfuse runs compare kind:search,train")
def compare(runs: Selection, json: Json = False, home: Home = None) -> None:
    """Put runs side by side, best first.

    Only runs that measured the same metric on the same data (equal fingerprints) are ranked; otherwise they stand
    newest first and a note says why. Where the terminal is narrow, columns leave in this order: state, dataset (if
    all agree), trials, MACs, time, architecture.
    """
    store = open_store(home, read_only=True)
    records = select(store, runs)
    trials = {record.id: len(store.folder(record.id).trials()) for record in records}
    obstacle = why_not_ranked(records)
    if obstacle:
        warn(f"not ranked: {obstacle}")
    else:
        records = ranked(records)
    if json:
        answers = [record.to_json() | {"trials": trials[record.id]} for record in records]
        out_json({"ranked": not obstacle, "note": obstacle, "runs": answers})
        return
    out_painted(draw(_columns(records), [_row(record, trials[record.id]) for record in records], width=width()))


def why_not_ranked(records: Sequence[RunRecord]) -> str:
    """Why ``records`` must not be put in order; empty where they may."""
    scored = [record for record in records if record.score is not None]
    if len({record.fingerprint for record in scored}) > 1:
        labels = ", ".join(sorted({record.dataset_label for record in scored}))
        return f"the runs saw different data ({labels}; fingerprints differ)"
    if len({record.metric for record in scored}) > 1:
        return f"the runs measured different metrics ({', '.join(sorted({record.metric for record in scored}))})"
    return ""


def ranked(records: Sequence[RunRecord]) -> list[RunRecord]:
    """``records``, best score first; those without one come last."""
    scored = [record for record in records if record.score is not None]
    best_first = sorted(scored, key=lambda record: record.score or 0.0, reverse=any(r.maximize for r in scored))
    return [*best_first, *(record for record in records if record.score is None)]


def _columns(records: Sequence[RunRecord]) -> list[Column]:
    """Run, what it is, the primary metric on each split that was measured, and the cost."""
    several = len({record.dataset_label for record in records}) > 1
    return [
        Column("what", "what"),
        Column("dataset", "dataset", leaves=0 if several or any(record.stand_in for record in records) else 5),
        *(Column(name, name, right=True) for name in _score_names(records)),
        *COST,
        Column("architecture", "architecture", leaves=1),
        Column("state", "state", leaves=6, colours=STATE_COLOURS),
        Column("id", "run"),
    ]


def _score_names(records: Iterable[RunRecord]) -> list[str]:
    """The primary metric on the validation and test splits, as far as any run has it."""
    names: dict[str, None] = {}
    for record in records:
        bare = record.metric.partition("/")[2]
        for name in (record.metric, f"val/{bare}", f"test/{bare}"):
            if bare and (name in record.metrics or (name == record.metric and record.score is not None)):
                names[name] = None
    return list(names)


def _row(record: RunRecord, trials: int) -> dict[str, str]:
    scores = dict(record.metrics)
    if record.metric and record.score is not None:
        scores.setdefault(record.metric, record.score)
    return {name: number(value) for name, value in scores.items()} | {
        "what": record.name or record.subject,
        "dataset": record.dataset_label,
        "parameters": count(record.parameters) if record.parameters else "",
        "macs": count(record.macs) if record.macs else "",
        "seconds": span(record.seconds) if record.seconds else "",
        "trials": str(trials) if trials else "",
        "architecture": record.architecture,
        "state": record.state,
        "id": record.id,
    }
