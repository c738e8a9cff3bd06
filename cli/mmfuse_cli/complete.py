"""What the shell offers after Tab. Cheap, silent, and never a reason for a command line to fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from mmfuse.errors import MmfuseError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mmfuse_runs.records import RunRecord

Answer = TypeVar("Answer")
Other = TypeVar("Other")
Offer = list[tuple[str, str]]
"""Words and what they mean."""

CONDITION_FIELDS = ("kind", "subject", "dataset", "state", "tag", "name")
"""Fields of runs with few values; the others are compared with numbers."""
JOINING = ("and", "or", "not")


def runs(context: typer.Context, incomplete: str) -> Offer:
    """Run ids and names, newest first."""
    found = [(record.id, f"{record.state} {record.dataset_label}") for record in _records(context)]
    named = [(record.name, record.id) for record in _records(context) if record.name]
    return _starting([*found, *named, ("latest", "the newest run")], incomplete)


def queued(context: typer.Context, incomplete: str) -> Offer:
    """Runs that wait for their slot, by id and name, and what each waits for."""
    waiting = [record for record in _records(context) if record.state == "queued"]
    found = [(name, record.waiting) for record in waiting for name in (record.id, record.name) if name]
    return _starting(found, incomplete)


def thrown(context: typer.Context, incomplete: str) -> Offer:
    """Runs in the trash."""
    from mmfuse_cli.access import open_store
    from mmfuse_runs import trash

    there = _quietly(lambda: trash.thrown(open_store(context.params.get("home"), read_only=True)), [])
    return _starting([(each.id, each.name) for each in there], incomplete)


def tags(context: typer.Context, incomplete: str) -> Offer:
    """Tags that runs carry."""
    known = sorted({tag for record in _records(context) for tag in record.tags})
    return _starting([(tag, "") for tag in known], incomplete)


def conditions(context: typer.Context, incomplete: str) -> Offer:
    """Fields of runs, metrics that were measured, words that join; after ``FIELD:`` the values that occur."""
    field, colon, _ = incomplete.partition(":")
    if not colon:
        named = [f"{name}:" for name in (*CONDITION_FIELDS, "is")]
        return _starting([(word, "") for word in (*named, *_measured(context), *JOINING)], incomplete)
    if field == "is":
        from mmfuse_runs.fields import FACTS

        values = set(FACTS)
    elif field == "tag":
        values = {tag for record in _records(context) for tag in record.tags}
    else:
        values = {str(getattr(record, field, "")) for record in _records(context)}
    return _starting([(f"{field}:{value}", "") for value in sorted(values) if value], incomplete)


def selection(context: typer.Context, incomplete: str) -> Offer:
    """Runs, and conditions that choose them."""
    return [*runs(context, incomplete), *conditions(context, incomplete)]


def architectures(context: typer.Context, incomplete: str) -> Offer:
    """Runs, and after ``RUN:`` its trials."""
    from mmfuse_cli.access import open_store

    run, colon, _ = incomplete.partition(":")
    if not colon:
        return runs(context, incomplete)
    store = open_store(context.params.get("home"), read_only=True)
    trials = _quietly(lambda: store.folder(store.find(run)).trials(), [])
    return _starting([(f"{run}:{trial.number}", trial.architecture.key) for trial in trials], incomplete)


def fields(context: typer.Context, incomplete: str) -> Offer:
    """What runs can be sorted by: facts, metrics that were measured, what their curves reached, settings."""
    sign = incomplete[:1] if incomplete[:1] in ("+", "-") else ""
    return [(sign + name, meaning) for name, meaning in _fields(context, incomplete.removeprefix(sign))]


def listed_fields(context: typer.Context, incomplete: str) -> Offer:
    """The same, for the last of a list with commas."""
    before, comma, last = incomplete.rpartition(",")
    offers = [(before + comma + name, meaning) for name, meaning in _fields(context, last)]
    return offers if comma else [*_starting(_column_sets(context), incomplete), *offers]


def metrics(context: typer.Context, incomplete: str) -> Offer:
    """Metrics that runs have measured, and the score of searches by trial."""
    return _starting([("score", "trials of a search"), *((name, "") for name in _measured(context))], incomplete)


def _fields(context: typer.Context, incomplete: str) -> Offer:
    from mmfuse_runs.fields import CURVES, NUMBERS, TEXTS

    measured = _measured(context)
    curves = [f"{function}({metric})" for function in CURVES for metric in measured]
    known = [*sorted({*NUMBERS, *TEXTS} - {"is"}), *measured, *curves, *_settings_of_latest(context)]
    return _starting([(name, "") for name in known], incomplete)


def _column_sets(context: typer.Context) -> Offer:
    from mmfuse_cli.access import open_store
    from mmfuse_cli.runs.column_sets import saved_sets

    sets = _quietly(lambda: saved_sets(open_store(context.params.get("home"), read_only=True).home), {})
    return list(sets.items())


def _measured(context: typer.Context) -> list[str]:
    return sorted({name for record in _records(context) for name in record.metrics})


def _settings_of_latest(context: typer.Context) -> list[str]:
    """Settings of the newest run: those of all would be read from thousands of files."""
    from mmfuse_cli.access import open_store
    from mmfuse_runs.fields import RunView

    newest = _records(context)[:1]
    folders = open_store(context.params.get("home"), read_only=True)
    keys = [key for record in newest for key in RunView(record, now=0.0, folders=folders).settings]
    return [key if "." in key else f"set.{key}" for key in keys]


def datasets(context: typer.Context, incomplete: str) -> Offer:
    """Datasets and what they are."""
    return _registered("DATASETS", incomplete)


def searches(context: typer.Context, incomplete: str) -> Offer:
    """Searches and what they do."""
    return _registered("SEARCHES", incomplete)


def models(context: typer.Context, incomplete: str) -> Offer:
    """Model families."""
    return _registered("MODELS", incomplete)


def encoders(context: typer.Context, incomplete: str) -> Offer:
    """Published encoders, and runs that may have trained one."""
    from mmfuse.encoding import encoder_names

    published = _starting([(name, "published encoder") for name in encoder_names()], incomplete)
    return [*published, *runs(context, incomplete)]


def extractable(context: typer.Context, incomplete: str) -> Offer:
    """Collections and datasets."""
    return [*_registered("COLLECTIONS", incomplete), *_registered("DATASETS", incomplete)]


def zoo_names(context: typer.Context, incomplete: str) -> Offer:
    """Members of the kind that stands before on the line."""
    kind = str(context.params.get("kind") or "")
    return (
        _registered(kind.upper(), incomplete)
        if kind in ("blocks", "models", "searches", "datasets", "encoders", "collections")
        else []
    )


def presets(context: typer.Context, incomplete: str) -> Offer:
    """Presets of the search or model that stands before on the line."""
    declaration = _declared()
    return _starting([(name, "") for name in getattr(declaration, "PRESETS", {})], incomplete)


def settings(context: typer.Context, incomplete: str) -> Offer:
    """Keys for ``--set``: those of the search or model, of its training (``fit.``) and of the dataset (``data.``)."""
    if "=" in incomplete:
        return []
    return _starting(list(_setting_keys()), incomplete)


def _setting_keys() -> Iterable[tuple[str, str]]:
    from mmfuse.registry import DATASETS
    from mmfuse.spec import FitOptions
    from mmfuse_runs.declared import options_model

    declaration = _declared()
    if declaration is not None:
        yield from _keys(options_model(declaration))
    yield from _keys(FitOptions, "fit.")
    dataset: Any = _quietly(partial(DATASETS.declaration, _word_after("--dataset")), None)
    if dataset is not None:
        yield from _keys(dataset.Options, "data.")


def _keys(model: type[BaseModel], prefix: str = "") -> Iterable[tuple[str, str]]:
    from mmfuse_runs.declared import declared_options

    return [(f"{option.key}=", option.meaning) for option in declared_options(model, prefix=prefix)]


def _declared() -> Any:
    """The declaration of the search or model the line names, if it does."""
    from mmfuse import registry

    search = _word_after("search")
    members, name = (registry.SEARCHES, search) if search else (registry.MODELS, _word_after("train"))
    return _quietly(partial(members.declaration, name), None)


def _word_after(word: str) -> str:
    """The word behind ``word`` on the line; empty where there is none.

    The parser forgets what it has read when the line ends in an option whose value is being completed, so the words
    come from where the shells' completion scripts put them.
    """
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    words = line.split()
    behind = words[words.index(word) + 1 :] if word in words else []
    return behind[0] if behind else ""


def _registered(registry_name: str, incomplete: str) -> Offer:
    from mmfuse import registry

    members: registry.Registry = getattr(registry, registry_name)
    return _starting([(name, _quietly(partial(members.summary, name), "")) for name in members.names()], incomplete)


def _records(context: typer.Context) -> list[RunRecord]:
    from mmfuse_cli.access import open_store

    return _quietly(lambda: open_store(context.params.get("home"), read_only=True).records(), [])


def _quietly(ask: Callable[[], Answer], otherwise: Other) -> Answer | Other:
    """What ``ask`` answers; ``otherwise`` where the store or a file cannot be read, for a shell is waiting."""
    try:
        return ask()
    except (MmfuseError, OSError):
        return otherwise


def _starting(offers: Iterable[tuple[str, str]], incomplete: str) -> Offer:
    return [(word, meaning) for word, meaning in offers if word.startswith(incomplete)]
