"""`mmfuse eval`: measure a trained model."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mmfuse_cli import complete
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import Entry, LazyGroup, examples, plain_app
from mmfuse_cli.parameters import (
    DataRoot,
    Detach,
    Device,
    DryRun,
    Home,
    Json,
    Name,
    OptionalDataset,
    Settings,
    Tags,
)


class Split(StrEnum):
    """Part of a dataset."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class EvalGroup(LazyGroup):
    """The measurements there are."""

    ENTRIES = {"checkpoint": Entry("mmfuse_cli.evaluate:checkpoint", "Measure a checkpoint on one split.")}


app = plain_app(cls=EvalGroup)


@app.callback()
def measure() -> None:
    """Measure a trained model."""


@examples(
    "mmfuse eval checkpoint latest",
    "mmfuse eval checkpoint 7f3a --split val --json",
    "mmfuse eval checkpoint old/best.pt --dataset avmnist",
)
def checkpoint(
    place: Annotated[
        str,
        typer.Argument(
            help="A run (its best checkpoint is taken) or a checkpoint file.",
            metavar="RUN|PATH",
            autocompletion=complete.runs,
        ),
    ],
    split: Annotated[Split, typer.Option("--split", help="What to measure on.")] = Split.TEST,
    dataset: OptionalDataset = None,
    settings: Settings = None,
    device: Device = "auto",
    name: Name = "",
    tags: Tags = None,
    detach: Detach = False,
    dry_run: DryRun = False,
    json: Json = False,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Measure a checkpoint on one split.

    The measurement is a run of its own (kind eval), so it stays in the store with its data's fingerprint.
    """
    from mmfuse_cli.starting import Label, Manner, Placement, start_and_follow
    from mmfuse_runs.origin import resolve_checkpoint

    store = open_store(home)
    spec = resolve_checkpoint(store, place, dataset=dataset, split=split.value, settings=settings or ())
    start_and_follow(
        store,
        spec,
        placement=Placement(device, data_root),
        label=Label(name, tags or ()),
        manner=Manner(detach, dry_run, json),
    )
