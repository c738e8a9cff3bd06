"""`mmfuse data`: the datasets' own status, prepare, build and check functions, called and told."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_type_hints

import typer

from mmfuse.errors import BadSpec, DataInvalid, unknown_name
from mmfuse_cli import complete
from mmfuse_cli.access import data_folder
from mmfuse_cli.lazy import Entry, LazyGroup, examples, plain_app
from mmfuse_cli.meter import Meter
from mmfuse_cli.parameters import DataRoot, Home, Json, Settings
from mmfuse_cli.render import error, out, out_json, out_painted, say, width
from mmfuse_cli.table import Column, draw


class DataGroup(LazyGroup):
    """Everything that can be done with datasets."""

    ENTRIES = {
        "ls": Entry("mmfuse_cli.data:ls", "List the datasets and what of them is there."),
        "info": Entry("mmfuse_cli.data:info", "Show one dataset: task, files, options."),
        "get": Entry("mmfuse_cli.data:get", "Fetch a dataset and prepare it."),
        "build": Entry("mmfuse_cli.data:build", "Build a dataset from files you have.", takes_any=True),
        "check": Entry("mmfuse_cli.data:check", "Read all of a dataset and check it."),
    }


app = plain_app(cls=DataGroup)

Name = Annotated[str, typer.Argument(help="Name of the dataset.", metavar="DATASET", autocompletion=complete.datasets)]

LISTING = (
    Column("dataset", "dataset"),
    Column("source", "what is loaded"),
    Column("samples", "train/val/test"),
    Column("task", "task", leaves=1),
    Column("modalities", "modalities", leaves=2),
    Column("folder", "folder", leaves=3),
)


@app.callback()
def data() -> None:
    """List, fetch, build and check datasets."""


@examples("mmfuse data ls", "mmfuse data ls --json")
def ls(json: Json = False, home: Home = None, data_root: DataRoot = None) -> None:
    """List the datasets and what of them is there.

    A stand-in is built by itself when a run first needs it; results on it are labelled.
    """
    from mmfuse.registry import DATASETS

    root = _root(home, data_root)
    entries = [_entry(DATASETS.get(name), root) for name in DATASETS.names()]
    if json:
        out_json({"data_root": str(root), "datasets": entries})
    else:
        out_painted(draw(LISTING, [_listed(entry) for entry in entries], width=width()))


@examples("mmfuse data info avmnist")
def info(dataset: Name, json: Json = False, home: Home = None, data_root: DataRoot = None) -> None:
    """Show one dataset: task, files, options.

    Says which files are missing and what to type to have them.
    """
    from mmfuse.registry import DATASETS
    from mmfuse_runs.declared import declared_options

    module = DATASETS.get(dataset)
    entry = _entry(module, _root(home, data_root))
    options = [vars(option) for option in declared_options(module.Options)]
    if json:
        out_json({"dataset": entry, "options": options})
        return
    facts = _listed(entry) | {
        "missing": ", ".join(entry["missing"]),
        "problem": entry["problem"],
        "hint": entry["hint"],
    }
    for key, value in facts.items():
        if value:
            out(f"{key + ':':<12}{value}")
    for way, command in _ways(module, dataset).items():
        out(f"{way + ':':<12}{command}")
    out("\noptions, set with --set data.KEY=VALUE:")
    for option in options:
        out(f"  {option['key']}  {option['takes']}  [{option['default']}]\n      {option['meaning']}")


@examples("mmfuse data get avmnist", "mmfuse data get avmnist --data-root /scratch/data")
def get(dataset: Name, json: Json = False, home: Home = None, data_root: DataRoot = None) -> None:
    """Fetch a dataset and prepare it.

    Downloads go on where they were interrupted and are checked. Prints the folder.
    """
    from mmfuse.registry import DATASETS

    module = DATASETS.get(dataset)
    _tell_folder(_metered(module.prepare, _root(home, data_root)), dataset, json=json)


@examples("mmfuse data build avmnist --mnist DIR --fsdd DIR --esc50 DIR", "mmfuse data info avmnist   (what it needs)")
def build(
    context: typer.Context,
    dataset: Name,
    json: Json = False,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Build a dataset from files you have.

    Each dataset needs other files: mmfuse data info DATASET says which options it takes. Prints the folder.
    """
    from mmfuse.registry import DATASETS

    module = DATASETS.get(dataset)
    if not hasattr(module, "build"):
        raise BadSpec(f"{dataset} is not built from files", f"mmfuse data get {dataset}")
    given = _keywords(module.build, context.args, dataset)
    _tell_folder(_metered(module.build, _root(home, data_root), **given), dataset, json=json)


def _tell_folder(folder: object, dataset: str, *, json: bool) -> None:
    out_json({"dataset": dataset, "folder": str(folder)}) if json else out(str(folder))


