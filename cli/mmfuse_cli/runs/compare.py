"""`mmfuse runs compare`: runs side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mmfuse_cli.access import open_store, select
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Selection
from mmfuse_cli.render import STATE_COLOURS, out, out_json, out_painted, warn, width
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
    newest first and a note says why. The last column is the end of the run's id, enough to name it. Where the
    terminal is narrow, columns leave in this order: state, trials, MACs, time, architecture.
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
    out(caption(records))
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


def caption(records: Sequence[RunRecord]) -> str:
    """What all rows share: the metric and the data, as far as they do."""
    return " on ".join(word for word in (_shared_metric(records) or "scores", _shared_label(records)) if word)


def _shared_label(records: Sequence[RunRecord]) -> str:
    """The dataset's label; empty where runs differ in it."""
    labels = {record.dataset_label for record in records}
    return labels.pop() if len(labels) == 1 else ""


def _shared_metric(records: Sequence[RunRecord]) -> str:
    """The bare name of the primary metric; empty where runs differ in it."""
    names = {record.metric.partition("/")[2] for record in records if record.metric}
    return names.pop() if len(names) == 1 else ""


def _columns(records: Sequence[RunRecord]) -> list[Column]:
    """What it is, the primary metric on each split that was measured, the cost, and which run."""
    metric = _shared_metric(records)
    return [
        Column("what", "what"),
        *([] if _shared_label(records) else [Column("dataset", "dataset")]),
        *(Column(name, name.removesuffix(f"/{metric}"), right=True) for name in _score_names(records)),
        *COST,
        Column("architecture", "architecture", leaves=1),
        Column("state", "state", leaves=5, colours=STATE_COLOURS),
        Column("ending", "run"),
    ]


def _score_names(records: Iterable[RunRecord]) -> list[str]:
    """The primary metrics on the validation and test splits, as far as any run has them."""
    names: dict[str, None] = {}
    for split in ("val", "test"):
        for record in records:
            name = f"{split}/{record.metric.partition('/')[2]}"
            if name in record.metrics or (name == record.metric and record.score is not None):
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
        "ending": record.id.rpartition("-")[2],
    }
