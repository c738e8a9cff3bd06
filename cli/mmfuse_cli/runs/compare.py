"""`mmfuse runs compare`: runs side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mmfuse_cli.access import open_store, select
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Picture, Plots, Selection
from mmfuse_cli.plots import show_plots
from mmfuse_cli.render import STATE_COLOURS, out, out_json, out_painted, warn, width
from mmfuse_cli.table import Column, draw
from mmfuse_runs.comparison import SeedGroup, Spread, ranked, seed_groups, spread_of, why_not_ranked
from mmfuse_tui.wording import count, number, span

if TYPE_CHECKING:
    from mmfuse_runs.records import RunRecord
    from mmfuse_runs.store import RunStore

COST = (
    Column("parameters", "params", right=True),
    Column("macs", "MACs", right=True, leaves=4),
    Column("latency_ms", "latency", right=True, leaves=5),
    Column("search_seconds", "search", right=True, leaves=3),
    Column("seconds", "time", right=True, leaves=2),
    Column("trials", "trials", right=True, leaves=6),
)


@examples(
    "mmfuse runs compare 7f3a 91bc",
    "mmfuse runs compare tag:paper --plot val/accuracy",
    "mmfuse runs compare kind:search,train",
)
def compare(runs: Selection, plot: Plots = None, save: Picture = None, json: Json = False, home: Home = None) -> None:
    """Put runs side by side, best first.

    Only runs that measured the same metric on the same data (equal fingerprints) are ranked; otherwise they stand
    newest first and a note says why. Runs that differ in nothing but their seed are summed up below: mean, standard
    deviation and a bootstrap interval of the mean; what a search found counts with its trainings under other seeds
    (mmfuse train --from RUN --seed 1). Latency is the median time of one sample on the run's device;
    search is what the search alone took. The last column is the end of the run's id, enough to name it. Where the
    terminal is narrow, columns leave in this order: state, trials, latency, MACs, search, time, architecture.
    With --plot only the curves are shown, together in one chart.
    """
    store = open_store(home, read_only=True)
    records = select(store, runs)
    trials = {record.id: len(store.folder(record.id).trials()) for record in records}
    obstacle = why_not_ranked(records)
    if obstacle:
        warn(f"not ranked: {obstacle}")
    else:
        records = ranked(records)
    repeated = _repeated(records, store)
    if json:
        answers = [record.to_json() | {"trials": trials[record.id]} for record in records]
        sums = [_summed_up(group, records) for group in repeated]
        out_json({"ranked": not obstacle, "note": obstacle, "runs": answers, "over_seeds": sums})
        return
    if plot or save:
        show_plots(store, records, plot, save)
        return
    out(caption(records))
    out_painted(draw(_columns(records), [_row(record, trials[record.id]) for record in records], width=width()))
    if repeated:
        out("")
        out("over seeds: mean ± standard deviation [95 % of bootstrapped means]")
        out_painted(draw(_sum_columns(records), [_sum_row(group, records) for group in repeated], width=width()))


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
    cost = [column for column in COST if column.key == "trials" or any(getattr(run, column.key) for run in records)]
    return [
        Column("what", "what"),
        *([] if _shared_label(records) else [Column("dataset", "dataset")]),
        *(Column(name, name.removesuffix(f"/{metric}"), right=True) for name in _score_names(records)),
        *cost,
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
    return {name: number(value) for name, value in _scores(record).items()} | {
        "what": record.name or record.subject,
        "dataset": record.dataset_label,
        "parameters": count(record.parameters) if record.parameters else "",
        "macs": count(record.macs) if record.macs else "",
        "latency_ms": f"{number(record.latency_ms, digits=3)} ms" if record.latency_ms else "",
        "search_seconds": span(record.search_seconds) if record.search_seconds else "",
        "seconds": span(record.seconds) if record.seconds else "",
        "trials": str(trials) if trials else "",
        "architecture": record.architecture,
        "state": record.state,
        "ending": record.id.rpartition("-")[2],
    }


def _scores(record: RunRecord) -> dict[str, float]:
    """All metrics, the primary one among them."""
    own = {record.metric: record.score} if record.metric and record.score is not None else {}
    return own | dict(record.metrics)


def _repeated(records: Sequence[RunRecord], store: RunStore) -> list[SeedGroup]:
    """Experiments that were run with several seeds, in the order of their first run.

    What a search found may have been trained again by runs that are not selected: those speak for it, too.
    """
    from mmfuse_runs.retrained import retrained

    done = [record for record in records if record.score is not None and not record.damaged]
    groups = seed_groups((record, store.folder(record.id).spec()) for record in done)
    repeated = [group for group in groups if len(group.seeds) > 1]
    told = {run.id for group in repeated for run in group.runs}
    further = retrained(store, [record for record in done if record.kind == "search"])
    return [*repeated, *(group for group in further if not told & {run.id for run in group.runs})]


def _spreads(group: SeedGroup, records: Sequence[RunRecord]) -> dict[str, Spread]:
    """The primary metric over the group's runs, by split."""
    spreads = {name: spread_of([_scores(run).get(name) for run in group.runs]) for name in _score_names(records)}
    return {name: spread for name, spread in spreads.items() if spread is not None}


def _summed_up(group: SeedGroup, records: Sequence[RunRecord]) -> dict[str, Any]:
    """A group for ``--json``."""
    scores = {
        name: {"mean": each.mean, "sd": each.sd, "low": each.low, "high": each.high, "n": len(each.values)}
        for name, each in _spreads(group, records).items()
    }
    return {"runs": [run.id for run in group.runs], "seeds": list(group.seeds), "scores": scores}


def _sum_columns(records: Sequence[RunRecord]) -> list[Column]:
    metric = _shared_metric(records)
    scores = (Column(name, name.removesuffix(f"/{metric}"), right=True) for name in _score_names(records))
    return [Column("what", "what"), *scores, Column("seeds", "seeds")]


def _sum_row(group: SeedGroup, records: Sequence[RunRecord]) -> dict[str, str]:
    cells = {name: _spread_words(spread) for name, spread in _spreads(group, records).items()}
    return cells | {"what": group.runs[0].subject, "seeds": ",".join(map(str, group.seeds))}


def _spread_words(spread: Spread) -> str:
    if spread.sd is None or spread.low is None or spread.high is None:
        return number(spread.mean)
    ends = f"{number(spread.low)}, {number(spread.high)}"
    return f"{number(spread.mean)} ± {number(spread.sd, digits=3)} [{ends}]"