@examples("mmfuse data check avmnist")
def check(
    dataset: Name, settings: Settings = None, json: Json = False, home: Home = None, data_root: DataRoot = None
) -> None:
    """Read all of a dataset and check it.

    Compares hashes, shapes, labels and splits; the exit code is 1 if something is wrong.
    """
    from mmfuse.options import parse_assignments, parse_options
    from mmfuse.registry import DATASETS

    module = DATASETS.get(dataset)
    values = parse_assignments(word.removeprefix("data.") for word in settings or ())
    options = parse_options(module.Options, values, what=f"dataset {dataset}")
    try:
        status = _metered(module.check, _root(home, data_root), options)
    except DataInvalid as damage:  # what was asked for, as for `runs fsck`, and no mistake of who asked
        error(damage.message, damage.hint)
        raise typer.Exit(1) from None
    if json:
        out_json({"dataset": _told(module, status)})
    else:
        say(f"{dataset} is sound")
        out_painted(draw(LISTING, [_listed(_told(module, status))], width=width()))


def _root(home: str | None, data_root: str | None) -> Path:
    from mmfuse_runs.home import resolve_home

    return data_folder(resolve_home(home), data_root)


def _metered(work: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """What ``work`` gives, with its progress shown."""
    meter = Meter()
    try:
        return work(*arguments, progress=meter, **keywords)
    finally:
        meter.close()


def _entry(module: ModuleType, root: Path) -> dict[str, Any]:
    return _told(module, module.status(root))


def _told(module: ModuleType, status: Any) -> dict[str, Any]:
    """A dataset's task and its ``DataStatus`` in plain types."""
    task = module.TASK
    return {
        "dataset": task.name,
        "about": (module.__doc__ or "").strip().partition("\n")[0],
        "source": status.source,
        "built": status.built,
        "folder": str(status.folder) if status.folder is not None else None,
        "samples": dict(status.samples),
        "missing": list(status.missing),
        "problem": status.problem,
        "hint": status.hint,
        "task": task.kind,
        "outputs": task.outputs,
        "metric": task.metric,
        "modalities": {modality.name: list(modality.shape) for modality in task.modalities},
    }


def _listed(entry: Mapping[str, Any]) -> dict[str, str]:
    unbuilt = "" if entry["built"] else " (built when needed)"
    return {
        "dataset": entry["dataset"],
        "source": f"{entry['source']}{unbuilt}",
        "samples": "/".join(str(count) for count in entry["samples"].values()),
        "task": ", ".join(
            [entry["task"], *([f"{entry['outputs']} outputs"] if entry["outputs"] else []), entry["metric"]]
        ),
        "modalities": ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in entry["modalities"].items()),
        "folder": entry["folder"] or "",
    }


def _ways(module: ModuleType, dataset: str) -> dict[str, str]:
    """The commands that bring the real data."""
    ways = {"fetch": f"mmfuse data get {dataset}"}
    if hasattr(module, "build"):
        words = [_flag(name, parameter) for name, parameter in _parameters(module.build).items()]
        ways["build"] = " ".join(("mmfuse data build", dataset, *words))
    return ways


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword parameters a person can set; ``progress`` is ours."""
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "progress"
    }


def _flag(name: str, parameter: inspect.Parameter) -> str:
    """``--mnist DIR``, in brackets where it may be left out."""
    takes = "DIR" if "Path" in str(parameter.annotation) else name.upper()
    word = f"--{name.replace('_', '-')} {takes}"
    return word if parameter.default is parameter.empty else f"[{word}]"


def _keywords(function: Callable[..., Any], words: list[str], dataset: str) -> dict[str, Any]:
    """``--mnist DIR`` and the like as keyword arguments of ``function``.

    Raises:
        UnknownName, BadSpec: for an option it does not take, one without a value, or one that is missing.
    """
    parameters, takes = _parameters(function), get_type_hints(function)
    usage = _ways_to_build(parameters, dataset)
    given: dict[str, Any] = {}
    pairs = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for flag, value in zip(pairs[::2], [*pairs[1::2], None][: len(pairs[::2])], strict=True):
        name = flag.removeprefix("--").replace("-", "_")
        if name not in parameters:
            raise unknown_name(
                f"option of data build {dataset}", flag, [f"--{known.replace('_', '-')}" for known in parameters]
            )
        if value is None:
            raise BadSpec(f"{flag} needs a value", usage)
        given[name] = _converted(value, takes[name], flag)
    missing = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
    absent = [f"--{name.replace('_', '-')}" for name in missing if name not in given]
    if absent:
        raise BadSpec(f"data build {dataset} needs {', '.join(absent)}", usage)
    return given


def _ways_to_build(parameters: Mapping[str, inspect.Parameter], dataset: str) -> str:
    return " ".join(("mmfuse data build", dataset, *(_flag(name, each) for name, each in parameters.items())))


def _converted(value: str, annotation: Any, flag: str) -> Any:
    """``value`` as what the parameter takes: a path, a number, one of a few words."""
    from pydantic import TypeAdapter, ValidationError

    try:
        converted = TypeAdapter(annotation).validate_python(value)
    except ValidationError as problem:
        raise BadSpec(f"{flag}: {problem.errors()[0]['msg'].lower()}, got '{value}'") from None
    return converted.expanduser() if isinstance(converted, Path) else converted
