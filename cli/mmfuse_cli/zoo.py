"""`mmfuse zoo`: what there is to use, read from declarations alone."""

from __future__ import annotations

from enum import StrEnum
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse_cli import complete
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Json
from mmfuse_cli.render import out, out_json, out_painted, paint, width
from mmfuse_cli.table import Column, draw

if TYPE_CHECKING:
    from mmfuse.registry import Registry


class Kind(StrEnum):
    """What the zoo keeps."""

    BLOCKS = "blocks"
    MODELS = "models"
    SEARCHES = "searches"
    DATASETS = "datasets"
    ENCODERS = "encoders"
    COLLECTIONS = "collections"


NAMES = (Column("name", "name"), Column("presets", "presets"), Column("summary", "what it is"))
OPTIONS = (
    Column("key", "option"),
    Column("default", "default"),
    Column("takes", "takes", leaves=1),
    Column("meaning", "meaning"),
)


@examples("mmfuse zoo", "mmfuse zoo searches", "mmfuse zoo searches mixmas", "mmfuse zoo blocks mlp --json")
def zoo(
    kind: Annotated[Kind | None, typer.Argument(help="What to list.", metavar="[KIND]")] = None,
    name: Annotated[
        str | None,
        typer.Argument(help="One of them, with its options.", metavar="[NAME]", autocompletion=complete.zoo_names),
    ] = None,
    json: Json = False,
) -> None:
    """Show what there is to use, with options and presets.

    KIND is blocks, models, searches, datasets, encoders or collections. Options are set with --set KEY=VALUE.
    """
    if kind is not None and name is not None:
        _show_one(kind, name, json=json)
        return
    kinds = list(Kind) if kind is None else [kind]
    listing = {str(each): [_entry(_registry(each), member) for member in _registry(each).names()] for each in kinds}
    if json:
        out_json(listing)
        return
    for title, entries in listing.items():
        if kind is None:
            out_painted([paint(title, "cyan")])
        out_painted(draw(NAMES, [entry | {"presets": " ".join(entry["presets"])} for entry in entries], width=width()))
        if kind is None:
            out("")


def _registry(kind: Kind) -> Registry:
    from mmfuse import registry

    return {
        Kind.BLOCKS: registry.BLOCKS,
        Kind.MODELS: registry.MODELS,
        Kind.SEARCHES: registry.SEARCHES,
        Kind.DATASETS: registry.DATASETS,
        Kind.ENCODERS: registry.ENCODERS,
        Kind.COLLECTIONS: registry.COLLECTIONS,
    }[kind]


def _entry(registry: Registry, name: str) -> dict[str, Any]:
    presets = list(getattr(registry.declaration(name), "PRESETS", {}))
    return {"name": name, "summary": registry.summary(name), "presets": presets}


def _show_one(kind: Kind, name: str, *, json: bool) -> None:
    from mmfuse.spec import FitOptions, usual_fit
    from mmfuse_runs.declared import declared_options, options_model

    declaration = _registry(kind).declaration(name)
    options = [vars(option) for option in declared_options(options_model(declaration))]
    if kind in (Kind.MODELS, Kind.SEARCHES):
        usual = usual_fit(name) if kind is Kind.MODELS else {}
        options += [vars(option) for option in declared_options(FitOptions, prefix="fit.", usual=usual)]
    presets = dict(getattr(declaration, "PRESETS", {}))
    if json:
        out_json(
            {"kind": kind.value, "name": name, "about": declaration.__doc__, "options": options, "presets": presets}
        )
        return
    out((declaration.__doc__ or "").strip())
    out("")
    for line in (*_facts(declaration), *(f"preset {preset}: {_spelled(values)}" for preset, values in presets.items())):
        out(line)
    for option in options:
        out_painted([paint(option["key"], "bold") + f"  {option['takes']}  [{option['default'] or 'required'}]"])
        out(f"    {option['meaning']}")


def _facts(declaration: ModuleType) -> list[str]:
    """What a dataset's task, an encoder's sizes or a block's diet say, a line each."""
    facts = []
    task = getattr(declaration, "TASK", None)
    if task is not None:
        shapes = ", ".join(f"{modality.name} {'x'.join(map(str, modality.shape))}" for modality in task.modalities)
        outputs = f"{task.outputs} outputs, " if task.outputs else ""
        facts.append(f"task: {task.kind}, {outputs}{shapes}; score: {task.metric}")
    for size, published in getattr(declaration, "SIZES", {}).items():
        facts.append(f"size {size}: {published.place}, {published.dim} values")
    if hasattr(declaration, "ACCEPTS"):
        facts.append(f"accepts: {', '.join(sorted(declaration.ACCEPTS))}")
    return facts


def _spelled(values: dict[str, Any]) -> str:
    import json

    return json.dumps(values, default=str) if values else "the defaults"
