"""`mmfuse search`: find an architecture."""

from __future__ import annotations

from typing import Annotated

import typer

from mmfuse_cli import complete
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import (
    DataRoot,
    Dataset,
    Detach,
    Device,
    DryRun,
    Home,
    Json,
    Name,
    Notify,
    Preset,
    Seed,
    Settings,
    Tags,
    Test,
)


@examples(
    "mmfuse search mixmas --dataset avmnist",
    "mmfuse search mixmas --dataset avmnist --preset paper --seed 3 --tag paper",
    "mmfuse search mixmas --dataset avmnist --set repeats=3 --set fit.epochs=50 --detach",
    "mmfuse zoo searches mixmas          (lists the options and presets of a search)",
)
def search(
    search: Annotated[
        str,
        typer.Argument(help="The search (mmfuse zoo searches).", metavar="SEARCH", autocompletion=complete.searches),
    ],
    dataset: Dataset,
    preset: Preset = None,
    settings: Settings = None,
    seed: Seed = 0,
    device: Device = "auto",
    name: Name = "",
    tags: Tags = None,
    train: Annotated[bool, typer.Option("--train/--no-train", help="Train the architecture found in full.")] = True,
    test: Test = True,
    detach: Detach = False,
    notify: Notify = None,
    dry_run: DryRun = False,
    json: Json = False,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Find an architecture, train it and measure it.

    The run goes on by itself in the background; this command follows it. Ctrl-C asks it to save and stop, a second
    Ctrl-C leaves it running. Closing the terminal never ends it.
    """
    from mmfuse.spec import resolve_search
    from mmfuse_cli.render import say
    from mmfuse_cli.starting import Label, Manner, Placement, start_and_follow
    from mmfuse_runs.begin import usual_preset

    usual = None if preset else usual_preset(search, device)
    preset = preset or usual
    spec = resolve_search(search, dataset, preset=preset, settings=settings or (), seed=seed, train=train, test=test)
    store = open_store(home)
    if usual:
        say(f"preset {usual}; others: mmfuse zoo searches {search}")
    start_and_follow(
        store,
        spec,
        placement=Placement(device, data_root),
        label=Label(name, tags or ()),
        manner=Manner(detach, dry_run, json, notify),
    )
